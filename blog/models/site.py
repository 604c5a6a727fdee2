"""The one row about the site itself."""

from datetime import datetime
from typing import Self

from sqlalchemy import CheckConstraint, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from blog.models.base import Base, DamagedValueError

#: The error for a database without the site's row.
MISSING = "its table site has no row"


class Site(Base):
    """``version`` and ``changed`` follow what readers can see; ``secret`` signs forms.

    ``uid`` identifies the blog in feeds; it never changes, even if the address does.
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
