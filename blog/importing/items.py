"""What a reader finds in a foreign blog, in no blog's own terms."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from blog.models.comment import CommentFormat, CommentState
from blog.models.entry import EntryFormat, EntryKind, EntryState


@dataclass(frozen=True, kw_only=True)
class ForeignComment:
    """A comment.

    :param key: what names it for ever within its source.
    :param parent: the key of the comment that it replies to, which may be missing.
    """

    key: str
    text: str
    format: CommentFormat
    name: str | None
    created: datetime | None
    state: CommentState
    parent: str | None
    website: str | None


@dataclass(frozen=True, kw_only=True)
class ForeignEntry:
    """An entry or a page, whole.

    :param source: names the place it comes from, the same for every run.
    :param key: names it within `source`.
    :param digest: of all that the source says about it, its comments left out.
    :param name: what a person would call it: the file, or the title.
    :param is_dated: whether `timestamp` is what the source says, and not the age of a file.
    :param slug: the last part of its address, as the source has it; it may be empty.
    :param uid: what feeds called it, an IRI, or None.
    :param updated: its last change, or None if the source does not say.
    :param series: the title of the series that it is a part of, or empty.
    :param addresses: paths or URLs that it had.
    :param unwanted: why it is not imported if it is not here already, a clause, or empty. If it is,
        it becomes what it is in its source.
    :param notes: what a person should know about how it was read, a sentence each.
    """

    source: str
    key: str
    digest: str
    name: str
    title: str
    body: str
    format: EntryFormat
    kind: EntryKind
    state: EntryState
    timestamp: datetime
    slug: str
    is_dated: bool = True
    uid: str | None = None
    updated: datetime | None = None
    summary: str | None = None
    author: str | None = None
    featured: bool = False
    comments_open: bool = True
    tags: tuple[str, ...] = ()
    series: str = ""
    series_number: int | None = None
    addresses: tuple[str, ...] = ()
    comments: tuple[ForeignComment, ...] = ()
    unwanted: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """An item that is not taken, and why, in a phrase that other items may share."""

    name: str
    reason: str


Item = ForeignEntry | Skipped


class Source(Protocol):
    """A place that has been looked at and can be read, as often as one likes."""

    def __len__(self) -> int:
        """Return how many items there are."""
        ...

    def __iter__(self) -> Iterator[Item]: ...

    def holds(self, source: str, key: str) -> bool:
        """Tell whether the item of that name is still there, beside one that equals it."""
        ...

    def was(self, item: ForeignEntry, source: str, key: str) -> bool:
        """Tell whether `item`, edited since, may be the missing item of that name."""
        ...


def digest(*parts: object) -> str:
    """Return the digest of `parts` for the ledger."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
