"""What the setting ``database`` names: the path of an SQLite file, or a URL.

A path is never written into a URL: `?`, `%` and `#` have a meaning there, and SQLAlchemy 2.0 and
2.1 read them differently.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

#: A URL; or what a server's address looks like with a mistake in it, which must not become the
#: name of a file: ``postgres:/…``, a space before it, ``host=… password=…``, ``user:…@host/…``.
_ADDRESS = re.compile(
    r"""
    [A-Z][\w+.-]+:// | \s*postgres[\w+]*: | \s*(host|hostaddr|port|dbname|user|password)\s*=
    | \s*\w+:(?![\\/]).*@
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_url(database: str) -> bool:
    """Tell a server's address or a URL from a path.

    A scheme has two letters or more: ``C://blog.db`` is a path.
    """
    return _ADDRESS.match(database) is not None


def without_password(text: str) -> str:
    """Return a URL or connection string for a message, whatever mistakes are in it.

    Everything that could be part of a password is left out: from the first colon after the scheme
    to the last ``@``, and a URL's parameters.
    """
    if start := re.match(r"(?s)((?:\s*[A-Za-z][\w+.-]*:/++)?[^:]*:).*@", text):
        text = f"{start[1]}***@{text[start.end() :]}"
    text = re.sub(r"(?is)((?:password|secret|key)\s*=).*", r"\1***", text)
    return re.sub(r"(?is)postgres.*", lambda address: re.sub(r"(?s)\?.*", "?***", address[0]), text)


def database_url(database: str) -> URL:
    """Return the URL that SQLAlchemy is given for `database`.

    Percent signs in an SQLite URL are decoded whatever the version of SQLAlchemy: 2.0 leaves them,
    and an update to 2.1 would open another file.

    :param database: a path, taken literally, or a URL.
    :raises sqlalchemy.exc.ArgumentError: it is not a URL that SQLAlchemy can parse.
    """
    if not is_url(database):
        return URL.create("sqlite", database=database)
    try:
        url = make_url(database)
    except ValueError as error:  # its port; the message may have a part of the password
        raise ArgumentError("the port of the URL is not a number") from error
    if url.get_backend_name() == "postgresql":
        if database.count("@") > (url.username is not None or url.password is not None):
            # SQLAlchemy ends a password at the first one, and messages would have the rest of it.
            raise ArgumentError("the URL has an @ that is not written as %40")
        return url
    path = database.partition("?")[0].partition(":///")[2]
    if url.get_backend_name() != "sqlite" or not path:
        return url
    # SQLite decodes its own URIs.
    return url.set(database=path if path.startswith("file:") else unquote(path))


def connection_parameters(url: URL) -> tuple[URL, dict[str, Any]]:
    """Divide the URL of a PostgreSQL database into one to show and what the driver is given beside.

    There may be a password among the parameters, which repr() would show with the engine's URL.

    :return: `prepare_threshold` among the parameters, as the driver takes it: an int, or None for
        ``none`` (https://www.psycopg.org/psycopg3/docs/advanced/prepare.html).
    :raises sqlalchemy.exc.ArgumentError: it has another value.
    """
    parameters: dict[str, Any] = {
        name: value for name, value in url.query.items() if name not in {"host", "port"}
    }
    url = url.difference_update_query(parameters)
    if "prepare_threshold" in parameters:
        threshold = str(parameters["prepare_threshold"])
        if not re.fullmatch(r"none|\d{1,6}", threshold):
            raise ArgumentError("prepare_threshold takes an integer, or none")
        parameters["prepare_threshold"] = None if threshold == "none" else int(threshold)
    return url, parameters


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
