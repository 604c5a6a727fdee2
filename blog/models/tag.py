"""Tags, and which entries carry them."""

from datetime import datetime
from typing import Self

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from blog.folding import order
from blog.models.base import Base, UTCDateTime

entry_tag = Table(
    "entry_tag",
    Base.metadata,
    Column("entry_id", ForeignKey("entry.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
    # Kept by triggers, so that the list of a tag is a walk along one index: when the entry appears,
    # and whether it is a published one at all.
    Column("timestamp", UTCDateTime),
    Column("listed", Boolean),
    Index("ix_entry_tag_tag_id", "tag_id", "listed", "timestamp", "entry_id"),
)


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
        under = entry_tag.c
        listed = select(under.tag_id).where(
            under.tag_id == cls.id, under.listed, under.timestamp <= now
        )
        return db.scalar(select(cls).where(cls.slug == slug, listed.exists()))
