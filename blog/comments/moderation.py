"""The author's decisions on comments. Each is one act, in a transaction of its own."""

from collections.abc import Iterable
from functools import cache
from typing import Literal

from sqlalchemy import delete as delete_from
from sqlalchemy import update
from sqlalchemy.orm import Session

from blog.comments.learning import content_of, teach
from blog.database import writing
from blog.models import Comment
from blog.models.comment import CommentFormat

#: The largest id that each database can store.
_LARGEST = {"sqlite": 2**63 - 1, "postgresql": 2**31 - 1}


class UnknownCommentError(Exception):
    """A comment does not exist. The message names it; nothing was changed."""


def approve(db: Session, ids: Iterable[int]) -> None:
    """Publish comments and train the filter.

    :raises UnknownCommentError: one of the ids is unknown.
    :raises sqlalchemy.exc.OperationalError: see :func:`~blog.database.begin_writing`, as below.
    """
    _decide(db, list(ids), "real")


def mark_spam(db: Session, ids: Iterable[int]) -> None:
    """Mark comments as spam and train the filter.

    :raises UnknownCommentError: one of the ids is unknown.
    """
    _decide(db, list(ids), "spam")


def delete(db: Session, ids: Iterable[int]) -> None:
    """Delete comments for good; replies to them become replies to what they replied to.

    :raises UnknownCommentError: one of the ids is unknown.
    """
    with writing(db):
        for comment in _by_ids(db, ids):
            replies = update(Comment).where(Comment.parent_id == comment.id)
            db.execute(replies.values(parent_id=comment.parent_id))
            db.execute(delete_from(Comment).where(Comment.id == comment.id))


def _decide(db: Session, ids: list[int], kind: Literal["real", "spam"]) -> None:
    # Rendering comes first: other writers wait while the transaction is open. A text that has
    # changed by then is rendered again.
    read = cache(content_of)
    for comment in _by_ids(db, ids):
        read(*_source(comment))
    with writing(db):
        for comment in _by_ids(db, ids):
            comment.state = "spam" if kind == "spam" else "published"
            if kind == "real":
                comment.reason = None
            teach(db, comment, read(*_source(comment)).words, kind)


def _source(comment: Comment) -> tuple[str, CommentFormat, str, str]:
    return comment.text, comment.format, comment.name or "", comment.website or ""


def _by_ids(db: Session, ids: Iterable[int]) -> list[Comment]:
    wanted = list(dict.fromkeys(ids))
    largest = _LARGEST[db.get_bind().dialect.name]
    possible = [id_ for id_ in wanted if 0 < id_ <= largest]
    found = [comment for id_ in possible if (comment := db.get(Comment, id_)) is not None]
    missing = set(wanted) - {comment.id for comment in found}
    if missing:
        numbers = ", ".join(map(str, sorted(missing)))
        raise UnknownCommentError(
            f"There is no comment {numbers}. Nothing was changed. "
            "`threadleaf comments list` shows the numbers."
        )
    return found
