"""Word counts from the author's decisions on comments."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from blog.models.base import Base

#: The row that counts the decisions themselves.
TOTAL = ""


class SpamWord(Base):
    """The number of spam comments and of approved comments that contain a word."""

    __tablename__ = "spam_word"

    word: Mapped[str] = mapped_column(Text, primary_key=True)
    spam: Mapped[int]
    real: Mapped[int]
