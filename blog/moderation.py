"""Comments as they arrive, and the author's decisions on them.

Functions of a session and values, never of a request. None of them commits.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Literal, cast

from sqlalchemy import delete, func, not_, select, update
from sqlalchemy.orm import Session, aliased

from blog import spam
from blog.config import Config
from blog.markup import seen
from blog.models import Comment, Entry, SpamWord
from blog.models.comment import CommentFormat
from blog.models.spam_word import TOTAL
from blog.networks import network_of

#: The most comments per period from one network, and from one person on any network. A family
#: shares an address and some hundred customers a network, but after five comments in ten minutes
#: the sixth can wait.
RATES = ((5, timedelta(minutes=10)), (40, timedelta(days=1)))

_HOUR = timedelta(hours=1)
#: The largest ids that there can be.
_LARGEST = {"sqlite": 2**63 - 1, "postgresql": 2**31 - 1}
#: Databases limit how many values one statement takes.
_AT_ONCE = 500


@dataclass(frozen=True)
class Sent:
    """A comment as it was sent, its form without errors.

    :param address: the client's IP address.
    :param person: the id of a visitor who is remembered, else empty.
    :param trap: what stood in the field that people do not see.
    """

    text: str
    name: str
    website: str
    parent_id: int | None
    address: str
    person: str
    trap: str


class RefusedError(Exception):
    """The comment is not taken. The message says why."""


class TooManyError(RefusedError):
    """The visitor or their network has sent too many. ``wait`` is the time to wait, in seconds."""

    def __init__(self, wait: int) -> None:
        super().__init__(
            f"Too many comments have come from you or your network. Please try again in "
            f"{max(1, round(wait / 60))} minutes; what you wrote is still here."
        )
        self.wait = wait


class UnknownCommentError(Exception):
    """There is no comment of a number. The message says which, and what was done."""


def check_rate(db: Session, network: str, person: str | None, now: datetime) -> None:
    """Enforce :data:`RATES`.

    :param network: its hash, as :class:`~blog.models.Comment` stores it.
    :param person: likewise; None for a visitor who is not remembered.
    :raises TooManyError: one of them has reached a limit.
    """
    senders = [Comment.network == network]
    senders += [Comment.person == person] if person else []
    for sender, (number, period) in product(senders, RATES):
        # After a clock was set back, comments may be from the future.
        recent = sender, Comment.created.between(now - period, now + period)
        newest = select(Comment.created).where(*recent).order_by(Comment.created.desc())
        oldest = db.scalar(newest.offset(number - 1).limit(1))
        if oldest is not None:
            raise TooManyError(int((oldest + period - now).total_seconds()) + 1)


def receive(
    db: Session, config: Config, secret: str, entry: Entry, sent: Sent, now: datetime
) -> Comment:
    """Store a comment, published or held; or find it, if it was sent before.

    :param db: a session in a transaction that writes.
    :param secret: the site's secret, the key of the hashes.
    :return: the comment; for a form that is sent twice, the first one.
    :raises RefusedError: the comment is not accepted.
    """
    network = network_of(sent.address)
    identity = [entry.id, sent.parent_id, sent.name, sent.text, sent.website, network]
    digest = _keyed(secret, "digest", json.dumps(identity))
    known = db.scalar(select(Comment).where(Comment.digest == digest))
    if known is not None:
        return known
    hashed = _keyed(secret, "network", network)
    person = _keyed(secret, "person", sent.person) if sent.person else None
    check_rate(db, hashed, person, now)
    forget(db, config.comment_days, now)
    verdict = _judge(db, config, sent, person, now)
    if verdict.decision == "refuse":
        raise RefusedError(f"This comment cannot be taken: {verdict}.")
    comment = Comment(
        entry_id=entry.id,
        text=sent.text,
        name=sent.name or None,
        website=sent.website or None,
        parent_id=sent.parent_id,
        format=config.comment_format,
        created=now,
        state="held" if verdict.decision == "hold" else "published",
        reason=str(verdict) or None,
        person=person,
        network=hashed,
        digest=digest,
    )
    db.add(comment)
    db.flush()
    return comment


def forget(db: Session, days: int, now: datetime) -> None:
    """Remove the hashes of networks from comments that are older than so many days."""
    past = Comment.created < now - timedelta(days=days)
    db.execute(
        update(Comment).where(past, Comment.network.is_not(None)).values(network=None, digest=None),
        execution_options={"synchronize_session": False},
    )


def by_ids(db: Session, ids: Iterable[int]) -> list[Comment]:
    """Return comments by their ids.

    :raises UnknownCommentError: one of the ids is unknown.
    """
    wanted = list(dict.fromkeys(ids))
    largest = _LARGEST[db.get_bind().dialect.name]
    possible = [id_ for id_ in wanted if 0 < id_ <= largest]
    found = [comment for id_ in possible if (comment := db.get(Comment, id_)) is not None]
    missing = set(wanted) - {comment.id for comment in found}
    if missing:
        numbers = ", ".join(map(str, sorted(missing)))
        raise UnknownCommentError(
            f"There is no comment {numbers}, and nothing was changed; "
            "`threadleaf comments list` shows the numbers."
        )
    return found


def approve(db: Session, comment: Comment) -> None:
    """Publish a comment, and learn from it."""
    comment.state, comment.reason = "published", None
    _teach(db, comment, "real")


def call_spam(db: Session, comment: Comment) -> None:
    """Take a comment away, and learn from it."""
    comment.state = "spam"
    _teach(db, comment, "spam")


def remove(db: Session, comment: Comment) -> None:
    """Delete a comment for good; the answers to it become answers to what it answered itself."""
    db.execute(
        update(Comment).where(Comment.parent_id == comment.id).values(parent_id=comment.parent_id)
    )
    db.execute(delete(Comment).where(Comment.id == comment.id))


def learnt(db: Session, words: Iterable[str]) -> spam.Learnt:
    """Return the author's decisions for `words`."""
    wanted = [TOTAL, *words]
    rows: dict[str, tuple[int, int]] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = SpamWord.word.in_(wanted[start : start + _AT_ONCE])
        found = db.execute(select(SpamWord.word, SpamWord.spam, SpamWord.real).where(part))
        rows |= {word: (bad, good) for word, bad, good in found}
    number = rows.pop(TOTAL, (0, 0))
    return spam.Learnt(*number, rows)


