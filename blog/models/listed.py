"""Entries as lists show them: rows rather than entities, by statements that are built once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup
from sqlalchemy import Executable, Row, Select, and_, bindparam, func, select
from sqlalchemy.orm import Session

from blog.markup import RENDERER
from blog.models.base import UTCDateTime
from blog.models.entry import Entry
from blog.models.rendering import Rendering
from blog.models.tag import Tag, entry_tag


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry in a list. ``teaser`` is safe HTML: the summary, or how the text begins."""

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
_SEEN = Entry.kind == "entry", Entry.is_visible(_NOW)
_NEWEST_FIRST = Entry.timestamp.desc(), Entry.id.desc()


def _list(ids: "Select[int]") -> Executable:
    """Complete a statement that selects ids, in the order of :data:`_NEWEST_FIRST`.

    What is skipped and counted are ids alone, along an index, however long the bodies are.
    """
    chosen = ids.limit(bindparam("limit")).offset(bindparam("offset")).subquery()
    made = and_(Rendering.entry_id == Entry.id, Rendering.renderer == RENDERER)
    return (
        select(
            *(Entry.id, Entry.title, Entry.slug, Entry.timestamp, Entry.featured, Entry.author),
            *(Rendering.teaser, Rendering.minutes),
        )
        .join(chosen, chosen.c[0] == Entry.id)
        .outerjoin(Rendering, made)
        .order_by(*_NEWEST_FIRST)
    )


_PUBLISHED = select(Entry.id).where(*_SEEN).order_by(*_NEWEST_FIRST)
_UNDER = entry_tag.c
NEWEST = _list(_PUBLISHED)
FEATURED = _list(
    _PUBLISHED.where(Entry.featured, Entry.id.not_in(bindparam("shown", expanding=True)))
)
BETWEEN = _list(
    _PUBLISHED.where(
        Entry.timestamp >= bindparam("start", type_=_MOMENT),
        Entry.timestamp < bindparam("end", type_=_MOMENT),
    )
)
TAGGED = _list(
    select(_UNDER.entry_id)
    .where(_UNDER.tag_id == bindparam("tag"), _UNDER.listed, _UNDER.timestamp <= _NOW)
    .order_by(_UNDER.timestamp.desc(), _UNDER.entry_id.desc())
)
_TAGS = (
    select(_UNDER.entry_id, Tag.name, Tag.slug)
    .join(Tag, Tag.id == _UNDER.tag_id)
    .where(_UNDER.entry_id.in_(bindparam("ids", expanding=True)))
    .order_by(func.lower(Tag.name))
)
_TEXTS = select(Entry.id, Entry.body, Entry.format, Entry.summary).where(
    Entry.id.in_(bindparam("ids", expanding=True))
)


def listed(db: Session, statement: Executable, **values: object) -> list[Listed]:
    """Return the entries that `statement` lists, with their tags.

    :param statement: one of :data:`NEWEST`, :data:`FEATURED`, :data:`BETWEEN`, :data:`TAGGED`.
    :param values: what it asks for: ``now``, ``limit``, ``offset`` and its own.
    """
    rows = db.execute(statement, values).all()
    tags: defaultdict[int, list[Any]] = defaultdict(list)
    for row in db.execute(_TAGS, {"ids": [row.id for row in rows]}) if rows else ():
        tags[row.entry_id].append(row)
    made = _made_now(db, [row.id for row in rows if row.teaser is None])
    return [_listed(row, made.get(row.id, row), tags[row.id]) for row in rows]


def _listed(row: Any, rendering: Any, tags: Sequence[Any]) -> Listed:
    teaser = Markup(rendering.teaser)  # noqa: S704 - it came out of the cleaner
    id_, title, slug, timestamp, featured, author, *_ = row
    return Listed(id_, title, slug, timestamp, featured, author, teaser, rendering.minutes, tags)


def _made_now(db: Session, ids: Sequence[int]) -> Mapping[int, Rendering]:
    """Render the entries that were changed by somebody who does not render."""
    if not ids:
        return {}
    return {row.id: Rendering.of(*row) for row in db.execute(_TEXTS, {"ids": ids})}
