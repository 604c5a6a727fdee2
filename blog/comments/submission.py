"""The act of posting a comment: check, judge and store it in one transaction."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import cast

from sqlalchemy import func, not_, select
from sqlalchemy.orm import Session, aliased

from blog.comments import spam
from blog.comments.learning import content_of, learnt
from blog.comments.rate_limit import check_rate, forget_networks
from blog.config import Config
from blog.database import writing
from blog.models import Comment, Entry
from blog.models.comment import CommentFormat, CommentState

#: The message for an entry that does not accept comments.
CLOSED = "Comments on this entry are closed."

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Submission:
    """A comment as a visitor submits it, with what is known of the visitor.

    :param slug: the slug of the entry.
    :param parent_id: the id of the comment that it replies to; None for the entry itself.
    :param trap: the content of the hidden field.
    :param network: a keyed hash of the client's network.
    :param person: a keyed hash of a remembered visitor's id; None for any other visitor.
    :param now: when it was submitted.
    """

    slug: str
    text: str
    name: str
    website: str
    parent_id: int | None
    trap: str
    network: str
    person: str | None
    now: datetime

    @cached_property
    def digest(self) -> str:
        """A hash of the form: the same one for the same form from the same network."""
        # The hash of the network depends on the site's secret, and so does this one.
        form = [self.slug, self.parent_id, self.name, self.text, self.website, self.network]
        return sha256(json.dumps(form).encode()).hexdigest()


@dataclass(frozen=True)
class Posted:
    """The id of a stored comment, and the decision on it."""

    id: int
    state: CommentState


class RefusedError(Exception):
    """The comment is not accepted. The message, for the visitor, says why."""


def submit(db: Session, config: Config, new: Submission) -> Posted:
    """Store a comment, or return the stored one if the same form was submitted before.

    :raises RefusedError: the hidden field is filled in, or comments are closed.
    :raises TooManyError: the visitor or their network has submitted too many.
    :raises sqlalchemy.exc.OperationalError: see :func:`~blog.database.begin_writing`.
    """
    if new.trap:
        raise RefusedError("Your comment was not accepted: a hidden field was filled in.")
    # Rendering and hashing come first: other writers wait while the transaction is open.
    language = cast("CommentFormat", config.comment_format)
    content, digest = content_of(new.text, language, new.name, new.website), new.digest
    with writing(db):
        entry = Entry.by_slug(db, new.slug, new.now)
        if entry is None or not takes_comments(config, entry, new.now):
            raise RefusedError(CLOSED)
        comment = db.scalar(select(Comment).where(Comment.digest == digest))
        if comment is None:
            check_rate(db, new.network, new.person, new.now)
            forget_networks(db, config.comment_days, new.now)
            comment = _add(db, config, entry, new, _judge(db, config, new, content))
        return Posted(comment.id, comment.state)


def takes_comments(config: Config, entry: Entry, now: datetime) -> bool:
    """Tell whether visitors can comment on `entry` at `now`."""
    return config.comments and entry.takes_comments(now, config.comments_close_after)


def replied_to(db: Session, entry: Entry, parent_id: int | None) -> Comment | None:
    """Return the parent of a reply, if it is published on `entry`."""
    if parent_id is None:
        return None
    return db.scalar(Comment.published(entry.id).where(Comment.id == parent_id))


def _add(
    db: Session, config: Config, entry: Entry, new: Submission, verdict: spam.Verdict
) -> Comment:
    # If its parent has been removed in the meantime, the reply becomes a comment on the entry.
    parent = replied_to(db, entry, new.parent_id)
    comment = Comment(
        entry_id=entry.id,
        text=new.text,
        name=new.name or None,
        website=new.website or None,
        parent_id=parent.id if parent else None,
        format=config.comment_format,
        created=new.now,
        state="held" if verdict.decision == "hold" else "published",
        reason=str(verdict) or None,
        person=new.person,
        network=new.network,
        digest=new.digest,
    )
    db.add(comment)
    db.flush()
    return comment


def _judge(db: Session, config: Config, new: Submission, content: spam.Content) -> spam.Verdict:
    is_trusted = config.comment_trust and new.person is not None and _is_known(db, new.person)
    since = new.now - timedelta(days=config.comment_days)
    same = select(func.count()).where(Comment.text == new.text, Comment.created > since)
    signals = spam.Signals(
        content,
        copies=db.scalar(same) or 0,
        within_an_hour=_number(db, new.now, trust=config.comment_trust),
        is_trusted=is_trusted,
    )
    verdict = spam.judge(signals, learnt(db, content.words))
    if verdict.decision == "publish" and config.comment_moderation == "all" and not is_trusted:
        return spam.Verdict("hold", ("all comments are moderated",))
    return verdict


def _is_known(db: Session, person: str) -> bool:
    """Tell whether the author has approved a comment by a person, and marked none as spam."""
    decisions = select(Comment.taught).where(Comment.person == person, Comment.taught.is_not(None))
    return set(db.scalars(decisions.distinct())) == {"real"}


def _number(db: Session, now: datetime, *, trust: bool) -> int:
    """Return the number of comments within the last hour, without those by trusted people.

    These have limits of their own, and must not cause other comments to be held.
    """
    recent = select(func.count()).where(Comment.created.between(now - _HOUR, now + _HOUR))
    if trust:
        other = aliased(Comment)
        decided = select(other.id).where(other.person == Comment.person)
        is_real = decided.where(other.taught == "real").exists()
        is_spam = decided.where(other.taught == "spam").exists()
        recent = recent.where(not_(is_real) | is_spam)
    return db.scalar(recent) or 0
