"""A driver that opens nothing and records each call with its thread.

Threads are identified by an object in thread-local storage, never by an ident, which the system
reuses for the next thread.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

from sqlalchemy.pool import PoolProxiedConnection

_local = threading.local()


def token() -> object:
    """An object of the calling thread, unique for ever."""
    try:
        return _local.token
    except AttributeError:
        _local.token = object()
        return _local.token


class ConnectError(Exception):
    """The driver could not connect."""


class RecordingConnection:
    """A DBAPI connection that a test marks as held while it is checked out.

    While it is held, only its own thread may call it, and it must not be closed. While it is not,
    the pool may roll it back and close it in any thread.
    """

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self._opener = token()
        self._calls: list[object] = []
        self._holders: list[object] = []
        self.is_open = True
        self.in_transaction = False

    def hold(self, holder: object) -> None:
        """Note that a checkout has this connection."""
        self._holders.append(holder)
        if len(self._holders) > 1:
            self._driver.violations.append("two checkouts share a connection")
        if not self.is_open:
            self._driver.violations.append("a closed connection was checked out")
        if self._opener is not token():
            self._driver.violations.append("a thread got the connection of another one")
        if self.in_transaction:
            self._driver.violations.append("a transaction was left open")

    def let_go(self) -> None:
        """Note that the checkout is about to end."""
        self._holders.pop()

    def cursor(self) -> "RecordingCursor":
        self._record("cursor")
        return RecordingCursor(self)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self._record("execute")
        self.in_transaction = True

    def commit(self) -> None:
        self._record("commit")
        self.in_transaction = False

    def rollback(self) -> None:
        self._record("rollback", anywhere=True)
        self.in_transaction = False

    def close(self) -> None:
        self._record("close", anywhere=True)
        if self._holders:
            self._driver.violations.append("a connection in use was closed")
        self.is_open = False
        self._driver.closed.append(None)

    def _record(self, call: str, *, anywhere: bool = False) -> None:
        caller = token()
        self._calls.append(caller)
        if not self.is_open:
            self._driver.violations.append(f"{call} on a closed connection")
        if caller is not self._opener and (self._holders or not anywhere):
            self._driver.violations.append(f"{call} by a thread other than the connection's own")
        if any(other is not caller for other in self._calls):
            self._driver.violations.append(f"{call} while another thread is calling")
        self._calls.pop()

    def __del__(self) -> None:
        if self.is_open:
            self.is_open = False
            self._driver.dropped.append(None)


class RecordingCursor:
    description = None
    rowcount = -1

    def __init__(self, connection: RecordingConnection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.execute(statement, parameters)

    def close(self) -> None:
        pass


def recorded(proxy: PoolProxiedConnection) -> RecordingConnection:
    """The connection of a checkout."""
    return cast("RecordingConnection", proxy.dbapi_connection)


class Driver:
    """Opens recording connections, or fails where a test says so.

    `opened`, `closed` and `dropped` have one entry for each connection that was opened, closed,
    and collected without having been closed. Appending needs no lock.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.opened: list[None] = []
        self.closed: list[None] = []
        self.dropped: list[None] = []
        self.refuses: Callable[[], bool] = lambda: False
        self._connections: list[weakref.ref[RecordingConnection]] = []

    def connect(self) -> Any:
        if self.refuses():
            raise ConnectError
        connection = RecordingConnection(self)
        self._connections.append(weakref.ref(connection, self._connections.remove))
        self.opened.append(None)
        return connection

    def open(self) -> set[RecordingConnection]:
        """How many are really open now."""
        alive = [ref() for ref in list(self._connections)]
        return {connection for connection in alive if connection and connection.is_open}
