"""Comments, in the seed's table ``comment`` with added columns."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    Select,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from blog.database.reads import ENTRY
from blog.markup import CommentFormat as CommentFormat
from blog.models.base import Base, one_of

if TYPE_CHECKING:
    from blog.models.entry import Entry

CommentState = Literal["published", "held", "spam", "trash"]
Taught = Literal["spam", "real"]

ANONYMOUS = "Anonymous"

#: The sort key of comments without a date, such as those of the seed.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Comment(Base):
    """A comment on an entry. Only an imported comment has the format ``html``.

    ``reason`` says why a comment is held, ``taught`` what the filter has learnt it as.
    ``person`` and ``network`` are keyed hashes of who sent it and from where, ``digest`` is one of
    the whole form, by which one that is sent again is known.
    """

    __tablename__ = "comment"
    __table_args__ = (
        one_of("state", CommentState),
        one_of("format", CommentFormat),
        one_of("taught", Taught),
        # For counting recent comments, in total or from one network.
        Index("ix_comment_created", "created", "network"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"), index=True)
    text: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime | None]
    state: Mapped[CommentState] = mapped_column(Text, default="published")
    format: Mapped[CommentFormat] = mapped_column(Text, default="text")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("comment.id"), index=True)
    website: Mapped[str | None] = mapped_column(Text)
    uid: Mapped[str] = mapped_column(Text, unique=True, default=lambda: uuid4().urn)
    reason: Mapped[str | None] = mapped_column(Text)
    taught: Mapped[Taught | None] = mapped_column(Text)
    person: Mapped[str | None] = mapped_column(Text, index=True)
    network: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str | None] = mapped_column(Text, unique=True)

    entry: Mapped["Entry"] = relationship(back_populates="comments")

    @property
    def author(self) -> str:
        return self.name or ANONYMOUS

    @classmethod
    def is_visible(cls) -> ColumnElement[bool]:
        """Whether it is visible, on a visible entry."""
        return cls.state == "published"

    @classmethod
    def below(cls, db: Session, entry_id: int) -> Sequence[Any]:
        """The visible comments on an entry, in the order they were stored, as rows."""
        options = {ENTRY: entry_id}
        return db.execute(_BELOW, {"entry_id": entry_id}, execution_options=options).all()

    @classmethod
    def published(cls, entry_id: int) -> Select["Comment"]:
        """The visible comments on an entry, in the order they were stored."""
        found = select(cls).where(cls.entry_id == entry_id, cls.is_visible()).order_by(cls.id)
        return found.execution_options(**{ENTRY: entry_id})


@dataclass(frozen=True)
class Threaded:
    """A comment at its depth in the discussion: 0 is a reply to the entry itself."""

    comment: Any
    depth: int
    #: The author of the comment that it replies to; None at depth 0.
    parent_author: str | None = None


def threads(comments: Sequence[Any]) -> Iterator[Threaded]:
    """Sort each comment below the one that it replies to, and otherwise oldest first.

    A reply to a comment that is not in `comments` (held or deleted) is at the top level.
    The walk keeps its own stack: a thread may be deeper than Python's recursion limit.

    :param comments: what :meth:`Comment.below` returned.
    """
    ids = {comment.id for comment in comments}
    replies: defaultdict[int | None, list[Any]] = defaultdict(list)
    for comment in sorted(comments, key=lambda c: (c.created or LONG_AGO, c.id), reverse=True):
        replies[comment.parent_id if comment.parent_id in ids else None].append(comment)
    waiting = [Threaded(comment, 0) for comment in replies[None]]
    while waiting:
        placed = waiting.pop()
        yield placed
        author, depth = placed.comment.author, placed.depth + 1
        waiting += [Threaded(reply, depth, author) for reply in replies[placed.comment.id]]


_COMMENT = Comment.__table__.c
_AUTHOR = func.coalesce(func.nullif(_COMMENT.name, ""), ANONYMOUS).label("author")
_BELOW = (
    select(_COMMENT.id, _COMMENT.parent_id, _COMMENT.created, _AUTHOR)
    .add_columns(_COMMENT.website, _COMMENT.text, _COMMENT.format)
    .where(_COMMENT.entry_id == bindparam("entry_id"), Comment.is_visible())
    .order_by(_COMMENT.id)
)
