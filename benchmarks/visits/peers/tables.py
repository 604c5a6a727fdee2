"""The models of both peers on SQLAlchemy's ORM, for the base class of their documentation."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from markupsafe import Markup
from sqlalchemy import Column, ForeignKey, Table
from sqlalchemy.orm import Mapped, mapped_column, relationship

from blog.models.base import UTCDateTime

# Not in models_on: SQLAlchemy resolves the names in the strings of `Mapped` here.
Moment = UTCDateTime()


@dataclass
class Models:
    """The classes that :func:`models_on` made."""

    Entry: Any
    Comment: Any
    Tag: Any


def models_on(base: Any) -> Models:
    """Map the tables that the two pages need."""
    entry_tag = Table(
        "entry_tag",
        base.metadata,
        Column("entry_id", ForeignKey("entry.id"), primary_key=True),
        Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    )

    class Tag(base):  # type: ignore[misc]
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        slug: Mapped[str]

    class Rendering(base):  # type: ignore[misc]
        __tablename__ = "rendering"
        entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id"), primary_key=True)
        minutes: Mapped[int]
        teaser: Mapped[str]
        description: Mapped[str]
        html: Mapped[str]

        @property
        def safe_html(self) -> Markup:
            return Markup(self.html)  # noqa: S704 - the blog's cleaner made it

    class Comment(base):  # type: ignore[misc]
        __tablename__ = "comment"
        id: Mapped[int] = mapped_column(primary_key=True)
        entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id"))
        text: Mapped[str]
        name: Mapped[str | None]
        created: Mapped[datetime] = mapped_column(Moment, default=lambda: datetime.now(UTC))
        state: Mapped[str] = mapped_column(default="published")
        format: Mapped[str] = mapped_column(default="text")
        parent_id: Mapped[int | None]
        website: Mapped[str | None]
        uid: Mapped[str] = mapped_column(default=lambda: uuid4().urn)

        @property
        def author(self) -> str:
            return self.name or "Anonymous"

    class Entry(base):  # type: ignore[misc]
        __tablename__ = "entry"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        body: Mapped[str]
        timestamp: Mapped[datetime] = mapped_column(Moment)
        updated: Mapped[datetime] = mapped_column(Moment)
        featured: Mapped[bool]
        slug: Mapped[str]
        state: Mapped[str]
        kind: Mapped[str]
        comments_open: Mapped[bool]
        author: Mapped[str | None]
        tags = relationship(Tag, secondary=entry_tag, order_by=Tag.name)
        shown = relationship(Rendering, uselist=False)
        comments = relationship(Comment, order_by=Comment.id)

        @property
        def teaser(self) -> Markup:
            return Markup(self.shown.teaser)  # noqa: S704 - the blog's cleaner made it

        @property
        def minutes(self) -> int:
            minutes: int = self.shown.minutes
            return minutes

    return Models(Entry, Comment, Tag)
