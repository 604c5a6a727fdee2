"""Flask with Flask-SQLAlchemy.

https://flask-sqlalchemy.readthedocs.io/en/stable/quickstart/,
https://flask-sqlalchemy.readthedocs.io/en/stable/pagination/
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, joinedload, selectinload

from benchmarks.visits.peers import flask_views
from benchmarks.visits.peers.appearance import CANDIDATES, Near, most_related
from benchmarks.visits.peers.tables import models_on
from blog.config import Config
from blog.views.pagination import Page

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Base(DeclarativeBase):
    """The base class of the quickstart."""


def application(config: Config) -> "WSGIApplication":
    """Make the application."""
    db = SQLAlchemy(model_class=Base)
    models = models_on(db.Model)
    Entry, Comment, Tag = models.Entry, models.Comment, models.Tag  # noqa: N806 - classes

    # Without these two, there would be one more query per entry and page.
    whole = (selectinload(Entry.tags), joinedload(Entry.shown))

    def visible(kind: str) -> Any:
        return db.select(Entry).where(
            Entry.kind == kind, Entry.state == "published", Entry.timestamp <= datetime.now(UTC)
        )

    def published() -> Any:
        return visible("entry").order_by(Entry.timestamp.desc(), Entry.id.desc())

    class Queries:
        def front(self, number: int) -> Page[Any]:
            found = db.paginate(published().options(*whole), page=number, per_page=config.per_page)
            return Page(found.items, found.page, found.has_next)

        def featured(self, shown: list[int]) -> list[Any]:
            statement = published().where(Entry.featured, Entry.id.not_in(shown)).limit(3)
            return list(db.session.execute(statement).scalars())

        def pages(self) -> list[Any]:
            return list(db.session.execute(visible("page").order_by(Entry.title)).scalars())

        def entry(self, slug: str) -> Any | None:
            statement = published().where(Entry.slug == slug).options(*whole)
            return db.session.execute(statement).scalar_one_or_none()

        def near(self, entry: Any) -> Near:
            here, place = (entry.timestamp, entry.id), db.tuple_(Entry.timestamp, Entry.id)
            carriers = [
                db.session.execute(
                    published()
                    .with_only_columns(Entry.id, Entry.timestamp)
                    .join(Entry.tags)
                    .where(Tag.id == tag.id)
                    .limit(CANDIDATES)
                ).all()
                for tag in entry.tags
            ]
            best = most_related(entry.id, carriers)
            found = db.session.execute(db.select(Entry).where(Entry.id.in_(best))).scalars()
            known = {each.id: each for each in found}
            return Near(
                db.session.execute(published().where(place < here).limit(1)).scalar(),
                db.session.execute(
                    published()
                    .where(place > here)
                    .order_by(None)
                    .order_by(Entry.timestamp, Entry.id)
                    .limit(1)
                ).scalar(),
                [known[id_] for id_ in best],
            )

        def add_comment(self, entry: Any, text: str, name: str) -> int:
            comment = Comment(entry_id=entry.id, text=text, name=name)
            db.session.add(comment)
            db.session.commit()
            number: int = comment.id
            return number

    app = flask_views.make(config, Queries())
    app.config["SQLALCHEMY_DATABASE_URI"] = config.database
    db.init_app(app)
    return app
