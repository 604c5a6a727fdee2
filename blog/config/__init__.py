"""The settings, read once into a frozen object.

A value comes from the first of: the command line, ``THREADLEAF_<NAME>`` in the environment, the
TOML file, the default below. ``docs/settings.md`` is made from this file.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from blog.config.database_url import database_url, file_of, is_url, without_password
from blog.config.rules import (
    DATABASE,
    HOST,
    HOSTS,
    LANGUAGE,
    PROXY,
    SITE_URL,
    SOME_TEXT,
    TEXT,
    YES_NO,
    Rule,
    between,
    is_local,
    one_of,
)

PREFIX = "THREADLEAF_"

#: Names the TOML file, and is no setting itself.
FILE_VARIABLE = "THREADLEAF_CONFIG"

#: The TOML file of a blog, in its folder.
SETTINGS_FILE = "threadleaf.toml"

_QUOTES = r"Write a path with backslashes in single quotes, such as 'C:\blogs\blog.db'."


class ConfigError(Exception):
    """A setting is unknown or has a value that is not allowed. The message names all three."""


def setting(default: Any, rule: Rule, *, is_shown: bool = True) -> Any:
    return field(default=default, repr=is_shown, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a blog."""

    #: The name of the blog, at the top of every page and in the feeds.
    title: str = setting("A Threadleaf blog", SOME_TEXT)
    #: A sentence below the name: what the blog is about.
    tagline: str = setting("", TEXT)
    #: Who writes it; stands in the feeds where an entry names no author of its own.
    author: str = setting("", TEXT)
    #: The language that the entries are written in. Quotes follow it: run `threadleaf upgrade`
    #: after a change, or each page renders its texts again.
    language: str = setting("en", LANGUAGE)
    #: Where readers find the site; every absolute address in feeds and pages begins with it.
    #: Unless set, it is where `threadleaf serve` listens.
    site_url: str = setting("http://127.0.0.1:8080", SITE_URL)
    #: Other names under which the blog may be asked for, with spaces between them. Requests for a
    #: name that is neither one of these nor the site's are refused.
    hosts: str = setting("", HOSTS)
    #: The database; a relative file name counts from the folder of the settings file. Behind
    #: PgBouncer in transaction mode, a URL ends in `?prepare_threshold=none`.
    database: str = setting("threadleaf.db", DATABASE, is_shown=False)
    #: How many connections to a PostgreSQL server each process has at most; further requests wait
    #: their turn. With fewer connections than `threads`, they are closed and opened more often. 0
    #: for any number. On SQLite each thread has its own.
    pool_size: int = setting(20, between(0, 1000))
    #: After how many seconds without use a connection to a PostgreSQL server is closed; 0 for
    #: never.
    max_idle: int = setting(300, between(0, 86_400))
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
    #: How many levels of replies are indented; 0 sets all comments below each other.
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
    host: str = setting("127.0.0.1", HOST)
    #: The port that `threadleaf serve` listens on; 0 lets the system choose.
    port: int = setting(8080, between(0, 65_535))
    #: How many requests `threadleaf serve` answers at the same time; for mod_wsgi, the `threads` of
    #: its WSGIDaemonProcess. At most half of them wait while another program locks the database.
    threads: int = setting(8, between(1, 256))
    #: How many connections `threadleaf serve` has open at the same time. Beyond it, the client that
    #: has kept the server waiting longest is disconnected for the next one. Where the system allows
    #: fewer open files (`ulimit -n`), it is lowered to what fits; on Windows it is 480 at most.
    connection_limit: int = setting(2500, between(1, 50_000))
    #: How many seconds `threadleaf serve` keeps a connection open for the next request.
    idle_timeout: int = setting(60, between(1, 3_600))
    #: How many seconds the head of a request may take to arrive, from its first byte.
    header_timeout: int = setting(20, between(1, 3_600))
    #: How many seconds the body of a request may take to arrive, after its head.
    body_timeout: int = setting(60, between(1, 3_600))
    #: How many seconds a client may take nothing of its response before it is disconnected.
    send_timeout: int = setting(60, between(1, 3_600))
    #: The IP address from which a reverse proxy connects to `threadleaf serve`; its headers
    #: X-Forwarded-For, -Host and -Proto are believed. Without it, all visitors who come through a
    #: proxy count as one, and share the limits on comments.
    trusted_proxy: str = setting("", PROXY)

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
        :raises ConfigError: the file cannot be read, a name or a value is not allowed, or no
            setting and no file in the current folder says where the blog is.
        """
        path = path or (Path(environ[FILE_VARIABLE]) if FILE_VARIABLE in environ else None)
        if path is None and Path(SETTINGS_FILE).exists():
            path = Path(SETTINGS_FILE)
        values: dict[str, Any] = {}
        if path is not None:
            values = _from_file(path)
        values |= _from_environment(environ)
        values |= {name: value for name, value in overrides.items() if value is not None}
        is_named = path is not None or "database" in values
        folder = path.parent if path is not None else Path()
        for name in ("media", "database"):
            value = values.get(name, getattr(cls, name))
            if isinstance(value, str) and value and not (name == "database" and is_url(value)):
                values[name] = _resolved(folder, name, value)
        config = cls(**values)
        # A service may be started anywhere, and must not find a new blog there.
        if not is_named and not Path(config.database).exists():
            raise ConfigError(
                f"There is no blog in {Path.cwd()}: it has neither {SETTINGS_FILE} nor "
                f"{cls.database}. Make one with `threadleaf init`, or name the settings file with "
                f"--config or {FILE_VARIABLE}."
            )
        if "site_url" not in values:
            config = replace(config, site_url=_own_url(config.host, config.port))
        config.check_media(path)
        return config

    def needs_a_proxy(self) -> bool:
        """Tell whether readers reach `threadleaf serve` through a proxy, or not at all."""
        site = urlsplit(self.site_url).hostname or ""
        return is_local(self.host) and not is_local(site)

    def check_media(self, settings: Path | None) -> None:
        """Refuse a folder of media that has the database or the settings file in it.

        :raises ConfigError: readers could download the secret in the database.
        """
        media = Path(self.media)
        files = {
            "the database": file_of(database_url(self.database)),
            "the settings file": settings,
        }
        for name, file in files.items():
            if file is not None and _is_below(media, file):
                raise ConfigError(
                    f"The setting media is {self.media!r}, and {name} {str(file)!r} is in it: "
                    "readers could download it. Give media a folder of its own."
                )

    @cached_property
    def mount(self) -> str:
        """The path of ``site_url``, as ``/journal``; empty for none."""
        return urlsplit(self.site_url).path

    def at_port(self, port: int) -> Self:
        """Return the same settings with the port that the system has chosen."""
        if self.site_url == _own_url(self.host, 0):
            return replace(self, port=port, site_url=_own_url(self.host, port))
        return replace(self, port=port)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), type(each.default), each.metadata["rule"])
        object.__setattr__(self, "site_url", self.site_url.rstrip("/"))
        if self.trusted_proxy:
            # The server compares it with what the system calls its clients.
            object.__setattr__(self, "trusted_proxy", str(ipaddress.ip_address(self.trusted_proxy)))


def _resolved(folder: Path, name: str, value: str) -> str:
    try:
        return str((folder / value).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
        raise ConfigError(
            f"The setting {name} is {value!r}, which is not a path: {error}."
        ) from error


def _is_below(folder: Path, file: Path) -> bool:
    """Tell whether `file` is in `folder`, by whatever names: links, letter case, mounts."""
    parents = file.resolve().parents
    if folder in parents:
        return True
    for parent in parents:
        with suppress(OSError):  # it is missing, or closed to this user
            if parent.samefile(folder):
                return True
    return False


def _check(name: str, value: object, kind: type, rule: Rule) -> None:
    # bool is an int to Python, and is none to whoever writes `per_page = true`.
    if type(value) is not kind or not rule.ok(value):
        raise ConfigError(f"The setting {name} is {_shown(value)}; it takes {rule.allowed}.")


def _shown(value: object) -> str:
    """Return a value for a message. Any setting may have been given a URL with a password."""
    if isinstance(value, str):
        return repr(without_password(value))
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return repr(value)


def _known(name: str, where: str) -> str:
    names = [each.name for each in fields(Config)]
    if name not in names:
        raise ConfigError(
            f"{where} sets {name}, which is no setting. There are: {', '.join(names)}."
        )
    return name


def _from_file(path: Path) -> dict[str, Any]:
    text = ""
    try:
        # Editors of Windows begin it with a mark of the encoding.
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = f" {_QUOTES}" if "\\" in text else ""
        raise ConfigError(
            f"The settings file {path} is not TOML in UTF-8: {error}.{remedy}"
        ) from error
    for name in ("media", "database"):
        # In double quotes, the \b of "C:\blogs" is a backspace.
        if re.search(r"[\x00-\x1f]", str(values.get(name, ""))):
            raise ConfigError(
                f"The setting {name} is {_shown(values[name])}, with a control character. {_QUOTES}"
            )
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


def _own_url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - every address of this machine, this one included
        host = Config.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
