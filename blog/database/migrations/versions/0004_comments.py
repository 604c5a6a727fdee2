"""What moderation needs of a comment, and what the filter has learnt."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


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
