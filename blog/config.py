"""The settings, read once into a frozen object.

A value comes from the first of: the command line, ``THREADLEAF_<NAME>`` in the environment, the
TOML file, the default below. ``docs/settings.md`` is made from this file.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

PREFIX = "THREADLEAF_"

#: Names the TOML file, and is no setting itself.
FILE_VARIABLE = "THREADLEAF_CONFIG"


class ConfigError(Exception):
    """A setting is unknown or has a value that is not allowed. The message names all three."""


@dataclass(frozen=True)
class Rule:
    """What values a setting takes: `allowed` in words, and `ok` to decide."""

    allowed: str
    ok: Callable[[Any], bool]


def between(low: int, high: int) -> Rule:
    return Rule(f"a whole number from {low} to {high}", lambda value: low <= value <= high)


def one_of(*words: str) -> Rule:
    return Rule(" or ".join(words), lambda value: value in words)


def _is_site_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:  # such as a bracket that is not closed
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.netloc)
        and "@" not in parts.netloc
        and not (parts.query or parts.fragment)
    )


def _is_database(value: str) -> bool:
    try:
        url = make_url(value)
    except ArgumentError:
        return False
    if url.get_backend_name() == "sqlite":
        return url.database not in {None, "", ":memory:"}
    # Without its driver's name, SQLAlchemy 2.0 would look for one that is not installed.
    return url.drivername == "postgresql+psycopg"


TEXT = Rule("a text", lambda value: True)  # noqa: ARG005
SOME_TEXT = Rule("a text that is not empty", lambda value: value.strip() != "")
LANGUAGE = Rule(
    "a language tag such as en or pt-BR",
    lambda value: re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value) is not None,
)
SITE_URL = Rule(
    "an address such as https://example.org or https://example.org/journal", _is_site_url
)
DATABASE = Rule("a file name, or an sqlite:/// or postgresql+psycopg:// URL", _is_database)
YES_NO = Rule("true or false", lambda value: True)  # noqa: ARG005


def setting(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a blog."""

    #: The name of the blog, at the top of every page and in the feeds.
    title: str = setting("A Threadleaf blog", SOME_TEXT)
    #: A sentence below the name: what the blog is about.
    tagline: str = setting("", TEXT)
    #: Who writes it; stands in the feeds where an entry names no author of its own.
    author: str = setting("", TEXT)
    #: The language that the entries are written in.
    language: str = setting("en", LANGUAGE)
    #: Where readers find the site; every absolute address in feeds and pages begins with it.
    #: Unless set, it is where `threadleaf serve` listens.
    site_url: str = setting("http://127.0.0.1:8080", SITE_URL)
    #: Other names under which the blog may be asked for, with spaces between them. Requests for a
    #: name that is neither one of these nor the site's are refused.
    hosts: str = setting("", TEXT)
    #: The database; a relative file name counts from the folder of the settings file.
    database: str = setting("threadleaf.db", DATABASE)
    #: The folder of pictures and other files, which readers find below /media/; a relative name
    #: counts from the folder of the settings file.
    media: str = setting("media", SOME_TEXT)
    #: How many entries stand on a page of a list.
    per_page: int = setting(10, between(1, 100))
    #: How many entries or comments stand in a feed.
    feed_size: int = setting(20, between(1, 200))
    #: Whether visitors may comment at all.
    comments: bool = setting(True, YES_NO)
    #: The longest comment that the form takes, in characters.
    comment_length: int = setting(500, between(1, 50_000))
    #: The longest name that the comment form takes, in characters.
    comment_name_length: int = setting(80, between(1, 500))
    #: Whether the search looks into comments, too.
    search_comments: bool = setting(True, YES_NO)
    #: How many MiB of finished pages are kept in memory; 0 keeps none.
    page_cache: int = setting(32, between(0, 100_000))
    #: What comments are written in: "text", or "markdown" without pictures and headings.
    comment_format: str = setting("text", one_of("text", "markdown"))
    #: How many levels of answers are indented; 0 sets all comments below each other.
    comment_depth: int = setting(4, between(0, 5))
    #: For how many days after its publication an entry takes comments; 0 for ever.
    comments_close_after: int = setting(0, between(0, 36_500))
    #: Which comments wait for the author: "filter" for those that look like spam, "all" for all.
    comment_moderation: str = setting("filter", one_of("filter", "all"))
    #: Whether the comments of somebody who was approved before are published at once.
    comment_trust: bool = setting(True, YES_NO)
    #: For how many days it is kept, as a keyed hash, from which network a comment came.
    comment_days: int = setting(30, between(1, 3_650))
    #: The address that `threadleaf serve` listens on.
    host: str = setting("127.0.0.1", SOME_TEXT)
    #: The port that `threadleaf serve` listens on; 0 lets the system choose.
    port: int = setting(8080, between(0, 65_535))
    #: How many requests `threadleaf serve` answers at the same time; for mod_wsgi, the `threads` of
    #: its WSGIDaemonProcess. At most half of them wait while another program locks the database.
    threads: int = setting(8, between(1, 256))
    #: The IP address of a proxy whose X-Forwarded headers `threadleaf serve` believes.
    trusted_proxy: str = setting("", TEXT)

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        **overrides: Any,
    ) -> Self:
        """Read the settings.

        :param path: the TOML file. None takes the one that ``THREADLEAF_CONFIG`` names, else
            ``threadleaf.toml`` in the current folder, if there is one.
        :param overrides: settings from the command line; None means not given.
        :raises ConfigError: the file cannot be read, or a name or a value is not allowed.
        """
        path = path or (Path(environ[FILE_VARIABLE]) if FILE_VARIABLE in environ else None)
        if path is None and Path("threadleaf.toml").exists():
            path = Path("threadleaf.toml")
        values: dict[str, Any] = {}
        if path is not None:
            values = _from_file(path)
        values |= _from_environment(environ)
        values |= {name: value for name, value in overrides.items() if value is not None}
        folder = path.parent if path is not None else Path()
        media = values.get("media", cls.media)
        if isinstance(media, str):
            values["media"] = str((folder / media).resolve())
        database = values.get("database", cls.database)
        if isinstance(database, str) and database and "://" not in database:
            values["database"] = f"sqlite:///{(folder / database).resolve().as_posix()}"
        values.setdefault("site_url", _own_url(values))
        return cls(**values)

    @property
    def mount(self) -> str:
        """The path of ``site_url``, as ``/journal``; empty for none."""
        return urlsplit(self.site_url).path

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), type(each.default), each.metadata["rule"])
        object.__setattr__(self, "site_url", self.site_url.rstrip("/"))


def _check(name: str, value: object, kind: type, rule: Rule) -> None:
    # bool is an int to Python, and is none to whoever writes `per_page = true`.
    if type(value) is not kind or not rule.ok(value):
        raise ConfigError(f"The setting {name} is {value!r}; it takes {rule.allowed}.")


def _known(name: str, where: str) -> str:
    names = [each.name for each in fields(Config)]
    if name not in names:
        raise ConfigError(
            f"{where} sets {name}, which is no setting. There are: {', '.join(names)}."
        )
    return name


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not TOML in UTF-8: {error}.") from error
    return {_known(name, str(path)): value for name, value in values.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    kinds = {each.name: type(each.default) for each in fields(Config)}
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        name = _known(variable.removeprefix(PREFIX).lower(), f"The environment ({variable})")
        values[name] = _parse(value, kinds[name])
    return values


def _parse(value: str, kind: type) -> object:
    """Give the text of a variable its type; what has not that form is left to :func:`_check`."""
    if kind is int and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    if kind is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.lower(), value
        )
    return value


def _own_url(values: Mapping[str, Any]) -> str:
    host, port = values.get("host", Config.host), values.get("port", Config.port)
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - every address of this machine, this one included
        host = Config.host
    return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"
