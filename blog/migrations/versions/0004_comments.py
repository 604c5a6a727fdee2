"""What moderation needs of a comment, and what the filter has learnt."""

import sqlalchemy as sa
from alembic import op

from blog.slugs import numbered

revision = "0004"
down_revision = "0003"

#: Addresses that the blog itself has from now on.
TAKEN = ("search", "series", "privacy")


def upgrade() -> None:
    with op.batch_alter_table("comment") as batch:
        batch.drop_constraint("format", type_="check")
        batch.create_check_constraint("format", "format IN ('text', 'markdown', 'html')")
        batch.add_column(sa.Column("reason", sa.Text))
        batch.add_column(sa.Column("taught", sa.Text))
        batch.add_column(sa.Column("person", sa.Text))
        batch.add_column(sa.Column("network", sa.Text))
        batch.add_column(sa.Column("digest", sa.Text))
        batch.create_unique_constraint("uq_comment_digest", ["digest"])
        batch.create_check_constraint("taught", "taught IN ('spam', 'real')")
    op.create_index("ix_comment_created", "comment", ["created", "network"])
    op.create_index("ix_comment_person", "comment", ["person"])
    op.create_table(
        "spam_word",
        sa.Column("word", sa.Text, primary_key=True),
        sa.Column("spam", sa.Integer, nullable=False),
        sa.Column("real", sa.Integer, nullable=False),
    )
    _give_way()


def _give_way() -> None:
    """Let entries whose address the blog needs for itself move to another one."""
    entry = sa.table("entry", *(sa.column(name) for name in ("id", "slug", "kind")))
    connection = op.get_bind()
    rows = connection.execute(sa.select(entry.c.id, entry.c.slug).where(entry.c.kind == "entry"))
    slugs = {slug: id_ for id_, slug in rows.all()}
    for slug in TAKEN:
        if slug in slugs:
            free = numbered(slug, lambda each: each in slugs or each in TAKEN)
            connection.execute(entry.update().where(entry.c.id == slugs[slug]).values(slug=free))
