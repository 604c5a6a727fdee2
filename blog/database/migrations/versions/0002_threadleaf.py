"""From the seed to Threadleaf: slugs, states, tags, threads, redirects, the site's row."""

import re
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _entry()
    _comment()
    op.create_table(
        "tag",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
    )
    op.create_table(
        "entry_tag",
        sa.Column(
            "entry_id", sa.Integer, sa.ForeignKey("entry.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column(
            "tag_id",
            sa.Integer,
            sa.ForeignKey("tag.id", ondelete="CASCADE"),
            primary_key=True,
            index=True,
        ),
    )
    op.create_table(
        "redirect",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        sa.Column(
            "entry_id",
            sa.Integer,
            sa.ForeignKey("entry.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
    )
    op.create_table(
        "imported",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False, index=True),
        sa.Column("entry_id", sa.Integer, sa.ForeignKey("entry.id", ondelete="SET NULL")),
        sa.Column("entry_updated", sa.DateTime),
        sa.Column("comment_id", sa.Integer, sa.ForeignKey("comment.id", ondelete="SET NULL")),
        sa.UniqueConstraint("source", "key"),
    )
    site = op.create_table(
        "site",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed", sa.DateTime, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("uid", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    row = {
        "id": 1,
        "version": 1,
        "changed": datetime.now(UTC).replace(tzinfo=None),
        "secret": secrets.token_urlsafe(32),
        "uid": uuid4().urn,
    }
    op.bulk_insert(site, [row])


def _entry() -> None:
    with op.batch_alter_table("entry") as batch:
        batch.add_column(sa.Column("slug", sa.Text))
        batch.add_column(sa.Column("summary", sa.Text))
        batch.add_column(sa.Column("state", sa.Text))
        batch.add_column(sa.Column("uid", sa.Text))
        batch.add_column(sa.Column("updated", sa.DateTime))
        batch.add_column(sa.Column("format", sa.Text))
        batch.add_column(sa.Column("kind", sa.Text))
        batch.add_column(sa.Column("comments_open", sa.Boolean))
        batch.add_column(sa.Column("author", sa.Text))
    _fill_entries()
    with op.batch_alter_table("entry") as batch:
        batch.alter_column("title", existing_type=sa.String(100), type_=sa.Text)
        batch.alter_column("body", existing_type=sa.String, type_=sa.Text)
        for column in ("slug", "state", "uid", "format", "kind"):
            batch.alter_column(column, existing_type=sa.Text, nullable=False)
        batch.alter_column("updated", existing_type=sa.DateTime, nullable=False)
        batch.alter_column("comments_open", existing_type=sa.Boolean, nullable=False)
        batch.create_unique_constraint("uq_entry_slug", ["slug", "kind"])
        batch.create_unique_constraint("uq_entry_uid", ["uid"])
        batch.create_check_constraint("kind", "kind IN ('entry', 'page')")
        batch.create_check_constraint("state", "state IN ('draft', 'published')")
        batch.create_check_constraint("format", "format IN ('markdown', 'html')")
    op.create_index("ix_entry_timestamp", "entry", ["timestamp", "id", "kind", "state"])
    op.create_index(
        "ix_entry_featured",
        "entry",
        ["timestamp"],
        sqlite_where=sa.text("featured = 1"),
        postgresql_where=sa.text("featured"),
    )


def _fill_entries() -> None:
    entry = sa.table(
        "entry",
        *(
            sa.column(name)
            for name in ("id", "title", "slug", "state", "uid", "updated", "format", "kind")
        ),
        sa.column("timestamp", sa.DateTime),
        sa.column("comments_open", sa.Boolean),
    )
    connection = op.get_bind()
    entries = connection.execute(sa.select(entry.c.id, entry.c.title)).all()
    rows = [
        {"entry_id": id_, "new_slug": slug, "new_uid": uuid4().urn}
        for (id_, _), slug in zip(entries, _slugs(entries), strict=True)
    ]
    update = entry.update().values(
        slug=sa.bindparam("new_slug"),
        uid=sa.bindparam("new_uid"),
        state="published",
        format="markdown",
        kind="entry",
        comments_open=True,
        updated=entry.c.timestamp,
    )
    if rows:
        connection.execute(update.where(entry.c.id == sa.bindparam("entry_id")), rows)


def _slugs(entries: "Sequence[sa.Row[int, str]]") -> Iterator[str]:
    taken: set[str] = set()
    # Counting from 2 for each entry would be quadratic where thousands share a title.
    numbers: dict[str, int] = {}
    for id_, title in entries:
        slug = wanted = _slug(title) or f"entry-{id_}"
        number = numbers.get(wanted, 1)
        while slug in taken:
            number += 1
            slug = f"{wanted}-{number}"
        numbers[wanted] = number
        taken.add(slug)
        yield slug


# How slugs were made when this migration was written: later rules must not change its result.
_MARKED_LATIN = re.compile("(^|[\\W_A-Za-z0-9])[\u0300-\u036f]+")
_SYMBOL_MARKS = re.compile("[\u20d0-\u20ff\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def _slug(title: str) -> str:
    apart = _SYMBOL_MARKS.sub("", unicodedata.normalize("NFKD", title[:1_000]))
    text = unicodedata.normalize("NFC", _MARKED_LATIN.sub(r"\1", apart).lower())
    kept: list[str] = []
    for character in text:
        kind = unicodedata.category(character)[0]
        belongs = kind in "LN" or (kind == "M" and kept[-1:] not in ([], [" "]))
        kept.append(character if belongs else " ")
    slug = "-".join("".join(kept).split())
    if len(slug) <= 80:
        return slug
    head, hyphen, _ = slug[:81].rpartition("-")
    return head if hyphen else slug[:80]


def _comment() -> None:
    # Without foreign keys a deleted entry left its comments behind. A new entry might be given
    # the old one's id, and would be given its comments with it.
    op.execute("UPDATE comment SET entry_id = NULL WHERE entry_id NOT IN (SELECT id FROM entry)")
    with op.batch_alter_table("comment") as batch:
        batch.add_column(sa.Column("created", sa.DateTime))
        batch.add_column(sa.Column("state", sa.Text))
        batch.add_column(sa.Column("format", sa.Text))
        batch.add_column(sa.Column("parent_id", sa.Integer))
        batch.add_column(sa.Column("website", sa.Text))
        batch.add_column(sa.Column("uid", sa.Text))
    comment = sa.table("comment", *(sa.column(name) for name in ("id", "state", "format", "uid")))
    connection = op.get_bind()
    rows = [
        {"comment_id": id_, "new_uid": uuid4().urn}
        for id_ in connection.scalars(sa.select(comment.c.id))
    ]
    update = comment.update().values(state="published", format="text", uid=sa.bindparam("new_uid"))
    if rows:
        connection.execute(update.where(comment.c.id == sa.bindparam("comment_id")), rows)
    with op.batch_alter_table("comment") as batch:
        batch.alter_column("text", existing_type=sa.String(500), type_=sa.Text)
        batch.alter_column("name", existing_type=sa.String(80), type_=sa.Text)
        for column in ("state", "format", "uid"):
            batch.alter_column(column, existing_type=sa.Text, nullable=False)
        batch.create_foreign_key("fk_comment_parent_id_comment", "comment", ["parent_id"], ["id"])
        batch.create_unique_constraint("uq_comment_uid", ["uid"])
        batch.create_check_constraint("state", "state IN ('published', 'held', 'spam', 'trash')")
        batch.create_check_constraint("format", "format IN ('text', 'html')")
    op.create_index("ix_comment_entry_id", "comment", ["entry_id"])
    op.create_index("ix_comment_parent_id", "comment", ["parent_id"])
