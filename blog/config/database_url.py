"""The setting ``database``: the path of an SQLite file, or a URL.

A path is never formatted into a URL: `?`, `%` and `#` have a meaning there, and SQLAlchemy 2.0 and
2.1 parse them differently.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

#: A URL, or a misspelt server address, which must not become a file name: ``postgres:/…``, a
#: leading space, ``host=… password=…``, ``user:…@host/…``.
_ADDRESS = re.compile(
    r"""
    [A-Z][\w+.-]+:// | \s*postgres[\w+]*: | \s*(host|hostaddr|port|dbname|user|password)\s*=
    | \s*\w+:(?![\\/]).*@
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_url(database: str) -> bool:
    """Tell whether `database` is a URL or server address, and not a path.

    A scheme has at least two letters: ``C://blog.db`` is a path.
    """
    return _ADDRESS.match(database) is not None


def without_password(text: str) -> str:
    """Return a URL or connection string for a message, even a malformed one, without its password.

    Everything that could be part of a password is removed: from the first colon after the scheme
    to the last ``@``, and a URL's parameters.
    """
    if start := re.match(r"(?s)((?:\s*[A-Za-z][\w+.-]*:/++)?[^:]*:).*@", text):
        text = f"{start[1]}***@{text[start.end() :]}"
    text = re.sub(r"(?is)((?:password|secret|key)\s*=).*", r"\1***", text)
    return re.sub(r"(?is)postgres.*", lambda address: re.sub(r"(?s)\?.*", "?***", address[0]), text)


def database_url(database: str) -> URL:
    """Return the SQLAlchemy URL for `database`.

    Percent escapes in an SQLite URL are decoded here: SQLAlchemy 2.1 decodes them and 2.0 does
    not, so an update would open another file.

    :param database: a path, taken literally, or a URL.
    :raises sqlalchemy.exc.ArgumentError: SQLAlchemy cannot parse the URL.
    """
    if not is_url(database):
        return URL.create("sqlite", database=database)
    try:
        url = make_url(database)
    except ValueError as error:  # an invalid port; the message may hold part of the password
        raise ArgumentError("the port of the URL is not a number") from error
    if url.get_backend_name() == "postgresql":
        if database.count("@") > (url.username is not None or url.password is not None):
            # SQLAlchemy ends a password at the first one; messages would show the rest.
            raise ArgumentError("the URL has an @ that is not written as %40")
        return url
    path = database.partition("?")[0].partition(":///")[2]
    if url.get_backend_name() != "sqlite" or not path:
        return url
    # SQLite decodes its own URIs.
    return url.set(database=path if path.startswith("file:") else unquote(path))


def connection_parameters(url: URL) -> tuple[URL, dict[str, Any]]:
    """Split a PostgreSQL URL into one that is safe to show and the driver's parameters.

    The parameters may hold a password, which the repr() of the engine's URL would show.

    :return: the URL and the parameters; `prepare_threshold` is an int, or None for ``none`` (https://www.psycopg.org/psycopg3/docs/advanced/prepare.html).
    :raises sqlalchemy.exc.ArgumentError: `prepare_threshold` has another value.
    """
    parameters: dict[str, Any] = {
        name: value for name, value in url.query.items() if name not in {"host", "port"}
    }
    url = url.difference_update_query(parameters)
    if "prepare_threshold" in parameters:
        threshold = str(parameters["prepare_threshold"])
        if not re.fullmatch(r"none|\d{1,6}", threshold):
            raise ArgumentError("prepare_threshold must be an integer or none")
        parameters["prepare_threshold"] = None if threshold == "none" else int(threshold)
    return url, parameters


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database, or None if it is in memory or on a server.

    :param url: may contain a file URI: https://www.sqlite.org/uri.html
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
    """Return the database's name for messages: its file, or its URL without any password."""
    file = file_of(url)
    return str(file) if file else url.set(query={}).render_as_string()
