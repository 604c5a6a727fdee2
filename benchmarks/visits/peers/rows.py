"""The queries of both peers on the bare driver, and their rows as objects for templates."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup

from benchmarks.visits.peers.appearance import CANDIDATES, Near, most_related
from blog.views.pagination import Page

_LISTED = """
    SELECT entry.id, title, slug, timestamp, featured, author, teaser, minutes
    FROM entry JOIN rendering ON rendering.entry_id = entry.id
    WHERE kind = 'entry' AND state = 'published' AND timestamp <= ? {more}
    ORDER BY timestamp DESC, entry.id DESC LIMIT ? OFFSET ?"""

_ENTRY = """
    SELECT entry.id, title, slug, timestamp, updated, featured, author, comments_open,
           minutes, description, html
    FROM entry JOIN rendering ON rendering.entry_id = entry.id
    WHERE kind = 'entry' AND state = 'published' AND timestamp <= ? AND slug = ?"""

_PAGES = """
    SELECT slug, title FROM entry
    WHERE kind = 'page' AND state = 'published' AND timestamp <= ? ORDER BY title"""

_COMMENTS = """
    SELECT id, text, name, created, format, parent_id, website
    FROM comment WHERE entry_id = ? AND state = 'published' ORDER BY id"""

_TAGS = """
    SELECT entry_id, tag.id, name, slug FROM tag JOIN entry_tag ON tag_id = tag.id
    WHERE entry_id IN ({marks}) ORDER BY name"""

_BY_ID = "SELECT id, slug, title, timestamp FROM entry WHERE id IN ({ids})"

_OLDER = """
    SELECT id, slug, title, timestamp FROM entry
    WHERE kind = 'entry' AND state = 'published' AND (timestamp, id) < (:then, :id)
    ORDER BY timestamp DESC, id DESC LIMIT 1"""

_NEWER = """
    SELECT id, slug, title, timestamp FROM entry
    WHERE kind = 'entry' AND state = 'published' AND (timestamp, id) > (:then, :id)
      AND timestamp <= :now
    ORDER BY timestamp, id LIMIT 1"""

_UNDER = """
    SELECT entry_id, timestamp FROM entry_tag
    WHERE tag_id = :tag AND listed AND timestamp <= :now
    ORDER BY timestamp DESC, entry_id DESC LIMIT :limit"""

_MOMENTS = {"timestamp", "updated", "created"}


def connect(file: str) -> sqlite3.Connection:
    """Open the database, with rows that know the names of their columns."""
    connection = sqlite3.connect(file, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def front(db: sqlite3.Connection, number: int, size: int) -> Page[Any]:
    """The entries of one page of the front page."""
    found = _with_tags(db, _listed(db, "", size + 1, (number - 1) * size))
    return Page(found[:size], number, len(found) > size)


def featured(db: sqlite3.Connection, shown: Sequence[int]) -> list[Any]:
    """The newest featured entries that are not among those shown."""
    others = ", ".join(map(str, shown))
    return _listed(db, f"AND featured AND entry.id NOT IN ({others})", 3, 0)


def pages(db: sqlite3.Connection) -> list[Any]:
    """Slug and title of the pages that are not entries."""
    return db.execute(_PAGES, (_now(),)).fetchall()


def entry(db: sqlite3.Connection, slug: str) -> Any | None:
    """An entry, with its comments."""
    row = db.execute(_ENTRY, (_now(), slug)).fetchone()
    if row is None:
        return None
    (found,) = _with_tags(db, [_thing(row)])
    found.shown = SimpleNamespace(
        minutes=row["minutes"],
        description=row["description"],
        html=row["html"],
        safe_html=Markup(row["html"]),  # noqa: S704 - the blog's cleaner made it
    )
    found.comments = [_thing(row) for row in db.execute(_COMMENTS, (row["id"],))]
    for comment in found.comments:
        comment.author = comment.name or "Anonymous"
    return found


def near(db: sqlite3.Connection, entry: Any) -> Near:
    """The entries that the page of `entry` links to."""
    here = {"now": _now(), "then": _written(entry.timestamp), "id": entry.id}
    carriers = [
        [tuple(row) for row in db.execute(_UNDER, {"tag": tag.id, "limit": CANDIDATES, **here})]
        for tag in entry.tags
    ]
    best = most_related(entry.id, carriers)
    ids = ", ".join(map(str, best))
    known = {row["id"]: _thing(row) for row in db.execute(_BY_ID.format(ids=ids))}
    older, newer = (db.execute(each, here).fetchone() for each in (_OLDER, _NEWER))
    return Near(
        older and _thing(older), newer and _thing(newer), [known[number] for number in best]
    )


def _listed(db: sqlite3.Connection, more: str, limit: int, offset: int) -> list[Any]:
    found = [_thing(row) for row in db.execute(_LISTED.format(more=more), (_now(), limit, offset))]
    for each in found:
        each.teaser = Markup(each.teaser)  # noqa: S704 - the blog's cleaner made it
    return found


def _with_tags(db: sqlite3.Connection, entries: list[Any]) -> list[Any]:
    known = {entry.id: entry for entry in entries}
    for each in entries:
        each.tags = []
    marks = ", ".join("?" * len(known))
    for tag in db.execute(_TAGS.format(marks=marks), list(known)):
        known[tag["entry_id"]].tags.append(_thing(tag))
    return entries


def _thing(row: sqlite3.Row) -> Any:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating it gives values
    for name in _MOMENTS & values.keys():
        values[name] = datetime.fromisoformat(values[name]).replace(tzinfo=UTC)
    return SimpleNamespace(**values)


def _now() -> str:
    return _written(datetime.now(UTC))


def _written(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")
