"""Entries that belong together, in their order."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    pass