def _judge(
    db: Session, config: Config, sent: Sent, person: str | None, now: datetime
) -> spam.Verdict:
    is_trusted = config.comment_trust and person is not None and _is_known(db, person)
    same = Comment.text == sent.text, Comment.created > now - timedelta(days=config.comment_days)
    language = cast("CommentFormat", config.comment_format)
    text, links = _shown(sent.text, language, sent.name, sent.website)
    signals = spam.Signals(
        text=text,
        name=sent.name,
        links=links,
        trap=sent.trap,
        copies=db.scalar(select(func.count()).where(*same)) or 0,
        within_an_hour=_number(db, now, trust=config.comment_trust),
        is_trusted=is_trusted,
    )
    words = spam.tokens(text, sent.name, links)
    verdict = spam.judge(signals, learnt(db, words))
    if verdict.decision == "publish" and config.comment_moderation == "all" and not is_trusted:
        return spam.Verdict("hold", ("every comment waits here",))
    return verdict


def _shown(text: str, format: CommentFormat, name: str, website: str) -> tuple[str, list[str]]:
    """Return the text of a comment as readers see it, and all addresses that it offers."""
    comment = seen(text, format)
    offered = [*comment.links, *spam.addresses(comment.beside), *spam.addresses(name)]
    return comment.text, [*offered, website] if website else offered


def _is_known(db: Session, person: str) -> bool:
    """Tell whether the author has approved a comment of a person, and marked none as spam."""
    decisions = select(Comment.taught).where(Comment.person == person, Comment.taught.is_not(None))
    return set(db.scalars(decisions.distinct())) == {"real"}


def _number(db: Session, now: datetime, *, trust: bool) -> int:
    """Return the number of comments within the last hour, without those of trusted people.

    Those have limits of their own, and must not make other comments wait.
    """
    recent = select(func.count()).where(Comment.created.between(now - _HOUR, now + _HOUR))
    if trust:
        other = aliased(Comment)
        decided = select(other.id).where(other.person == Comment.person)
        is_real = decided.where(other.taught == "real").exists()
        is_spam = decided.where(other.taught == "spam").exists()
        recent = recent.where(not_(is_real) | is_spam)
    return db.scalar(recent) or 0


def _teach(db: Session, comment: Comment, kind: Literal["spam", "real"]) -> None:
    """Count the words of a comment as `kind`, and no longer as before."""
    if comment.taught == kind:
        return
    name = comment.name or ""
    text, links = _shown(comment.text, comment.format, name, comment.website or "")
    words = spam.tokens(text, name, links)
    counts = {kind: 1} | ({comment.taught: -1} if comment.taught else {})
    for word in (TOTAL, *sorted(words)):
        row = db.get(SpamWord, word)
        if row is None:
            row = SpamWord(word=word, spam=0, real=0)
            db.add(row)
        for column, number in counts.items():
            setattr(row, column, getattr(row, column) + number)
    comment.taught = kind


def _keyed(secret: str, purpose: str, value: str) -> str:
    """Return a keyed hash: without the secret, trying all values does not undo it."""
    key = f"{purpose}:{secret}".encode()
    return hmac.new(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
