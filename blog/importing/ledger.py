"""Import foreign items into the database, each once; the table ``imported`` is the ledger.

Nothing that was edited in this blog is overwritten.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from blog.entries.redirects import redirect_from
from blog.entries.rendering import render_entry
from blog.entries.slugs import free_slug
from blog.entries.taxonomy import series_titled, tag_named
from blog.importing.items import ForeignComment, ForeignEntry, digest
from blog.models import Comment, Entry, Imported
from blog.models.comment import LONG_AGO
from blog.text.slugs import slugify

Verdict = Literal["imported", "updated", "unchanged", "skipped"]

#: An author here, or an earlier version of the program, published it.
_EXPOSED = "Published here, but a new import would make it a draft: check who may read it."

#: In characters: as long as a file name, because an old slug is worth preserving whole.
_LONGEST_SLUG = 255
#: An entry is indexed again with each of its tags.
_MOST_TAGS = 100
#: Databases limit the number of parameters per statement.
_AT_ONCE = 500


@dataclass(frozen=True)
class Outcome:
    """The result of importing an item.

    :param name: its name in messages.
    :param reason: why it was skipped, a clause by which items are grouped; otherwise empty.
    :param notes: what was lost or guessed, one sentence each.
    :param comments: the number of new comments.
    """

    name: str
    verdict: Verdict
    reason: str = ""
    notes: tuple[str, ...] = ()
    comments: int = 0


def is_settled(db: Session, item: ForeignEntry, row: Imported | None) -> bool:
    """Tell whether importing `item` again would change nothing, not even in the ledger."""
    if row is None or row.entry_id is None:
        return False
    if (row.source, row.key, row.digest) != (item.source, item.key, item.digest):
        return False
    if item.state == "draft":
        state = db.scalar(select(Entry.state).where(Entry.id == row.entry_id))
        if _is_exposed(state, item):
            return False
    return len(_known_comments(db, item, row.source)) == len(_by_key(item))


def take(db: Session, item: ForeignEntry, row: Imported | None) -> Outcome:
    """Import or update `item`. The caller commits.

    :param db: a session in a transaction that writes.
    :param row: what :func:`blog.importing.matching.find` returned in the same transaction.
    """
    if row is None and item.unwanted:
        return Outcome(item.name, "skipped", item.unwanted)
    if row is None:
        return _import(db, item)
    known_as = row.source
    has_moved = (row.source, row.key) != (item.source, item.key)
    row.source, row.key = item.source, item.key
    entry = db.get(Entry, row.entry_id) if row.entry_id else None
    if entry is None:
        return Outcome(item.name, "skipped", "deleted here after its import")
    added = _add_comments(db, entry, item, known_as)
    if row.digest == item.digest and not (has_moved and _differs(entry, item)):
        notes = [_EXPOSED] if _is_exposed(entry.state, item) else []
        verdict: Verdict = "updated" if added else "unchanged"
        return Outcome(item.name, verdict, notes=tuple(notes), comments=added)
    if row.entry_updated != entry.updated:
        reason = "changed in its source, but edited here after its import"
        return Outcome(item.name, "skipped", reason, comments=added)
    notes = _update(db, entry, item)
    row.digest, row.entry_updated = item.digest, entry.updated
    return Outcome(item.name, "updated", notes=(*item.notes, *notes), comments=added)


def _differs(entry: Entry, item: ForeignEntry) -> bool:
    """Tell whether a move changed the state or date: the path decides them, too."""
    return entry.state != item.state or (item.is_dated and entry.timestamp != item.timestamp)


def _is_exposed(state: str | None, item: ForeignEntry) -> bool:
    return (state, item.state) == ("published", "draft")


def _import(db: Session, item: ForeignEntry) -> Outcome:
    wanted = slugify(item.slug, _LONGEST_SLUG) or slugify(item.title)
    slug = free_slug(db, item.kind, wanted)
    notes = [f"Imported at “{slug}”: “{wanted}” is already in use."] if slug != wanted != "" else []
    entry = Entry(kind=item.kind, slug=slug)
    entry.updated = max(item.updated or item.timestamp, item.timestamp)
    if item.uid and db.scalar(select(Entry.id).where(Entry.uid == item.uid)) is None:
        entry.uid = item.uid
    _fill(db, entry, item)
    db.add(entry)
    render_entry(db, entry)
    notes += _too_many_tags(item) + _keep_addresses(db, entry, item)
    row = Imported(source=item.source, key=item.key, digest=item.digest, entry_id=entry.id)
    row.entry_updated = entry.updated
    db.add(row)
    added = _add_comments(db, entry, item, item.source)
    return Outcome(item.name, "imported", notes=(*item.notes, *notes), comments=added)


def _update(db: Session, entry: Entry, item: ForeignEntry) -> list[str]:
    """Update `entry` from its source, except kind, slug and uid, which readers may have."""
    _fill(db, entry, item)
    said = item.updated or entry.updated
    entry.updated = said if said > entry.updated else datetime.now(UTC)
    render_entry(db, entry)
    return _too_many_tags(item) + _keep_addresses(db, entry, item)


def _fill(db: Session, entry: Entry, item: ForeignEntry) -> None:
    entry.title = item.title
    entry.body = item.body
    entry.format = item.format
    entry.summary = item.summary
    entry.state = item.state
    entry.timestamp = item.timestamp
    entry.author = item.author
    entry.featured = item.featured
    entry.comments_open = item.comments_open
    entry.series_id = series_titled(db, item.series).id if item.series else None
    entry.series_number = item.series_number
    # Two names may belong to the same tag.
    entry.tags = list(dict.fromkeys(tag_named(db, name) for name in item.tags[:_MOST_TAGS]))


def _too_many_tags(item: ForeignEntry) -> list[str]:
    if len(item.tags) <= _MOST_TAGS:
        return []
    return [f"Has {len(item.tags):,} tags: only the first {_MOST_TAGS} were imported."]


def _keep_addresses(db: Session, entry: Entry, item: ForeignEntry) -> list[str]:
    refused = ((address, redirect_from(db, entry, address)) for address in item.addresses)
    return [f"No redirect from {address}: {reason}." for address, reason in refused if reason]


def _by_key(item: ForeignEntry) -> dict[str, ForeignComment]:
    return {comment.key: comment for comment in item.comments}


def _known_comments(db: Session, item: ForeignEntry, source: str) -> dict[str, Imported]:
    keys = list(_by_key(item))
    parts = (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))
    statement = select(Imported).where(Imported.source == source)
    rows = (row for part in parts for row in db.scalars(statement.where(Imported.key.in_(part))))
    return {row.key: row for row in rows}


def _add_comments(db: Session, entry: Entry, item: ForeignEntry, known_as: str) -> int:
    """Add new comments. Those already imported are never changed."""
    known = _known_comments(db, item, known_as)
    for row in known.values():
        row.source = item.source
    new = [comment for key, comment in _by_key(item).items() if key not in known]
    new.sort(key=lambda comment: comment.created or LONG_AGO)
    made = {comment.key: _comment(entry, comment) for comment in new}
    db.add_all(made.values())
    db.flush()
    ids = {key: row.comment_id for key, row in known.items()}
    ids |= {key: comment.id for key, comment in made.items()}
    for key, parent in _threads(new, ids).items():
        made[key].parent_id = ids[parent]
    db.add_all(_row(item, comment, made[comment.key]) for comment in new)
    return len(new)


def _comment(entry: Entry, comment: ForeignComment) -> Comment:
    return Comment(
        entry_id=entry.id,
        text=comment.text,
        format=comment.format,
        name=comment.name,
        created=comment.created,
        state=comment.state,
        website=comment.website,
    )


def _row(item: ForeignEntry, comment: ForeignComment, made: Comment) -> Imported:
    return Imported(
        source=item.source,
        key=comment.key,
        digest=digest("comment", comment),
        entry_id=made.entry_id,
        comment_id=made.id,
    )


def _threads(comments: Iterable[ForeignComment], known: Container[str]) -> dict[str, str]:
    """Return the parent of each reply, by key, without unknown parents and cycles."""
    parents = {c.key: c.parent for c in comments if c.parent is not None and c.parent in known}
    safe: set[str] = set()
    for key in list(parents):
        climbed: set[str] = set()
        while key in parents and key not in safe:
            if key in climbed:
                del parents[key]
                break
            climbed.add(key)
            key = parents[key]
        safe |= climbed
    return parents
