"""Addresses that an entry once had, here or in the blog it was imported from."""

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base


class Redirect(Base):
    """An old address and the entry or page that lives elsewhere now.

    ``path`` is percent-decoded, begins with a slash, has none at its end, and carries the query
    string where that is what told the entries apart (``/?p=12``).
    """

    __tablename__ = "redirect"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(Text, unique=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id", ondelete="CASCADE"), index=True)

    @staticmethod
    def normal(path: str, query: str = "") -> str:
        """Return the one form in which an address is stored and looked up."""
        path = "/" + path.strip("/")
        return f"{path}?{query}" if query else path
