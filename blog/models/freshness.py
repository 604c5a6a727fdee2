"""The freshness of pages: the current version of the site, and when pages change by themselves."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from threading import Lock
from typing import Any

from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.orm import Session

from blog.database import HEAD, SCHEMA_VERSION, ask_directly, report_other_schema
from blog.database.reads import ALL_COMMENTS
from blog.models import Entry, Site
from blog.models.base import DamagedValueError, UTCDateTime
from blog.models.change import EVERYTHING, MOST
from blog.models.site import MISSING

#: Identifies the content of the site: schema version, content version, time of the last change, and
#: file. A restored backup has an earlier content version, at a later time.
Stamp = tuple[Any, ...]

_STAMPS = {
    "sqlite": f"SELECT ({SCHEMA_VERSION}), version, changed FROM site",  # noqa: S608 - a constant
    # tableoid differs for another table of that name, as the file does on SQLite.
    "postgresql": f"SELECT ({SCHEMA_VERSION}), version, changed, tableoid::int FROM site",  # noqa: S608
}


def stamp(engine: Engine) -> Stamp | None:
    """Return the current stamp of the site's content, or None if the database is unavailable.

    It includes everything committed before the call.

    :raises sqlalchemy.exc.OperationalError: waiting for a lock timed out.
    :raises sqlalchemy.exc.TimeoutError: waiting for a connection timed out.
    """
    found = ask_directly(engine, _STAMPS[engine.dialect.name])
    if found is not None and found[0] != HEAD:
        report_other_schema(found[0])
    return found


class History:
    """Recent changes to the site, which tell whether a response of an earlier version is current.

    It follows the table `change` as long as that continues its own history. After a gap, a
    restored backup or another file it starts over, and all earlier responses are stale.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._latest: Stamp | None = None
        #: The time of each known version, as the driver returns it, in ascending order.
        self._changed: dict[int, Any] = {}
        #: The last known version that changed each scope.
        self._last: dict[int, int] = {}

    def advance(self, now: Stamp) -> None:
        """Learn what has changed up to `now`.

        :raises sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
        """
        if now == self._latest:
            return
        with self._lock:
            if self._knows(now):  # another thread was later
                return
            before = self._latest
            rows = [] if before is None else self._since(before, now)
            if before is not None and _is_history(rows, before, now):
                for version, changed, scope in rows[1:]:
                    self._changed[version] = changed
                    self._last[scope] = version
                    if scope != EVERYTHING:
                        self._last[ALL_COMMENTS] = version
                self._forget()
            else:
                self._changed, self._last = {now[1]: now[2]}, {}
            self._latest = now

    def covers(self, made: Stamp, comments: Collection[int], now: Stamp) -> bool:
        """Tell whether nothing that a response contains has changed between two stamps.

        :param made: before the response was rendered.
        :param comments: the entries whose comments it was made of, or ``ALL_COMMENTS``.
        :raises sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
        """
        self.advance(now)
        with self._lock:
            last = max(self._last.get(scope, 0) for scope in (EVERYTHING, *comments))
            return self._knows(made) and _place(made) == _place(now) and made[1] >= last

    def _knows(self, stamp: Stamp) -> bool:
        latest = self._latest
        is_here = latest is not None and _place(latest) == _place(stamp)
        return is_here and self._changed.get(stamp[1]) == stamp[2]

    def _since(self, before: Stamp, now: Stamp) -> list[Any]:
        if not before[1] < now[1] <= before[1] + MOST:
            return []
        query = f"""SELECT version, changed, scope FROM change
            WHERE version BETWEEN {before[1]:d} AND {now[1]:d} ORDER BY version"""  # noqa: S608 - numbers
        with self._engine.connect() as connection:
            return list(connection.exec_driver_sql(query))

    def _forget(self) -> None:
        for version in list(self._changed)[:-MOST]:
            del self._changed[version]
        if len(self._last) > 2 * MOST:
            first = next(iter(self._changed))
            self._last = {scope: last for scope, last in self._last.items() if last >= first}


def _place(stamp: Stamp) -> Stamp:
    """Return the parts that all stamps of one history share: the schema, and the file or table."""
    return stamp[0], *stamp[3:]


def _is_history(rows: list[Any], before: Stamp, now: Stamp) -> bool:
    """Tell whether the changes lead from one stamp to the other, without a gap."""
    return (
        _place(before) == _place(now)
        and [row[0] for row in rows] == list(range(before[1], now[1] + 1))
        and len(rows) > 1
        and (rows[0][1], rows[-1][1]) == (before[2], now[2])
    )


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
    # The token in a form contains its day.
    coming = [datetime.combine(now + timedelta(days=1), time.min, UTC)]
    coming += [appears] if appears else []
    if open_days:
        past += [closed + open_for] if closed else []
        # No entry closes before it appears; one of the year 9999 would do so in the year 10000.
        coming += [closes + open_for] if closes and closes <= now else []
    return Moments(max(past), min(coming))
