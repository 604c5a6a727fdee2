"""How many entries each month has, counted by triggers."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base


class Month(Base):
    """A month, as ``2026-11``, and how many published entries are dated in it, future ones too.

    Counting them for each page would cost the more, the longer the blog is kept. The number is None
    after somebody's ``REPLACE INTO entry``, and :meth:`blog.models.entry.Entry.months` counts.
    """

    __tablename__ = "month"

    month: Mapped[str] = mapped_column(Text, primary_key=True)
    entries: Mapped[int | None]
