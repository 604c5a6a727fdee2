"""Limits of clients: their number, and how long they may keep the server waiting."""

import logging
import select
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from blog.config import Config

log = logging.getLogger(__name__)

# Without poll() there is select(), which on Windows takes 512 sockets
# (https://docs.python.org/3/library/select.html#select.select).
_SELECTABLE = 480


@dataclass(frozen=True)
class Limits:
    """The limits of clients: their number, and seconds for which they may keep the server waiting.

    :param connections: open at the same time. Beyond that, the client that has made the
        server wait longest is disconnected for the next one.
    :param idle: between two requests, or before the first.
    :param head: from the first byte of a request to the end of its head, however it arrives.
    :param body: the same for its body.
    :param send: without a byte of the response taken by the client.
    """

    connections: int
    idle: float
    head: float
    body: float
    send: float

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the limits from the settings."""
        return cls(
            connections=config.connection_limit,
            idle=config.idle_timeout,
            head=config.header_timeout,
            body=config.body_timeout,
            send=config.send_timeout,
        )


def fitting(connections: int, threads: int) -> int:
    """Return the number of connections that this process can have, with an open file for each.

    The soft limit of open files is raised if needed, as far as allowed.

    :param connections: how many are wanted.
    :param threads: of the application, each with a connection to the database.
    """
    if not hasattr(select, "poll"):
        connections = min(connections, _SELECTABLE)
    if sys.platform == "win32":
        return connections
    import resource

    reserve = 16 + 3 * threads
    wanted = 2 * connections + reserve
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        highest = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        # macOS may refuse a value below the hard limit.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    fit = max(1, (soft - reserve) // 2)
    log.warning(
        "Limited to %d connections instead of %d: this process may open %d files. Raise the limit "
        "(ulimit -n, LimitNOFILE in systemd) or lower the setting connection_limit",
        fit,
        connections,
        soft,
    )
    return fit
