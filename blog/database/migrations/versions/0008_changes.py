"""The last changes that readers can see, each with its scope."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "change",
        # Never given by the database: it is the version of the site.
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("changed", sa.DateTime, nullable=False),
        sa.Column("scope", sa.BigInteger, nullable=False),
    )
