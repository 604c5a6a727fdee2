"""The input of the spam filter, and its training with the author's decisions."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from blog.comments import spam
from blog.markup import seen
from blog.models import Comment, SpamWord
from blog.models.comment import CommentFormat
from blog.models.spam_word import TOTAL

#: Databases limit how many values one statement takes.
_AT_ONCE = 500


def content_of(text: str, format: CommentFormat, name: str, website: str) -> spam.Content:
    """Return a comment as the filter reads it.

    This renders the text: call it before a transaction that writes.

    :param name: the author's name, or "".
    :param website: the author's website, or "".
    """
    comment = seen(text, format)
    links = [*comment.links, *spam.addresses(comment.beside), *spam.addresses(name)]
    return spam.read(comment.text, name, [*links, website] if website else links)


def learnt(db: Session, words: Iterable[str]) -> spam.Learnt:
    """Return the author's decisions for `words`."""
    wanted = [TOTAL, *words]
    rows: dict[str, tuple[int, int]] = {}
    for part in _portions(wanted):
        found = db.execute(select(SpamWord.word, SpamWord.spam, SpamWord.real).where(part))
        rows |= {word: (bad, good) for word, bad, good in found}
    number = rows.pop(TOTAL, (0, 0))
    return spam.Learnt(*number, rows)


def teach(
    db: Session, comment: Comment, words: Iterable[str], kind: Literal["spam", "real"]
) -> None:
    """Count the words of a comment as `kind`, and undo an earlier count of the other kind."""
    if comment.taught == kind:
        return
    counts = {kind: 1} | ({comment.taught: -1} if comment.taught else {})
    wanted = [TOTAL, *sorted(words)]
    found = (db.scalars(select(SpamWord).where(part)) for part in _portions(wanted))
    rows = {row.word: row for row in chain.from_iterable(found)}
    for word in wanted:
        row = rows.get(word)
        if row is None:
            row = SpamWord(word=word, spam=0, real=0)
            db.add(row)
        for column, number in counts.items():
            setattr(row, column, getattr(row, column) + number)
    comment.taught = kind


def _portions(words: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that together select the rows of `words`."""
    for start in range(0, len(words), _AT_ONCE):
        yield SpamWord.word.in_(words[start : start + _AT_ONCE])
