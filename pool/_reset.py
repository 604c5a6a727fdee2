"""The reset of a returned connection: no open transaction, no open statement, its initial modes.

SQLAlchemy considers a transaction ended once it has called commit(), even if the COMMIT failed, and
does not see direct use of the driver's connection. So the pool asks the connection itself if its
driver exposes the state: `sqlite3`, `psycopg` and `psycopg2`. With other drivers it relies on the
calls made through its proxy.
"""

import gc
import sqlite3
import sys
from functools import cache
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import InvalidRequestError

if TYPE_CHECKING:
    from ._record import Record


class InitialState:
    """The state of a new connection, which its return restores.

    :param connection: a new connection, after the "connect" listeners.
    :param transaction: the attribute that tells whether a transaction is open.
    :param at_rest: its value outside a transaction.
    :param modes: the attributes that a user may change.
    """

    def __init__(self, connection: Any, transaction: str, at_rest: object, *modes: str) -> None:
        self._modes = {mode: getattr(connection, mode) for mode in modes}
        self._read = attrgetter(transaction, *modes)
        self._expected = (at_rest, *self._modes.values())

    def matches(self, record: "Record") -> bool:
        """Whether the connection of `record` has nothing open, and its initial modes.

        :raises Exception: the driver's, for example if the user has closed the connection.
        """
        return bool(self._read(record.dbapi_connection) == self._expected)

    def restore(self, connection: Any) -> None:
        """Roll back, end open statements, and restore the modes.

        :raises Exception: the driver's.
        :raises sqlalchemy.exc.InvalidRequestError: something is still open or changed.
        """
        self._end(connection)
        # After the rollback: sqlite3 commits an open transaction if `isolation_level` becomes None.
        for mode, value in self._modes.items():
            if getattr(connection, mode) != value:
                setattr(connection, mode, value)
        if (found := self._read(connection)) != self._expected:
            raise InvalidRequestError(
                f"After the rollback the connection is in state {found}, not {self._expected}"
            )

    def _end(self, connection: Any) -> None:
        connection.rollback()


class _Sqlite(InitialState):
    def __init__(self, connection: sqlite3.Connection) -> None:
        modes = ["isolation_level"]
        if sys.version_info >= (3, 12):
            modes.append("autocommit")
        # With `autocommit=False` it is always in a transaction.
        self._tells = getattr(connection, "autocommit", None) is not False
        super().__init__(connection, "in_transaction", not self._tells, *modes)
        self._alone = _idle_references()

    def matches(self, record: Any) -> bool:
        return (
            self._tells
            and self._read(record.dbapi_connection) == self._expected
            # An open statement belongs to a cursor, and each cursor refers to its connection.
            and (
                sys.getrefcount(record.dbapi_connection) == self._alone
                or not _is_reading(record.dbapi_connection)
            )
        )

    def _end(self, connection: Any) -> None:
        connection.rollback()
        if connection.in_transaction:
            # With `autocommit=True` rollback() does nothing; with False it has begun the next
            # transaction. `autocommit = True` alone would commit.
            sqlite3.Connection.cursor(connection).execute("ROLLBACK")
            connection.autocommit = True
        end_statements(connection)


# PQtransactionStatus(): https://www.postgresql.org/docs/current/libpq-status.html
_IDLE, _ACTIVE = 0, 1


class _Psycopg(InitialState):
    """psycopg and psycopg2."""

    def __init__(self, connection: Any) -> None:
        # psycopg has `info`, too, at twenty times the cost.
        has_pgconn = hasattr(connection, "pgconn")
        status = "pgconn.transaction_status" if has_pgconn else "info.transaction_status"
        read_only = "read_only" if has_pgconn else "readonly"
        super().__init__(
            connection, status, _IDLE, "autocommit", "isolation_level", "deferrable", read_only
        )

    def _end(self, connection: Any) -> None:
        if self._read(connection)[0] == _ACTIVE:
            # A rollback would wait for the end of the query.
            raise InvalidRequestError("The connection was returned while a query was running")
        connection.rollback()


def initial_state_of(connection: Any) -> InitialState | None:
    """Return the state of a new connection; None if its driver does not expose it."""
    if isinstance(connection, sqlite3.Connection):
        return _Sqlite(connection)
    status = getattr(getattr(connection, "info", None), "transaction_status", None)
    return _Psycopg(connection) if isinstance(status, int) else None


@cache
def _idle_references() -> int:
    """Return the count in :meth:`_Sqlite.matches` if only the record refers to the connection."""
    record = SimpleNamespace(dbapi_connection=sqlite3.connect(":memory:"))
    try:
        return sys.getrefcount(record.dbapi_connection)
    finally:
        record.dbapi_connection.close()


def _is_reading(connection: sqlite3.Connection) -> bool:
    """Whether a statement is open on a connection without a transaction.

    This VACUUM does nothing. SQLite refuses it if a statement is open, and otherwise because NULL
    is not a file name. https://www.sqlite.org/lang_vacuum.html
    """
    try:
        # Not connection.cursor(), which a subclass may override.
        sqlite3.Connection.cursor(connection).execute("VACUUM INTO NULL")
    except sqlite3.OperationalError as error:
        return "non-text filename" not in str(error)
    return False  # never reached with a SQLite to date


def end_statements(connection: sqlite3.Connection) -> None:
    """Close the cursors of a connection if one of them has an unread result.

    Closing the connection would not end their statements: SQLite keeps the file open and locked
    until the last of them ends. https://www.sqlite.org/c3ref/close.html

    :raises sqlalchemy.exc.InvalidRequestError: a statement is still open. Its cursor cannot be
        found because it is being garbage-collected, or it belongs to a blob, which is closed with
        its connection.
    """
    if not _is_reading(connection):
        return
    # The youngest objects first: an open cursor is rarely old, and there may be millions of others.
    _close_cursors(connection, gc.get_objects(generation=0))
    if _is_reading(connection):
        close_cursors(connection)
    if _is_reading(connection):
        raise InvalidRequestError("The connection has an open statement that cannot be ended")


def close_cursors(connection: sqlite3.Connection) -> None:
    """Close all cursors of a connection."""
    _close_cursors(connection, gc.get_referrers(connection))


def _close_cursors(connection: sqlite3.Connection, objects: list[Any]) -> None:
    for found in objects:
        # Not isinstance(), which would ask proxies for their class.
        if issubclass(type(found), sqlite3.Cursor) and found.connection is connection:
            found.close()
