"""Addresses that an entry once had, here or in the blog it was imported from."""

from urllib.parse import parse_qsl

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base

#: The parameters by which WordPress identifies an entry; others are not part of an address.
_TELLING = {"p", "page_id", "attachment_id"}


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
        """Return the one form in which an address is stored."""
        return [*_with_query(path, query), _bare(path)][0]

    @staticmethod
    def known_as(path: str, query: str, mount: str) -> list[str]:
        """Return the forms in which an address may be stored, the most specific first.

        :param path: the path, without the mount.
        :param query: the query string.
        :param mount: the path that the blog is mounted under. Former addresses in this blog are
            stored without it, those in other blogs as they were.
        """
        paths = dict.fromkeys([mount + path, path])
        told = [form for each in paths for form in _with_query(each, query)]
        return told + [_bare(each) for each in paths]


def _bare(path: str) -> str:
    return "/" + path.strip("/")


def _with_query(path: str, query: str) -> list[str]:
    # The first value of each parameter: a query may have thousands.
    told: dict[str, str] = {}
    for name, value in parse_qsl(query):
        if name in _TELLING:
            # No database takes a NUL in a text.
            told.setdefault(name, value.replace("\0", ""))
    return [f"{_bare(path)}?{name}={value}" for name, value in told.items()]
