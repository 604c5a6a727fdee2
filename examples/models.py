"""The question's models, unchanged except for the base class, and two entries to read."""

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Engine, ForeignKey, Integer, String
from sqlalchemy.orm import DeclarativeBase, Session, relationship

#: A file in the current folder. Flask-SQLAlchemy would look elsewhere for a relative path.
DATABASE = f"sqlite:///{Path('blog.db').absolute().as_posix()}"


class Base(DeclarativeBase):
    pass


class Entry(Base):
    __tablename__ = "entry"

    id = Column(Integer, primary_key=True)

    title = Column(String(100), nullable=False)
    body = Column(String, nullable=False)
    timestamp = Column(DateTime, nullable=False)
    featured = Column(Boolean, nullable=False)

    comments = relationship("Comment")

    def is_featured(self) -> Any:
        return self.featured


class Comment(Base):
    __tablename__ = "comment"

    id = Column(Integer, primary_key=True)
    entry_id = Column(Integer, ForeignKey("entry.id"))

    text = Column(String(500), nullable=False)
    name = Column(String(80))


def create_tables(engine: Engine) -> None:
    """Create missing tables, and two entries if there are none."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        if session.query(Entry).count() == 0:
            for title in "First", "Second":
                session.add(
                    Entry(
                        title=title,
                        body=f"The {title.lower()} entry.",
                        timestamp=datetime(2015, 12, 1),  # noqa: DTZ001 - UTC, stored without saying so
                        featured=False,
                    )
                )
            session.commit()
    # The server's threads open their own connections, and a fork inherits none.
    engine.dispose()
