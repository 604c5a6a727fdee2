"""The question: one session for all threads. This is the mistake, and no pool can fix it."""

from flask import Flask, redirect, render_template, request
from sqlalchemy import Pool, QueuePool, create_engine, desc
from sqlalchemy.orm import sessionmaker
from werkzeug import Response

from examples.models import DATABASE, Comment, Entry, create_tables


def create_app(database: str = DATABASE, poolclass: type[Pool] = QueuePool) -> Flask:
    """Return the application.

    :param database: the URL of an SQLite file.
    :param poolclass: the pool's class.
    """
    app = Flask(__name__)
    engine = create_engine(database, poolclass=poolclass)
    create_tables(engine)
    session = sessionmaker(bind=engine)()  # the mistake

    @app.route("/blog")
    @app.route("/blog.html")
    def blog() -> str:
        entrys = session.query(Entry).order_by(desc(Entry.timestamp)).all()
        return render_template("blog.html", blog_entrys=entrys)

    @app.post("/blog/<int:entry_id>/comments")
    def comment(entry_id: int) -> Response:
        form = request.form
        session.add(Comment(entry_id=entry_id, text=form["text"], name=form["name"]))
        session.commit()
        return redirect("/blog", 303)

    return app
