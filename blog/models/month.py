"""The number of entries per month, counted by triggers."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base


class Month(Base):
    """A month, as ``2026-11``, and the number of published entries in it, including future ones.

    Counting them for each page would cost more as the blog grows. The number is None after a
    ``REPLACE INTO entry`` in a shell; then :meth:`blog.models.entry.Entry.months` counts.
    """

    __tablename__ = "month"

    month: Mapped[str] = mapped_column(Text, primary_key=True)
    entries: Mapped[int | None]
