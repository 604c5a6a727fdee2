"""The one row about the site itself."""

from datetime import datetime
from typing import Self

from sqlalchemy import CheckConstraint, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from blog.models.base import Base, DamagedValueError

#: Why a site without its row cannot be served.
MISSING = "its table site has no row"


class Site(Base):
    """``version`` and ``changed`` move with whatever readers can see; ``secret`` signs forms.

    ``uid`` is what feeds call the blog; it never changes, whatever becomes of its address.
    """

    __tablename__ = "site"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    changed: Mapped[datetime]
    secret: Mapped[str] = mapped_column(Text)
    uid: Mapped[str] = mapped_column(Text)

    @classmethod
    def row(cls, db: Session) -> Self:
        """Return the one row.

        :raises DamagedValueError: there is none.
        """
        found: Self | None = db.scalar(select(cls))
        if found is None:
            raise DamagedValueError(MISSING)
        return found
