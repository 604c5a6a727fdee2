"""The last changes that readers can see."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base

#: The scope of a change to anything but comments. No entry has this id.
EVERYTHING = 0

#: How many changes are remembered. Pages from before the first of them are rendered again.
MOST = 1_000


class Change(Base):
    """A version of the site, when it was made, and what was changed for it.

    Triggers write it together with ``site.version``. The scope of a change to a comment is the id
    of its entry, and of any other :data:`EVERYTHING`.
    """

    __tablename__ = "change"

    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    changed: Mapped[datetime]
    scope: Mapped[int] = mapped_column(BigInteger)
