"""No framework: a WSGI application, its sessions closed when the server closes the response."""

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader
from sqlalchemy import Pool, create_engine, desc
from sqlalchemy.orm import Session, sessionmaker
from werkzeug import Request, Response
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule
from werkzeug.utils import redirect

from examples.models import DATABASE, Comment, Entry, create_tables
from pool import ThreadLocalPool
from pool.sessions import SessionPerRequest
from pool.sqlite import WRITING, configure

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True
)


def create_app(
    database: str = DATABASE, poolclass: type[Pool] = ThreadLocalPool
) -> "WSGIApplication":
    """Return the application.

    :param database: the URL of an SQLite file.
    :param poolclass: the pool's class.
    """
    engine = create_engine(database, poolclass=poolclass)
    configure(engine)
    create_tables(engine)
    return SessionPerRequest(application, sessionmaker(engine))


@Request.application
def application(request: Request) -> Response:
    view, values = urls.bind_to_environ(request).match()
    response: Response = view(request, request.environ["threadleaf.work"].session, **values)
    return response


def blog(_: Request, session: Session) -> Response:
    entrys = session.query(Entry).order_by(desc(Entry.timestamp)).all()
    page = templates.get_template("blog.html").render(blog_entrys=entrys)
    return Response(page, mimetype="text/html")


def comment(request: Request, session: Session, entry_id: int) -> Response:
    form = request.form
    # Takes the write lock now, so that nothing read here changes before the write.
    session.connection(execution_options=WRITING)
    if session.get(Entry, entry_id) is None:
        raise NotFound
    session.add(Comment(entry_id=entry_id, text=form["text"], name=form["name"]))
    session.commit()
    return redirect("/blog", 303)


urls = Map(
    [
        Rule("/blog", endpoint=blog, methods=["GET"]),
        Rule("/blog.html", endpoint=blog, methods=["GET"]),
        Rule("/blog/<int:entry_id>/comments", endpoint=comment, methods=["POST"]),
    ]
)
