"""The entries and comments of a foreign blog, in a common form for all readers."""

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

    :param key: identifies it permanently within its source.
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
    """A complete entry or page.

    :param source: identifies the place it comes from, the same in every run.
    :param key: identifies it within `source`.
    :param digest: of everything the source says about it, except its comments.
    :param name: its name in reports: the file, or the title.
    :param is_dated: whether `timestamp` comes from the source, not from the file's age.
    :param slug: the last part of its address in the source; may be empty.
    :param uid: its id in feeds, an IRI, or None.
    :param updated: its last change, or None if the source does not say.
    :param series: the title of the series that it is a part of, or empty.
    :param addresses: its previous paths or URLs.
    :param unwanted: a clause that says why it is not imported, or empty. If an earlier import had
        it, it is updated from its source all the same.
    :param notes: remarks for the report, one sentence each.
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
    """An item that is not imported, with a reason that other items may share."""

    name: str
    reason: str


Item = ForeignEntry | Skipped


class Source(Protocol):
    """A source that is ready to be read, any number of times."""

    def __len__(self) -> int:
        """Return how many items there are."""
        ...

    def __iter__(self) -> Iterator[Item]: ...

    def holds(self, source: str, key: str) -> bool:
        """Tell whether the item of that name still exists, beside another with equal content."""
        ...

    def was(self, item: ForeignEntry, source: str, key: str) -> bool:
        """Tell whether `item`, edited since, may be the missing item of that name."""
        ...


def digest(*parts: object) -> str:
    """Return the digest of `parts` for the ledger."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
