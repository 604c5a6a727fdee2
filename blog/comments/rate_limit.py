"""Limits on comments per network and per person, and deletion of old network hashes."""

from datetime import datetime, timedelta
from itertools import product

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from blog.models import Comment

#: The most comments per period from one network, and from one person on any network. A family
#: shares an address and a few hundred customers share a network, but after five comments in ten
#: minutes the sixth can wait.
RATES = ((5, timedelta(minutes=10)), (40, timedelta(days=1)))


class TooManyError(Exception):
    """The visitor or their network has posted too many comments. ``wait`` is in seconds."""

    def __init__(self, wait: int) -> None:
        minutes = max(1, round(wait / 60))
        super().__init__(
            "Too many comments from you or your network. Please try again in "
            f"{minutes} minute{'s' if minutes > 1 else ''}. Your text is still below."
        )
        self.wait = wait


def check_rate(db: Session, network: str, person: str | None, now: datetime) -> None:
    """Enforce :data:`RATES`.

    :param network: its hash, as :class:`~blog.models.Comment` stores it.
    :param person: likewise; None for a visitor who is not remembered.
    :raises TooManyError: one of them has reached a limit.
    """
    senders = [Comment.network == network]
    senders += [Comment.person == person] if person else []
    for sender, (number, period) in product(senders, RATES):
        # After the clock was set back, comments may be dated in the future.
        recent = sender, Comment.created.between(now - period, now + period)
        newest = select(Comment.created).where(*recent).order_by(Comment.created.desc())
        oldest = db.scalar(newest.offset(number - 1).limit(1))
        if oldest is not None:
            raise TooManyError(int((oldest + period - now).total_seconds()) + 1)


def forget_networks(db: Session, days: int, now: datetime) -> None:
    """Delete the network hashes of old comments.

    :param db: a session in a transaction that writes.
    :param days: the age, in days, from which they are deleted.
    """
    past = Comment.created < now - timedelta(days=days)
    db.execute(
        update(Comment).where(past, Comment.network.is_not(None)).values(network=None, digest=None),
        execution_options={"synchronize_session": False},
    )
