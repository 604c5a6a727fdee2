"""Flask with SQLAlchemy's `scoped_session`.

https://flask.palletsprojects.com/en/stable/patterns/sqlalchemy/ ("Declarative")
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, tuple_
from sqlalchemy.orm import (
    DeclarativeBase,
    joinedload,
    scoped_session,
    selectinload,
    sessionmaker,
)

from benchmarks.visits.peers import flask_views
from benchmarks.visits.peers.appearance import CANDIDATES, Near, most_related
from benchmarks.visits.peers.tables import models_on
from blog.config import Config
from blog.views.pagination import Page

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def application(config: Config) -> "WSGIApplication":
    """Make the application."""
    engine = create_engine(config.database)
    db_session = scoped_session(sessionmaker(autocommit=False, autoflush=False, bind=engine))

    class Base(DeclarativeBase):
        query = db_session.query_property()

    models = models_on(Base)
    Entry, Comment, Tag = models.Entry, models.Comment, models.Tag  # noqa: N806 - classes

    # Without these two, each page would ask once more for each of its entries.
    whole = (selectinload(Entry.tags), joinedload(Entry.shown))

    def visible(kind: str) -> Any:
        return Entry.query.filter(
            Entry.kind == kind, Entry.state == "published", Entry.timestamp <= datetime.now(UTC)
        )

    def published() -> Any:
        return visible("entry").order_by(Entry.timestamp.desc(), Entry.id.desc())

    class Queries:
        def front(self, number: int) -> Page[Any]:
            size = config.per_page
            found = published().options(*whole).limit(size + 1).offset((number - 1) * size).all()
            return Page(found[:size], number, len(found) > size)

        def featured(self, shown: list[int]) -> list[Any]:
            return list(published().filter(Entry.featured, Entry.id.not_in(shown)).limit(3))

        def pages(self) -> list[Any]:
            return list(visible("page").order_by(Entry.title))

        def entry(self, slug: str) -> Any | None:
            return published().filter(Entry.slug == slug).options(*whole).first()

        def near(self, entry: Any) -> Near:
            here, place = (entry.timestamp, entry.id), tuple_(Entry.timestamp, Entry.id)
            carriers = [
                published()
                .with_entities(Entry.id, Entry.timestamp)
                .join(Entry.tags)
                .filter(Tag.id == tag.id)
                .limit(CANDIDATES)
                .all()
                for tag in entry.tags
            ]
            best = most_related(entry.id, carriers)
            known = {each.id: each for each in Entry.query.filter(Entry.id.in_(best))}
            newer = published().filter(place > here).order_by(None)
            return Near(
                published().filter(place < here).first(),
                newer.order_by(Entry.timestamp, Entry.id).first(),
                [known[id_] for id_ in best],
            )

        def add_comment(self, entry: Any, text: str, name: str) -> int:
            comment = Comment(entry_id=entry.id, text=text, name=name)
            db_session.add(comment)
            db_session.commit()
            number: int = comment.id
            return number

    app = flask_views.make(config, Queries())

    @app.teardown_appcontext
    def shutdown_session(_exception: BaseException | None = None) -> None:
        db_session.remove()

    return app
