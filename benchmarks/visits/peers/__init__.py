"""Other ways to serve the same pages from the same database, as their documentation has them.

Each module makes a WSGI application from the settings: ``application(config)``. All but the raw one
fill in our own templates, so that their pages are ours, word for word. All find the rendered text
in its table, so that none renders Markdown for a page.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from blog.config import Config

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

RAW = "raw sqlite3"
BASE = "Flask-SQLAlchemy"

#: The module of each, in the order of the tables.
MODULES = {
    RAW: "raw",
    "Bottle": "bottle_peer",
    "Flask, scoped_session": "flask_scoped",
    BASE: "flask_sqlalchemy_peer",
    "Django": "django_blog",
}


def missing(name: str) -> str:
    """Return the reason why a peer cannot take part; empty if it can."""
    try:
        import_module(f"{__name__}.{MODULES[name]}")
    except ImportError as error:
        return f"{error.name} is not installed"
    return ""


def present() -> list[str]:
    """Return the names of the peers that can take part."""
    return [name for name in MODULES if not missing(name)]


def application(name: str, config: Config) -> "WSGIApplication":
    """Make the application of a peer that is not missing."""
    made: WSGIApplication = import_module(f"{__name__}.{MODULES[name]}").application(config)
    return made
