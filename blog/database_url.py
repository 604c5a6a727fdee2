"""What the setting ``database`` names: the path of an SQLite file, or a URL.

A path is never written into a URL: `?`, `%` and `#` have a meaning there, and SQLAlchemy 2.0 and
2.1 read them differently.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from sqlalchemy import URL, make_url


def is_url(database: str) -> bool:
    """Tell a URL from a path. A scheme has two letters or more: ``C://blog.db`` is a path."""
    return re.match(r"[A-Za-z][\w+.-]+://", database) is not None


def database_url(database: str) -> URL:
    """Return the URL that SQLAlchemy is given for `database`.

    Percent signs in an SQLite URL are decoded whatever the version of SQLAlchemy: 2.0 leaves them,
    and an update to 2.1 would open another file.

    :param database: a path, taken literally, or a URL.
    :raises sqlalchemy.exc.ArgumentError: it is not a URL that SQLAlchemy can parse.
    """
    if not is_url(database):
        return URL.create("sqlite", database=database)
    url = make_url(database)
    path = database.partition("?")[0].partition(":///")[2]
    if url.get_backend_name() != "sqlite" or not path:
        return url
    # SQLite decodes its own URIs.
    return url.set(database=path if path.startswith("file:") else unquote(path))


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database, or None for one in memory or on a server.

    :param url: may name the file by a URI: https://www.sqlite.org/uri.html
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or name in {None, "", ":memory:"}:
        return None
    if not name.startswith("file:") or "uri" not in url.query:
        return Path(name)
    if url.query.get("mode") == "memory":
        return None
    return Path(url2pathname(urlsplit(name).path))  # on Windows, /C:/blog.db is C:\\blog.db


def name_of(url: URL) -> str:
    """Return what messages call the database: its file, or its address without any password."""
    file = file_of(url)
    return str(file) if file else url.set(query={}).render_as_string()
