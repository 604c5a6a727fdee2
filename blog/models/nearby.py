"""Links around an entry: the previous and next entry, its series, related entries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import (
    Executable,
    Integer,
    bindparam,
    func,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session

from blog.models.base import UTCDateTime
from blog.models.entry import Entry
from blog.models.series import Series
from blog.models.tag import entry_tag, is_listed

#: The number of related entries below an entry.
RELATED = 4

#: The number of an entry's tags, and of the newest entries with each, from which related entries
#: are chosen: the work does not grow with the blog.
SUBJECTS = 12
CANDIDATES = 50


class Linked(NamedTuple):
    """An entry that another page links to."""

    id: int
    slug: str
    title: str
    timestamp: datetime


@dataclass(frozen=True)
class Part:
    """The place of an entry in its series, and what readers see of the series.

    :param number: starts at 1.
    """

    title: str
    slug: str
    number: int
    parts: Sequence[Linked]

    @property
    def previous(self) -> Linked | None:
        return self.parts[self.number - 2] if self.number > 1 else None

    @property
    def next(self) -> Linked | None:
        return self.parts[self.number] if self.number < len(self.parts) else None


_ENTRY, _SERIES, _UNDER = (table.c for table in (Entry.__table__, Series.__table__, entry_tag))
_LINKED = (_ENTRY.id, _ENTRY.slug, _ENTRY.title, _ENTRY.timestamp)
_NOW = bindparam("now", type_=UTCDateTime())

_PLACE = tuple_(_ENTRY.timestamp, _ENTRY.id)
_HERE = tuple_(bindparam("timestamp", type_=UTCDateTime()), bindparam("id", type_=Integer))
# A timestamp written in an SQL shell without its fraction does not compare equal to itself.
_OTHER = select(*_LINKED).where(_ENTRY.id != bindparam("id")).limit(1)
_NEIGHBOURS = union_all(
    *(
        select(neighbour.subquery())
        for neighbour in (
            # Entries older than a visible one are visible, so `now` is not compared: with that
            # condition, SQLite would scan the index from `now` and not from the entry.
            _OTHER.where(Entry.is_listable(), _PLACE < _HERE).order_by(
                _ENTRY.timestamp.desc(), _ENTRY.id.desc()
            ),
            _OTHER.where(Entry.is_listed(_NOW), _PLACE > _HERE).order_by(
                _ENTRY.timestamp, _ENTRY.id
            ),
        )
    )
)
_PARTS = (
    select(*_LINKED)
    .where(_ENTRY.series_id == bindparam("series"), Entry.is_listed(_NOW))
    .order_by(_ENTRY.series_number.is_(None), _ENTRY.series_number, _ENTRY.timestamp, _ENTRY.id)
)
_PARTS_NAMED = _PARTS.add_columns(
    _SERIES.title.label("series_title"), _SERIES.slug.label("series_slug")
).join(Series.__table__, _SERIES.id == _ENTRY.series_id)


def neighbours(db: Session, entry: Entry, now: datetime) -> tuple[Linked | None, Linked | None]:
    """Return the entries that readers see before and after `entry`: the older, the newer."""
    place = (entry.timestamp, entry.id)
    given = {"now": now, "timestamp": entry.timestamp, "id": entry.id}
    found = [Linked(*row) for row in db.execute(_NEIGHBOURS, given)]
    older = next((each for each in found if (each.timestamp, each.id) < place), None)
    newer = next((each for each in found if (each.timestamp, each.id) > place), None)
    return older, newer


def parts(db: Session, series_id: int, now: datetime) -> list[Linked]:
    """Return what readers see of a series, in its order."""
    return [Linked(*row) for row in db.execute(_PARTS, {"series": series_id, "now": now})]


def part(db: Session, entry: Entry, now: datetime) -> Part | None:
    """Return the place of `entry` in its series, or None if it belongs to none."""
    if entry.series_id is None:
        return None
    rows = db.execute(_PARTS_NAMED, {"series": entry.series_id, "now": now}).all()
    found = [Linked(*row[:4]) for row in rows]
    if not found:  # the series was deleted in a shell without foreign keys
        return None
    number = 1 + [each.id for each in found].index(entry.id)
    return Part(rows[0].series_title, rows[0].series_slug, number, found)


def related(
    db: Session, entry: Entry, now: datetime, without: Collection[int] = ()
) -> list[Linked]:
    """Return the entries that share most tags with `entry`; a rare tag counts for more.

    :param without: the ids of entries that its page links to anyway.
    """
    tags = [tag.id for tag in entry.tags[:SUBJECTS]]
    if not tags:
        return []
    given = {f"tag{number}": tag for number, tag in enumerate(tags)}
    shown = [entry.id, *without]
    rows = db.execute(_related(len(tags)), {"now": now, "shown": shown, **given})
    return [Linked(*row) for row in rows]


@cache
def _related(tags: int) -> Executable:
    """Build the statement for an entry with so many tags."""
    newest = (
        select(_UNDER.tag_id, _UNDER.entry_id, _UNDER.timestamp)
        .where(_UNDER.tag_id == bindparam(f"tag{number}"), is_listed(_NOW))
        .order_by(_UNDER.timestamp.desc(), _UNDER.entry_id.desc())
        .limit(CANDIDATES)
        .subquery()
        for number in range(tags)
    )
    candidates = union_all(*(select(each) for each in newest)).cte("candidates")
    found = candidates.c
    carriers = select(found.tag_id, func.count().label("number")).group_by(found.tag_id).subquery()
    # Whole numbers: a sum of fractions depends on the order of the rows.
    shared = func.sum(1_000_000 // carriers.c.number)
    best = (
        select(found.entry_id, shared.label("shared"))
        .join(carriers, carriers.c.tag_id == found.tag_id)
        .where(found.entry_id.not_in(bindparam("shown", expanding=True)))
        .group_by(found.entry_id, found.timestamp)
        .order_by(shared.desc(), found.timestamp.desc(), found.entry_id.desc())
        .limit(RELATED)
        .subquery()
    )
    return (
        select(*_LINKED)
        .join(best, best.c.entry_id == _ENTRY.id)
        .order_by(best.c.shared.desc(), _ENTRY.timestamp.desc(), _ENTRY.id.desc())
    )
