"""Entries in lists: rows rather than entities, from statements that are built once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup
from sqlalchemy import Executable, Row, Select, and_, bindparam, select
from sqlalchemy.orm import Session

from blog.database import language_of
from blog.markup import renderer
from blog.models.base import UTCDateTime
from blog.models.entry import Entry
from blog.models.rendering import Rendering
from blog.models.tag import Tag, entry_tag, is_listed
from blog.text.folding import order


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry in a list. ``teaser`` is safe HTML: the summary, or the beginning of the text."""

    id: int
    title: str
    slug: str
    timestamp: datetime
    featured: bool
    author: str | None
    teaser: Markup
    minutes: int
    tags: "Sequence[Row[int, str, str]]" = ()


_MOMENT = UTCDateTime()
_NOW = bindparam("now", type_=_MOMENT)
# Columns of the tables: those of the entities would pass through the mapper for each row.
_ENTRY, _MADE, _TAG, _UNDER = (
    table.c for table in (Entry.__table__, Rendering.__table__, Tag.__table__, entry_tag)
)


def _list(ids: "Select[int]") -> Executable:
    """Complete a statement that selects ids, newest first.

    LIMIT and OFFSET apply to the ids, along an index, so the length of bodies does not matter.
    """
    chosen = ids.limit(bindparam("limit")).offset(bindparam("offset")).subquery()
    made = and_(_MADE.entry_id == _ENTRY.id, _MADE.renderer == bindparam("renderer"))
    return (
        select(_ENTRY.id, _ENTRY.title, _ENTRY.slug, _ENTRY.timestamp, _ENTRY.featured)
        .add_columns(_ENTRY.author, _MADE.teaser, _MADE.minutes)
        .select_from(Entry.__table__.join(chosen, chosen.c[0] == _ENTRY.id))
        .outerjoin(Rendering.__table__, made)
        .order_by(_ENTRY.timestamp.desc(), _ENTRY.id.desc())
    )


_PUBLISHED = (
    select(_ENTRY.id)
    .where(Entry.is_listed(_NOW))
    .order_by(_ENTRY.timestamp.desc(), _ENTRY.id.desc())
)
NEWEST = _list(_PUBLISHED)
FEATURED = _list(
    _PUBLISHED.where(_ENTRY.featured, _ENTRY.id.not_in(bindparam("shown", expanding=True)))
)
TAGGED = _list(
    select(_UNDER.entry_id)
    .where(_UNDER.tag_id == bindparam("tag"), is_listed(_NOW))
    .order_by(_UNDER.timestamp.desc(), _UNDER.entry_id.desc())
)
#: Titles alone, from `start` up to, and without, `end`.
TITLES = (
    select(_ENTRY.title, _ENTRY.slug, _ENTRY.timestamp)
    .where(
        Entry.is_listed(_NOW),
        _ENTRY.timestamp >= bindparam("start", type_=_MOMENT),
        _ENTRY.timestamp < bindparam("end", type_=_MOMENT),
    )
    .order_by(_ENTRY.timestamp.desc(), _ENTRY.id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_TAGS = (
    select(_UNDER.entry_id, _TAG.name, _TAG.slug)
    .join(Tag.__table__, _TAG.id == _UNDER.tag_id)
    .where(_UNDER.entry_id.in_(bindparam("ids", expanding=True)))
)
_TEXTS = select(_ENTRY.id, _ENTRY.body, _ENTRY.format, _ENTRY.summary).where(
    _ENTRY.id.in_(bindparam("ids", expanding=True))
)


def listed(db: Session, statement: Executable, **values: object) -> list[Listed]:
    """Return the entries that `statement` lists, with their tags.

    :param statement: one of :data:`NEWEST`, :data:`FEATURED`, :data:`TAGGED`.
    :param values: what it asks for: ``now``, ``limit``, ``offset`` and its own.
    """
    language = language_of(db.get_bind())
    rows = db.execute(statement, {"renderer": renderer(language), **values}).all()
    tags: defaultdict[int, list[Any]] = defaultdict(list)
    carried = db.execute(_TAGS, {"ids": [row.id for row in rows]}).all() if rows else []
    for row in sorted(carried, key=lambda row: (order(row.name), row.slug)):
        tags[row.entry_id].append(row)
    made = _made_now(db, [row.id for row in rows if row.teaser is None], language)
    return [_listed(row, made.get(row.id, row), tags[row.id]) for row in rows]


def _listed(row: Any, rendering: Any, tags: Sequence[Any]) -> Listed:
    teaser = Markup(rendering.teaser)  # noqa: S704 - it came out of the cleaner
    id_, title, slug, timestamp, featured, author, *_ = row
    return Listed(id_, title, slug, timestamp, featured, author, teaser, rendering.minutes, tags)


def _made_now(db: Session, ids: Sequence[int], language: str) -> Mapping[int, Rendering]:
    """Render the entries that were changed in an SQL shell, without rendering."""
    if not ids:
        return {}
    return {row.id: Rendering.of(*row, language) for row in db.execute(_TEXTS, {"ids": ids})}
