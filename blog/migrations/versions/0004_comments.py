"""What moderation needs of a comment, and what the filter has learnt."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
