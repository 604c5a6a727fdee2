"""How fresh a page is: what the site's version is now, and when pages change by themselves."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from blog.database import ask_directly
from blog.models import Entry, Site

#: What stands for the content of the site: its version, and when that came. After a backup is
#: restored the numbers are given out again, at another time.
Stamp = tuple[Any, ...]

_STAMP = "SELECT version, changed FROM site"


def stamp(engine: Engine) -> Stamp | None:
    """Return what the site's content is called now, or None if the database cannot say.

    Everything that was committed before this is called counts.
    """
    return ask_directly(engine, _STAMP)


@dataclass(frozen=True)
class Moments:
    """When a page became what it is, and when it will be another without anybody's doing."""

    changed: datetime
    until: datetime


def moments(db: Session, now: datetime, started: datetime) -> Moments:
    """Return since when all pages are as they are at `now`, and until when at most.

    :param started: when this process began: templates, settings or code may be new since then.
    """
    visible = select(func.max(Entry.timestamp)).where(Entry.is_visible(now))
    coming = select(func.min(Entry.timestamp)).where(
        Entry.state == "published", Entry.timestamp > now
    )
    changed, appeared, appears = db.execute(
        select(Site.changed, visible.scalar_subquery(), coming.scalar_subquery())
    ).one()
    # The token in a form has its day in it.
    tomorrow = datetime.combine(now + timedelta(days=1), time.min, UTC)
    return Moments(max(changed, appeared or changed, started), min(appears or tomorrow, tomorrow))
