"""The settings, read once into a frozen object.

A value comes from the first of: the command line, ``THREADLEAF_<NAME>`` in the environment, the
TOML file, the default below. ``docs/settings.md`` is generated from this file.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
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

#: Names the TOML file; not a setting.
FILE_VARIABLE = "THREADLEAF_CONFIG"

#: The name of a blog's TOML file.
SETTINGS_FILE = "threadleaf.toml"

_QUOTES = r"Write a path with backslashes in single quotes, such as 'C:\blogs\blog.db'."


class ConfigError(Exception):
    """A setting is unknown or has an invalid value. The message gives name, value and remedy."""


def setting(default: Any, rule: Rule, *, is_shown: bool = True) -> Any:
    return field(default=default, repr=is_shown, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a blog."""

    #: The name of the blog, shown at the top of every page and in the feeds.
    title: str = setting("A Threadleaf blog", SOME_TEXT)
    #: A sentence shown below the name: what the blog is about.
    tagline: str = setting("", TEXT)
    #: The author named in the feeds, for entries without an author of their own.
    author: str = setting("", TEXT)
    #: The language of the entries, which also decides the style of quotation marks. After a change,
    #: run `threadleaf upgrade`: until then, texts are rendered again for each page.
    language: str = setting("en", LANGUAGE)
    #: The public address of the site; absolute URLs in pages and feeds begin with it. Unless set,
    #: it is the address that `threadleaf serve` listens on.
    site_url: str = setting("http://127.0.0.1:8080", SITE_URL)
    #: Further host names of the site, separated by spaces. Requests for any host name other than
    #: these and that of `site_url` are refused.
    hosts: str = setting("", HOSTS)
    #: The database: a file, relative to the folder of the settings file, or a URL. Behind PgBouncer
    #: in transaction mode, end the URL with `?prepare_threshold=none`.
    database: str = setting("threadleaf.db", DATABASE, is_shown=False)
    #: The most connections that each process opens to a PostgreSQL server; further requests wait.
    #: With fewer than `threads`, connections are closed and reopened more often. 0 for no limit.
    #: Ignored for SQLite, where each thread has its own.
    pool_size: int = setting(20, between(0, 1000))
    #: Seconds after which an idle connection to a PostgreSQL server is closed; 0 for never.
    max_idle: int = setting(300, between(0, 86_400))
    #: The folder of pictures and other files, served below /media/. A relative path is relative to
    #: the folder of the settings file.
    media: str = setting("media", SOME_TEXT)
    #: Entries per page of a list.
    per_page: int = setting(10, between(1, 100))
    #: Entries or comments per feed.
    feed_size: int = setting(20, between(1, 200))
    #: Whether visitors can comment.
    comments: bool = setting(True, YES_NO)
    #: The maximum length of a comment, in characters.
    comment_length: int = setting(500, between(1, 50_000))
    #: The maximum length of a commenter's name, in characters.
    comment_name_length: int = setting(80, between(1, 500))
    #: Whether the search includes comments.
    search_comments: bool = setting(True, YES_NO)
    #: The size of the page cache, in MiB of memory per process; 0 turns it off.
    page_cache: int = setting(32, between(0, 100_000))
    #: The format of comments: "text", or "markdown" without pictures and headings.
    comment_format: str = setting("text", one_of("text", "markdown"))
    #: How many levels of replies are indented; 0 indents none.
    comment_depth: int = setting(4, between(0, 5))
    #: How many days after publication comments on an entry are closed; 0 for never.
    comments_close_after: int = setting(0, between(0, 36_500))
    #: Which comments are held for moderation: "filter" for suspected spam, "all" for all.
    comment_moderation: str = setting("filter", one_of("filter", "all"))
    #: Whether comments by a previously approved commenter are published at once.
    comment_trust: bool = setting(True, YES_NO)
    #: How many days the keyed hash of a commenter's network is kept.
    comment_days: int = setting(30, between(1, 3_650))
    #: The address that `threadleaf serve` listens on.
    host: str = setting("127.0.0.1", HOST)
    #: The port that `threadleaf serve` listens on; 0 picks a free one.
    port: int = setting(8080, between(0, 65_535))
    #: How many requests `threadleaf serve` processes at the same time; under mod_wsgi, set it to
    #: the `threads` of WSGIDaemonProcess. At most half of them wait to write to the database.
    threads: int = setting(8, between(1, 256))
    #: The most connections that `threadleaf serve` has open at the same time. At the limit, a new
    #: client replaces the one that has kept the server waiting longest. It is lowered to what the
    #: limit of open files (`ulimit -n`) allows, and to 480 on Windows.
    connection_limit: int = setting(2500, between(1, 50_000))
    #: Seconds for which an idle connection stays open for another request.
    idle_timeout: int = setting(60, between(1, 3_600))
    #: Seconds allowed for the request line and headers to arrive, from their first byte.
    header_timeout: int = setting(20, between(1, 3_600))
    #: Seconds allowed for the body of a request to arrive, after its headers.
    body_timeout: int = setting(60, between(1, 3_600))
    #: Seconds without progress in sending a response after which the client is disconnected.
    send_timeout: int = setting(60, between(1, 3_600))
    #: The IP address from which a reverse proxy connects to `threadleaf serve`. Its headers
    #: X-Forwarded-For, -Host and -Proto are trusted. Without it, all visitors behind a proxy count
    #: as one, and share one limit on comments.
    trusted_proxy: str = setting("", PROXY)

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        **overrides: Any,
    ) -> Self:
        """Read the settings.

        :param path: the TOML file. With None, the one that ``THREADLEAF_CONFIG`` names, or else
            ``threadleaf.toml`` in the current folder, if it exists.
        :param overrides: settings from the command line; None means not given.
        :raises ConfigError: the file cannot be read, a setting is unknown or invalid, or neither a
            setting nor a file in the current folder locates the blog.
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
        # A service started in the wrong folder must not create a new blog there.
        if not is_named and not Path(config.database).exists():
            raise ConfigError(
                f"No blog in {Path.cwd()}: neither {SETTINGS_FILE} nor {cls.database} exists. "
                f"Create one with `threadleaf init`, or name the settings file with --config or "
                f"{FILE_VARIABLE}."
            )
        if "site_url" not in values:
            config = replace(config, site_url=_own_url(config.host, config.port))
        config.check_media(path)
        return config

    def needs_a_proxy(self) -> bool:
        """Tell whether readers can reach `threadleaf serve` only through a proxy."""
        site = urlsplit(self.site_url).hostname or ""
        return is_local(self.host) and not is_local(site)

    def check_media(self, settings: Path | None) -> None:
        """Refuse a media folder that contains the database or the settings file.

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
                    f"media is {self.media!r}, which contains {name} {str(file)!r}: readers could "
                    "download it. Set media to a folder of its own."
                )

    @cached_property
    def mount(self) -> str:
        """The path of ``site_url``, as ``/journal``; empty for none."""
        return urlsplit(self.site_url).path

    def at_port(self, port: int) -> Self:
        """Return these settings with the port that the system picked."""
        if self.site_url == _own_url(self.host, 0):
            return replace(self, port=port, site_url=_own_url(self.host, port))
        return replace(self, port=port)

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each.name, getattr(self, each.name), type(each.default), each.metadata["rule"])
        object.__setattr__(self, "site_url", self.site_url.rstrip("/"))
        if self.trusted_proxy:
            # The server compares it with the system's spelling of client addresses.
            object.__setattr__(self, "trusted_proxy", str(ipaddress.ip_address(self.trusted_proxy)))


