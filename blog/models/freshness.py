"""How fresh a page is: what the site's version is now, and when pages change by themselves."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.orm import Session

from blog.database import HEAD, SCHEMA_VERSION, ask_directly, report_other_schema
from blog.models import Entry, Site
from blog.models.base import DamagedValueError, UTCDateTime
from blog.models.site import MISSING

#: Identifies the content of the site: the version of the schema, the version of the content, when
#: that changed, and the file. A restored backup counts from an earlier version, at a later time.
Stamp = tuple[Any, ...]

_STAMPS = {
    "sqlite": f"SELECT ({SCHEMA_VERSION}), version, changed FROM site",  # noqa: S608 - a constant
    # Another table of that name has another number, as another file has.
    "postgresql": f"SELECT ({SCHEMA_VERSION}), version, changed, tableoid::int FROM site",  # noqa: S608
}


def stamp(engine: Engine) -> Stamp | None:
    """Return the stamp of the site's content now, or None if the database cannot say.

    It includes everything that was committed before the call.

    :raises sqlalchemy.exc.OperationalError: waiting for a lock timed out.
    :raises sqlalchemy.exc.TimeoutError: waiting for a connection timed out.
    """
    answer = ask_directly(engine, _STAMPS[engine.dialect.name])
    if answer is not None and answer[0] != HEAD:
        report_other_schema(answer[0])
    return answer


@dataclass(frozen=True)
class Moments:
    """When the content of all pages last changed, and when it will change by itself."""

    changed: datetime
    until: datetime


_SITE, _ENTRY = Site.__table__.c, Entry.__table__.c


def _newest_and_next(moment: str) -> tuple[Any, Any]:
    """Return the last timestamp before a parameter, and the first after it, as subqueries."""
    then = bindparam(moment, type_=UTCDateTime())
    before = select(func.max(_ENTRY.timestamp)).where(Entry.is_visible(then))
    after = select(func.min(_ENTRY.timestamp)).where(Entry.is_scheduled(then))
    return before.scalar_subquery(), after.scalar_subquery()


_MOMENTS = select(_SITE.changed, *_newest_and_next("now"), *_newest_and_next("open_since"))


def moments(db: Session, now: datetime, started: datetime, open_days: int) -> Moments:
    """Return when the content of all pages last changed before `now`, and when it will next.

    :param started: the start of this process, which may have new templates, settings or code.
    :param open_days: for how many days after its publication an entry takes comments; 0 for ever.
    :raises DamagedValueError: the site has no row.
    """
    open_for = timedelta(days=open_days)
    asked = {"now": now, "open_since": now - open_for}
    found = db.execute(_MOMENTS, asked).one_or_none()
    if found is None:
        raise DamagedValueError(MISSING)
    changed, appeared, appears, closed, closes = found
    past = [started, changed, *([appeared] if appeared else [])]
    # The token in a form has its day in it.
    coming = [datetime.combine(now + timedelta(days=1), time.min, UTC)]
    coming += [appears] if appears else []
    if open_days:
        past += [closed + open_for] if closed else []
        # No entry closes before it appears; one of the year 9999 would do so in the year 10000.
        coming += [closes + open_for] if closes and closes <= now else []
    return Moments(max(past), min(coming))
