"""The values that settings may have."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import ArgumentError

from blog.config.database_url import connection_parameters, database_url, file_of


@dataclass(frozen=True)
class Rule:
    """The values that a setting may have: `allowed` in words, `ok` as a predicate."""

    allowed: str
    ok: Callable[[Any], bool]


def between(low: int, high: int) -> Rule:
    return Rule(f"a whole number from {low} to {high}", lambda value: low <= value <= high)


def one_of(*words: str) -> Rule:
    return Rule(" or ".join(f'"{word}"' for word in words), lambda value: value in words)


def _is_site_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises unless it is a number up to 65535
    except ValueError:  # such as an unclosed bracket
        return False
    host = parts.hostname or ""
    return (
        parts.scheme in {"http", "https"}
        and HOST.ok(host)
        and "@" not in parts.netloc
        and not (parts.query or parts.fragment or re.search(r"[\s\0-\x1f\x7f]", value))
    )


_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _is_host(value: str) -> bool:
    """Tell whether this is an ASCII host name; browsers send other letters as ``xn--…``.

    RFC 1123 has no underscores, but container names do.
    """
    return len(value) <= 253 and all(map(_LABEL.fullmatch, value.split(".")))


def is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Tell whether `host` is reachable from this machine only."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_database(value: str) -> bool:
    try:
        url = database_url(value)
        # Without a driver in the URL, SQLAlchemy 2.0 would look for psycopg2.
        if url.get_backend_name() != "sqlite" and url.drivername != "postgresql+psycopg":
            return False
        url.get_dialect()().create_connect_args(url)
        connection_parameters(url)
    except ArgumentError:
        return False
    return url.get_backend_name() != "sqlite" or (value != "" and file_of(url) is not None)


TEXT = Rule("text", lambda value: True)  # noqa: ARG005
SOME_TEXT = Rule("text, not empty", lambda value: value.strip() != "")
LANGUAGE = Rule(
    "a language tag such as en or pt-BR",
    lambda value: re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value) is not None,
)
SITE_URL = Rule(
    "an http or https URL with an ASCII host name, such as https://example.org/journal",
    _is_site_url,
)
HOST = Rule("an IP address or a host name", lambda value: _is_host(value) or is_address(value))
HOSTS = Rule(
    "host names such as blog.example.org, without ports, separated by spaces",
    lambda value: all(HOST.ok(name) for name in value.split()),
)
PROXY = Rule(
    "an IP address such as 127.0.0.1, or empty",
    lambda value: value == "" or is_address(value),
)
DATABASE = Rule(
    "a file name, or an sqlite:/// or postgresql+psycopg:// URL (write @ in a password as %40)",
    _is_database,
)
YES_NO = Rule("true or false", lambda value: True)  # noqa: ARG005
