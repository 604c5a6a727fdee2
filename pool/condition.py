"""What a connection must not bring back: an open transaction, an open statement, another mode.

SQLAlchemy takes a transaction for ended once it has asked for its COMMIT, even if that was refused,
and it does not know what was done to the driver's connection directly. So the connection itself is
asked, where its driver can tell: `sqlite3`, `psycopg` and `psycopg2`. Elsewhere the pool has to go
by the calls that went through its proxy.
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
    from pool.records import Record


class Condition:
    """How a connection was when it was opened, and has to be when the pool takes it back.

    :param connection: one that was opened just now.
    :param transaction: the attribute that tells whether a transaction is open.
    :param at_rest: its value where the pool may take the connection back.
    :param modes: the attributes that a user may change.
    """

    def __init__(self, connection: Any, transaction: str, at_rest: object, *modes: str) -> None:
        self._modes = {mode: getattr(connection, mode) for mode in modes}
        self._read = attrgetter(transaction, *modes)
        self._expected = (at_rest, *self._modes.values())

    def holds(self, record: "Record") -> bool:
        """Whether the connection of `record` has nothing open, and its own modes.

        :raises Exception: what the driver raises, for a connection that its user closed.
        """
        return bool(self._read(record.dbapi_connection) == self._expected)

    def restore(self, connection: Any) -> None:
        """End what is open, and set the modes as they were.

        :raises Exception: what the driver raises.
        :raises sqlalchemy.exc.InvalidRequestError: it was in vain.
        """
        self._end(connection)
        # Not before that: sqlite3 commits what is open when `isolation_level` becomes None.
        for mode, value in self._modes.items():
            if getattr(connection, mode) != value:
                setattr(connection, mode, value)
        if (found := self._read(connection)) != self._expected:
            raise InvalidRequestError(f"A rollback left {found} instead of {self._expected}")

    def _end(self, connection: Any) -> None:
        connection.rollback()


class _Sqlite(Condition):
    def __init__(self, connection: sqlite3.Connection) -> None:
        modes = ["isolation_level"]
        if sys.version_info >= (3, 12):
            modes.append("autocommit")
        # With `autocommit=False` it is always in a transaction, and never seen to be at rest.
        self._tells = getattr(connection, "autocommit", None) is not False
        super().__init__(connection, "in_transaction", not self._tells, *modes)
        self._alone = _references_to_an_idle_one()

    def holds(self, record: Any) -> bool:
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
            # rollback() does nothing where `autocommit` is True. Where it is False the next
            # transaction has begun. Not by `autocommit = True` alone, which would commit.
            sqlite3.Connection.cursor(connection).execute("ROLLBACK")
            connection.autocommit = True
        end_statements(connection)


# PQtransactionStatus(): https://www.postgresql.org/docs/current/libpq-status.html
_IDLE, _ACTIVE = 0, 1


class _Psycopg(Condition):
    """Of psycopg and psycopg2."""

    def __init__(self, connection: Any) -> None:
        # psycopg has `info` as well, at twenty times the cost.
        has_pgconn = hasattr(connection, "pgconn")
        status = "pgconn.transaction_status" if has_pgconn else "info.transaction_status"
        read_only = "read_only" if has_pgconn else "readonly"
        super().__init__(
            connection, status, _IDLE, "autocommit", "isolation_level", "deferrable", read_only
        )

    def _end(self, connection: Any) -> None:
        if self._read(connection)[0] == _ACTIVE:
            # The rollback would wait for the end of the query, which nobody reads.
            raise InvalidRequestError("The connection was returned in the middle of a query")
        connection.rollback()


def condition_of(connection: Any) -> Condition | None:
    """The condition of a connection that was opened just now; None if its driver cannot tell."""
    if isinstance(connection, sqlite3.Connection):
        return _Sqlite(connection)
    status = getattr(getattr(connection, "info", None), "transaction_status", None)
    return _Psycopg(connection) if isinstance(status, int) else None


@cache
def _references_to_an_idle_one() -> int:
    """How many :meth:`_Sqlite.holds` counts where nothing but the record has the connection."""
    record = SimpleNamespace(dbapi_connection=sqlite3.connect(":memory:"))
    try:
        return sys.getrefcount(record.dbapi_connection)
    finally:
        record.dbapi_connection.close()


def _is_reading(connection: sqlite3.Connection) -> bool:
    """Whether a statement is open on a connection without a transaction.

    This VACUUM does nothing. SQLite refuses it beside an open statement, and if there is none,
    because NULL is not the name of a file. https://www.sqlite.org/lang_vacuum.html
    """
    try:
        # Not its own cursor(), which a subclass may have changed.
        sqlite3.Connection.cursor(connection).execute("VACUUM INTO NULL")
    except sqlite3.OperationalError as error:
        return "non-text filename" not in str(error)
    return False  # no SQLite yet


def end_statements(connection: sqlite3.Connection) -> None:
    """Close the cursors of a connection that are in the middle of a result.

    Closing the connection would not end their statements: SQLite keeps the file open, with its
    lock, until the last of them is gone. https://www.sqlite.org/c3ref/close.html

    :raises sqlalchemy.exc.InvalidRequestError: one cannot be found. A blob is closed with its
        connection, and a cursor in a reference cycle is being collected just now.
    """
    if not _is_reading(connection):
        return
    # The youngest first: what was left open is seldom old, and there may be millions of objects.
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
        # Not isinstance(), which would ask proxies for what they stand for.
        if issubclass(type(found), sqlite3.Cursor) and found.connection is connection:
            found.close()
