"""What the author's decisions say of words."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base

#: The row that counts the decisions themselves.
TOTAL = ""


class SpamWord(Base):
    """In how many comments that were called spam, and that were approved, a word stood."""

    __tablename__ = "spam_word"

    word: Mapped[str] = mapped_column(Text, primary_key=True)
    spam: Mapped[int]
    real: Mapped[int]
