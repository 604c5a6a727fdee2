"""The accepted answer's preference: Flask-SQLAlchemy, which removes the sessions itself."""

from flask import Flask, abort, redirect, render_template, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Pool, desc
from werkzeug import Response

from examples.models import DATABASE, Comment, Entry, create_tables
from pool import ThreadLocalPool


def create_app(database: str = DATABASE, poolclass: type[Pool] = ThreadLocalPool) -> Flask:
    """Return the application.

    :param database: the URL of an SQLite file.
    :param poolclass: the pool's class.
    """
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = database
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"poolclass": poolclass}
    db = SQLAlchemy(app)
    with app.app_context():
        create_tables(db.engine)

    @app.route("/blog")
    @app.route("/blog.html")
    def blog() -> str:
        entrys = db.session.query(Entry).order_by(desc(Entry.timestamp)).all()
        return render_template("blog.html", blog_entrys=entrys)

    @app.post("/blog/<int:entry_id>/comments")
    def comment(entry_id: int) -> Response:
        form = request.form
        if db.session.get(Entry, entry_id) is None:
            abort(404)
        db.session.add(Comment(entry_id=entry_id, text=form["text"], name=form["name"]))
        db.session.commit()
        return redirect("/blog", 303)

    return app