def _resolved(folder: Path, name: str, value: str) -> str:
    try:
        return str((folder / value).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
        raise ConfigError(f"{name} is {value!r}, which is not a valid path: {error}.") from error


def _is_below(folder: Path, file: Path) -> bool:
    """Tell whether `file` is in `folder`, even by other names: links, letter case, mounts."""
    parents = file.resolve().parents
    if folder in parents:
        return True
    for parent in parents:
        with suppress(OSError):  # it is missing or not accessible
            if parent.samefile(folder):
                return True
    return False


def _check(name: str, value: object, kind: type, rule: Rule) -> None:
    # isinstance() would accept `per_page = true`.
    if type(value) is not kind or not rule.ok(value):
        raise ConfigError(f"{name} is {_shown(value)}, but must be {rule.allowed}.")


def _shown(value: object) -> str:
    """Return a value for a message, without any password: a URL may be in the wrong setting."""
    if isinstance(value, str):
        return repr(without_password(value))
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return repr(value)


def _known(name: str, where: str) -> str:
    names = [each.name for each in fields(Config)]
    if name in names:
        return name
    close = get_close_matches(name.lower(), names, n=1)
    hint = f': did you mean "{close[0]}"?' if close else f". Known settings: {', '.join(names)}."
    raise ConfigError(f'{where}: unknown setting "{name}"{hint}')


def _from_file(path: Path) -> dict[str, Any]:
    text = ""
    try:
        # Editors on Windows may write a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"Cannot read the settings file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = f" {_QUOTES}" if "\\" in text else ""
        raise ConfigError(
            f"The settings file {path} is not valid TOML in UTF-8: {error}.{remedy}"
        ) from error
    for name in ("media", "database"):
        # In double quotes, the \b of "C:\blogs" is a backspace.
        if re.search(r"[\x00-\x1f]", str(values.get(name, ""))):
            raise ConfigError(
                f"{name} is {_shown(values[name])}, which has a control character. {_QUOTES}"
            )
    return {_known(name, str(path)): value for name, value in values.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    kinds = {each.name: type(each.default) for each in fields(Config)}
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        name = _known(variable.removeprefix(PREFIX).lower(), variable)
        values[name] = _parse(value, kinds[name])
    return values


def _parse(value: str, kind: type) -> object:
    """Convert the text of a variable; :func:`_check` refuses text of another form."""
    if kind is int and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    if kind is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            value.lower(), value
        )
    return value


def _own_url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - all addresses of this machine
        host = Config.host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
