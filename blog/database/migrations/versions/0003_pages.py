"""What pages are made of, ready: rendered bodies, the months' counts, a tag's list in order."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "rendering",
        sa.Column(
            "entry_id",
            sa.Integer,
            sa.ForeignKey("entry.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("renderer", sa.Integer, nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("teaser", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("html", sa.Text, nullable=False),
    )
    op.create_index(
        "ix_entry_page",
        "entry",
        ["timestamp"],
        sqlite_where=sa.text("kind = 'page'"),
        postgresql_where=sa.text("kind = 'page'"),
    )
    op.create_table(
        "month",
        sa.Column("month", sa.Text, primary_key=True),
        sa.Column("entries", sa.Integer),
    )
    op.add_column("entry_tag", sa.Column("timestamp", sa.DateTime))
    op.add_column("entry_tag", sa.Column("listed", sa.Boolean))
    op.drop_index("ix_entry_tag_tag_id", "entry_tag")
    op.create_index(
        "ix_entry_tag_tag_id", "entry_tag", ["tag_id", "listed", "timestamp", "entry_id"]
    )
