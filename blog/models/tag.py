"""Tags, and which entries carry them."""

from datetime import datetime
from typing import Self

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Table,
    Text,
    and_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from blog.models.base import Base, UTCDateTime
from blog.text.folding import order

entry_tag = Table(
    "entry_tag",
    Base.metadata,
    Column("entry_id", ForeignKey("entry.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    # Copied by triggers, so that a tag's list is read from one index: the entry's timestamp, and
    # whether it is listable.
    Column("timestamp", UTCDateTime),
    Column("listed", Boolean),
    Index("ix_entry_tag_tag_id", "tag_id", "listed", "timestamp", "entry_id"),
)


def is_listed(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether the list of the tag shows the entry at `now`: ``Entry.is_listed``, from the index."""
    return and_(entry_tag.c.listed, entry_tag.c.timestamp <= now)


class Tag(Base):
    """A subject. ``name`` is what readers see, ``slug`` its place in the address."""

    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    slug: Mapped[str] = mapped_column(Text, unique=True)

    def order(self) -> tuple[tuple[str, str], str]:
        """Return its sort key among tags."""
        return order(self.name), self.slug

    @classmethod
    def by_slug(cls, db: Session, slug: str) -> Self | None:
        return db.scalar(select(cls).where(cls.slug == slug))

    @classmethod
    def shown(cls, db: Session, slug: str, now: datetime) -> Self | None:
        """The tag at `slug`, if readers see an entry with it at `now`."""
        listed = select(entry_tag.c.tag_id).where(entry_tag.c.tag_id == cls.id, is_listed(now))
        return db.scalar(select(cls).where(cls.slug == slug, listed.exists()))
