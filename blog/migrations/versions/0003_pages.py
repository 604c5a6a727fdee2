"""What pages are made of, ready: rendered bodies, counts of months, entries in the order of a tag."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    pass
