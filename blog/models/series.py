"""Series: entries that belong together and are read in an order."""

from datetime import datetime
from typing import Self

from sqlalchemy import Select, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from blog.models.base import Base
from blog.models.entry import Entry


class Series(Base):
    """A series. ``title`` is what readers see, ``slug`` its place in the address.

    Its parts with a number come first, in the order of the numbers; the others follow in the order
    in which they appeared.
    """

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    slug: Mapped[str] = mapped_column(Text, unique=True)

    @classmethod
    def by_slug(cls, db: Session, slug: str) -> Self | None:
        return db.scalar(select(cls).where(cls.slug == slug))

    @classmethod
    def begun(cls, now: datetime) -> "Select[str, datetime]":
        """Slug of each series that readers see at `now`, and when a part of it last changed."""
        return (
            select(cls.slug, func.max(Entry.updated))
            .join(Entry, Entry.series_id == cls.id)
            .where(Entry.is_listed(now))
            .group_by(cls.id)
            .order_by(cls.id)
        )
