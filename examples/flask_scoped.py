"""The accepted answer: a session per thread, removed when the request ends."""

from flask import Flask, abort, redirect, render_template, request
from sqlalchemy import Pool, create_engine, desc
from sqlalchemy.orm import scoped_session, sessionmaker
from werkzeug import Response

from examples.models import DATABASE, Comment, Entry, create_tables
from pool import ThreadLocalPool


def create_app(database: str = DATABASE, poolclass: type[Pool] = ThreadLocalPool) -> Flask:
    """Return the application.

    :param database: the URL of an SQLite file.
    :param poolclass: the pool's class.
    """
    app = Flask(__name__)
    engine = create_engine(database, poolclass=poolclass)
    create_tables(engine)
    session = scoped_session(sessionmaker(bind=engine))

    @app.teardown_request
    def remove_session(_: BaseException | None) -> None:
        session.remove()

    @app.route("/blog")
    @app.route("/blog.html")
    def blog() -> str:
        entrys = session.query(Entry).order_by(desc(Entry.timestamp)).all()
        return render_template("blog.html", blog_entrys=entrys)

    @app.post("/blog/<int:entry_id>/comments")
    def comment(entry_id: int) -> Response:
        form = request.form
        if session.get(Entry, entry_id) is None:
            abort(404)
        session.add(Comment(entry_id=entry_id, text=form["text"], name=form["name"]))
        session.commit()
        return redirect("/blog", 303)

    return app
