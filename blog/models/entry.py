"""Entries and pages, in the seed's table ``entry`` with added columns."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, Self
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    Row,
    Select,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.orm import (
    Mapped,
    Session,
    joinedload,
    mapped_column,
    object_session,
    relationship,
    selectinload,
)
from sqlalchemy.orm.attributes import set_committed_value

from blog.database import language_of
from blog.markup import Format, renderer
from blog.models.base import Base, UTCDateTime, one_of
from blog.models.comment import Comment
from blog.models.month import Month
from blog.models.redirect import Redirect
from blog.models.rendering import Rendering
from blog.models.tag import Tag, entry_tag, is_listed
from blog.text.folding import order

EntryKind = Literal["entry", "page"]
EntryState = Literal["draft", "published"]
EntryFormat = Format


class Entry(Base):
    """A text of the blog: an ``entry`` is in lists and feeds, a ``page`` is not.

    It is visible from ``timestamp`` on, unless it is a draft. ``uid`` identifies it in feeds; it
    never changes, even if title, slug or site do.
    """

    __tablename__ = "entry"
    __table_args__ = (
        UniqueConstraint("slug", "kind"),
        one_of("kind", EntryKind),
        one_of("state", EntryState),
        one_of("format", EntryFormat),
        # Lists scan this index backwards. It has all columns that decide visibility, so a far page
        # skips its predecessors without reading the table.
        Index("ix_entry_timestamp", "timestamp", "id", "kind", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    timestamp: Mapped[datetime]
    featured: Mapped[bool] = mapped_column(default=False)
    slug: Mapped[str] = mapped_column(Text)
    summary: Mapped[str | None] = mapped_column(Text)
    state: Mapped[EntryState] = mapped_column(Text, default="published")
    uid: Mapped[str] = mapped_column(Text, unique=True, default=lambda: uuid4().urn)
    updated: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    format: Mapped[EntryFormat] = mapped_column(Text, default="markdown")
    kind: Mapped[EntryKind] = mapped_column(Text, default="entry")
    comments_open: Mapped[bool] = mapped_column(default=True)
    author: Mapped[str | None] = mapped_column(Text)
    series_id: Mapped[int | None] = mapped_column(ForeignKey("series.id"), index=True)
    series_number: Mapped[int | None]

    tags: Mapped[list[Tag]] = relationship(secondary=entry_tag, order_by=Tag.id)
    comments: Mapped[list[Comment]] = relationship(
        back_populates="entry", cascade="all, delete-orphan"
    )
    rendering: Mapped[Rendering | None] = relationship(viewonly=True)

    def takes_comments(self, now: datetime, days: int) -> bool:
        """Tell whether comments are open at `now`, `days` after publication at most; 0 for ever."""
        is_over = days > 0 and now >= self.timestamp + timedelta(days=days)
        return self.comments_open and not is_over

    # The visibility rules. Views, queries, triggers and the search are built from them.

    @classmethod
    def is_published(cls) -> ColumnElement[bool]:
        """Whether readers may see it from its ``timestamp`` on."""
        return cls.state == "published"

    @classmethod
    def is_visible(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether readers may see it at `now`."""
        return and_(cls.is_published(), cls.timestamp <= now)

    @classmethod
    def is_scheduled(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether it becomes visible after `now`, without a change to the database."""
        return and_(cls.is_published(), cls.timestamp > now)

    @classmethod
    def is_listable(cls) -> ColumnElement[bool]:
        """Whether lists and feeds show it from its ``timestamp`` on."""
        return and_(cls.kind == "entry", cls.is_published())

    @classmethod
    def is_listed(cls, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
        """Whether lists and feeds show it at `now`."""
        return and_(cls.kind == "entry", cls.is_visible(now))

    @property
    def shown(self) -> Rendering:
        """The rendered text, as stored when it was saved, or else rendered now."""
        db = object_session(self)
        language = language_of(db.get_bind()) if db else "en"
        if self.rendering is not None and self.rendering.renderer == renderer(language):
            return self.rendering
        return Rendering.of(self.id, self.body, self.format, self.summary, language)

    @classmethod
    def published(cls, now: datetime) -> Select[Self]:
        """The entries visible at `now`, newest first, with all columns and their tags."""
        return (
            select(cls)
            .where(cls.is_listed(now))
            .order_by(cls.timestamp.desc(), cls.id.desc())
            .options(selectinload(cls.tags), joinedload(cls.rendering))
        )

    @classmethod
    def tagged(cls, tag: Tag, now: datetime) -> Select[Self]:
        """The entries of :meth:`published` with `tag`."""
        under = entry_tag.c
        return (
            cls.published(now)
            .join(entry_tag)
            .where(under.tag_id == tag.id, is_listed(now))
            .order_by(None)
            .order_by(under.timestamp.desc(), under.entry_id.desc())
        )

    @classmethod
    def by_slug(
        cls, db: Session, slug: str, now: datetime, kind: EntryKind = "entry"
    ) -> "Entry | None":
        """The entry or page that is visible at `slug`, or None.

        :raises DamagedValueError: its date is invalid.
        """
        found = db.scalar(_BY_SLUG, {"kind": kind, "slug": slug, "now": now})
        if found is None:
            # SQLite sorts a text like "tomorrow" after all dates: parsing it raises the error.
            db.scalars(_DATES, {"kind": kind, "slug": slug}).all()
            return None
        return found

    def load_tags(self, db: Session) -> None:
        """Load its tags, by name."""
        tags = db.scalars(_TAGS, {"entry_id": self.id}).all()
        set_committed_value(self, "tags", sorted(tags, key=Tag.order))

    @classmethod
    def formerly_at(cls, path: str, query: str, mount: str, now: datetime) -> "Select[str, str]":
        """Kind and slug of the entries that had an address; first those that had it with its query.

        See :meth:`Redirect.known_as` for the parameters.
        """
        wanted = Redirect.known_as(path, query, mount)
        order = {form: number for number, form in enumerate(wanted)}
        return (
            select(cls.kind, cls.slug)
            .join(Redirect, Redirect.entry_id == cls.id)
            .where(Redirect.path.in_(wanted), cls.is_visible(now))
            .order_by(case(order, value=Redirect.path))
        )

    @classmethod
    def pages(cls, db: Session, now: datetime) -> "Sequence[Row[str, str]]":
        """Slug and title of each page visible at `now`, by title."""
        pages = db.execute(_PAGES, {"now": now}).all()
        return sorted(pages, key=lambda page: (order(page.title), page.slug))

    @classmethod
    def tag_counts(cls, db: Session, now: datetime) -> "Sequence[Row[str, str, int]]":
        """Name, slug and number of visible entries of each tag, by name."""
        counts = (
            select(Tag.name, Tag.slug, func.count())
            .join(entry_tag, entry_tag.c.tag_id == Tag.id)
            .where(is_listed(now))
            .group_by(Tag.id)
        )
        return sorted(db.execute(counts).all(), key=lambda row: (order(row.name), row.slug))

    @classmethod
    def months(cls, db: Session, now: datetime) -> dict[str, int]:
        """The number of visible entries of each month (``2026-11``) with any, newest first."""
        # A month is counted with its scheduled entries, which are few.
        later = select(cls.timestamp).where(cls.kind == "entry", cls.is_scheduled(now))
        unseen = Counter(f"{moment:%Y-%m}" for moment in db.scalars(later))
        past = Month.month <= f"{now:%Y-%m}"
        months = select(Month.month, Month.entries).where(past).order_by(Month.month.desc())
        counted = {
            month: cls._count(db, month) if entries is None else entries
            for month, entries in db.execute(months).all()
        }
        seen = {month: entries - unseen[month] for month, entries in counted.items()}
        return {month: number for month, number in seen.items() if number > 0}

    @classmethod
    def _count(cls, db: Session, month: str) -> int:
        start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        end = (start + timedelta(days=31)).replace(day=1)
        dated = cls.timestamp >= start, cls.timestamp < end
        return db.scalar(select(func.count()).where(cls.is_listable(), *dated)) or 0


# Few entries are featured, and each front page needs the newest of them; few are pages, and every
# response lists them. The indexes are partial on PostgreSQL, too, but saying so here would import
# its dialect into every process.
Index("ix_entry_featured", Entry.timestamp, sqlite_where=Entry.featured)
Index("ix_entry_page", Entry.timestamp, sqlite_where=Entry.kind == "page")

# Frequent statements are built once: building one takes as long as running it.
_NOW = bindparam("now", type_=UTCDateTime())
_BY_SLUG = (
    select(Entry)
    .where(Entry.kind == bindparam("kind"), Entry.slug == bindparam("slug"), Entry.is_visible(_NOW))
    .options(joinedload(Entry.rendering))
)
_DATES = select(Entry.timestamp).where(
    Entry.kind == bindparam("kind"), Entry.slug == bindparam("slug")
)
# A statement of its own: SQLAlchemy would build one per entry, or a join with which SQLite reads
# all tags of all entries.
_TAGS = select(Tag).join(entry_tag).where(entry_tag.c.entry_id == bindparam("entry_id"))
_ENTRY = Entry.__table__.c
_PAGES = (
    select(_ENTRY.slug, _ENTRY.title)
    # A literal: with a parameter, no database would use the partial index.
    .where(_ENTRY.kind == literal("page", literal_execute=True), Entry.is_visible(_NOW))
)
