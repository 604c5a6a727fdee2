"""Entries that belong together, in their order."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
    )
    # Written out, because Alembic would copy the whole table on SQLite to add a foreign key.
    op.execute(
        "ALTER TABLE entry ADD COLUMN series_id INTEGER "
        "CONSTRAINT fk_entry_series_id_series REFERENCES series (id)"
    )
    op.add_column("entry", sa.Column("series_number", sa.Integer))
    op.create_index("ix_entry_series_id", "entry", ["series_id"])
