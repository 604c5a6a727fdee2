"""The ledger of imports: which foreign item became which entry or comment."""

from datetime import datetime

from sqlalchemy import ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base


class Imported(Base):
    """An imported foreign item.

    ``source`` names where it came from (the folder, or the old blog's address), ``key`` the item
    within it, ``digest`` its content when it was read. ``entry_updated`` is the entry's
    ``updated`` after the import: if it has moved since, an author has worked on the entry here.
    """

    __tablename__ = "imported"
    __table_args__ = (UniqueConstraint("source", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text, index=True)
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id", ondelete="SET NULL"))
    entry_updated: Mapped[datetime | None]
    comment_id: Mapped[int | None] = mapped_column(ForeignKey("comment.id", ondelete="SET NULL"))
