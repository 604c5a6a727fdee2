"""The one row about the site itself, and the triggers that keep it true."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import CheckConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base

#: A change in one of these is a change that a reader could see.
SEEN_BY_READERS = ("entry", "comment", "tag", "entry_tag", "redirect")


class Site(Base):
    """``version`` and ``changed`` move with whatever readers can see; ``secret`` signs forms.

    ``uid`` is what feeds call the blog; it never changes, whatever becomes of its address.
    """

    __tablename__ = "site"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    changed: Mapped[datetime]
    secret: Mapped[str] = mapped_column(Text)
    uid: Mapped[str] = mapped_column(Text)


def triggers(dialect: str) -> Iterator[str]:
    """Yield the statements that (re)create the triggers on `dialect`.

    They live in the database, so that a change counts whoever makes it: the blog, an import, or
    somebody's SQL shell. They are made anew after each upgrade, because a migration that
    rebuilds a table (the only way SQLite knows for many changes) drops the table's triggers.
    """
    if dialect == "postgresql":
        yield """
            CREATE OR REPLACE FUNCTION site_changed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                UPDATE site SET version = version + 1,
                                changed = clock_timestamp() AT TIME ZONE 'UTC';
                RETURN NULL;
            END $$"""
        for table in SEEN_BY_READERS:
            yield f"""
                CREATE OR REPLACE TRIGGER site_changed
                AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION site_changed()"""
        return
    for table in SEEN_BY_READERS:
        for event in ("insert", "update", "delete"):
            name = f"site_changed_{table}_{event}"
            yield f"DROP TRIGGER IF EXISTS {name}"
            yield f"""
                CREATE TRIGGER {name} AFTER {event.upper()} ON {table} BEGIN
                    UPDATE site SET version = version + 1,
                                    changed = strftime('%Y-%m-%d %H:%M:%f000', 'now');
                END"""  # noqa: S608 - both names stand above
