"""The settings of each connection, how transactions begin, and errors of the file.

A transaction that reads and then writes fails at once if another one has written in between,
whatever the timeout. The driver's own transactions begin at the first write and lose updates
without an error. So the driver begins none here: each transaction begins with BEGIN, or, if it will
write, with BEGIN IMMEDIATE, which waits for the lock. https://www.sqlite.org/lang_transaction.html
"""

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, cast

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from .._errors import SettingError
from ._checkpoint import LIMIT, Checkpoints, waiting_up_to
from ._file import DatabaseFile, OpenedFile, connect_existing

#: Execution options of a transaction that will write.
WRITING = {"sqlite_begin": "BEGIN IMMEDIATE"}

#: The same, but failing at once while another connection writes.
WRITING_NOWAIT = WRITING | {"sqlite_nowait": True}

#: SQLite has 32 bits for the milliseconds: https://www.sqlite.org/c3ref/busy_timeout.html
_LONGEST = 2_147_483

_SETTINGS = {
    "foreign_keys": 1,
    # A schema may come from anywhere.
    "trusted_schema": 0,
    "cache_size": -2000,
    "journal_size_limit": LIMIT,
    # A temporary file is one more that can fail.
    "temp_store": 2,
}

#: After these errors a connection is not used again: disk full, I/O error, damaged file, not a
#: database.
_FATAL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}

#: The key in the `info` of a connection for its `OpenedFile`.
_OPENED = "pool.sqlite"


def configure(engine: Engine, *, busy_timeout: float = 5.0) -> None:
    """Set up each connection that `engine` opens, and begin its transactions with BEGIN.

    The settings are foreign_keys, trusted_schema, busy_timeout, synchronous, cache_size,
    journal_size_limit and temp_store. Each is read back, and a connection without it is refused. A
    write-ahead log above 8 MiB is restarted by a transaction with `WRITING`.

    After an error that ended a transaction, or that casts doubt on the file, the connection is
    invalidated, so a later commit() raises. When the database file is replaced, `Engine.connect()`
    and each new session get the new one, and a commit to the old one raises OperationalError. A
    file that was opened once is never created again.

    :param engine: an engine of the driver `sqlite3`, with any pool, that has not connected yet.
    :param busy_timeout: how long a statement waits for another connection's lock, in seconds; then
        it fails with "database is locked". It replaces the driver's `timeout`.
    :raises sqlalchemy.exc.ArgumentError: the engine is for another database or driver, or the
        timeout is out of range.

    Opening a connection raises `SettingError` if SQLite does not accept a setting.
    """
    _check(engine, busy_timeout)
    setup = _Setup(busy_timeout)
    event.listen(engine, "do_connect", setup.connect)
    event.listen(engine, "connect", setup.set_up)
    event.listen(engine, "engine_connect", _on_engine_connect)
    event.listen(engine, "begin", partial(_on_begin, Checkpoints()))
    event.listen(engine, "handle_error", _on_error)
    event.listen(engine, "invalidate", _forget)
    event.listen(engine, "detach", _forget)
    event.listen(engine, "close", _on_close)


def _check(engine: Engine, busy_timeout: float) -> None:
    if (engine.dialect.name, engine.dialect.driver) != ("sqlite", "pysqlite"):
        raise ArgumentError(
            f"configure() is for sqlite+pysqlite, not {engine.dialect.name}+{engine.dialect.driver}"
        )
    is_number = isinstance(busy_timeout, int | float) and not isinstance(busy_timeout, bool)
    if not is_number or not 0 <= busy_timeout <= _LONGEST:
        raise ArgumentError(
            f"busy_timeout is {busy_timeout!r}; expected seconds, from 0 to {_LONGEST}"
        )
    if getattr(engine.dialect, "skip_autocommit_rollback", False):
        raise ArgumentError(
            "skip_autocommit_rollback would skip each rollback of the transactions that "
            "configure() begins: remove it from create_engine()"
        )


class _Setup:
    """Opens the connections of an engine and sets them up."""

    def __init__(self, busy_timeout: float) -> None:
        self._busy_timeout = round(busy_timeout * 1000)
        self._files: dict[str, DatabaseFile] = {}

    def connect(
        self, _dialect: Dialect, _entry: object, args: list[Any], options: dict[str, Any]
    ) -> sqlite3.Connection | None:
        if args[0] in {"", ":memory:"} or options.get("uri"):
            return None
        options.setdefault("factory", _Connection)
        # The first connection may create the file, as always with SQLite.
        return connect_existing(args[0], **options) if self._files else None

    def set_up(self, connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        _leave_transactions_alone(connection)
        # Before anything is read: a new connection must not see the log of a removed file.
        path = _file_of(connection)
        if path:  # there is none in memory
            opened = self._files.setdefault(path, DatabaseFile(path)).opened()
            entry.info[_OPENED] = opened
            if isinstance(connection, _Connection):
                connection.opened = opened
        # Before anything that needs a lock.
        _set(connection, "busy_timeout", self._busy_timeout)
        for pragma, value in _SETTINGS.items():
            _set(connection, pragma, value)
        # With a write-ahead log, NORMAL can lose the last commits in a power failure but damages
        # nothing. Without one it could, so FULL must stay.
        if _ask(connection, "journal_mode") == "wal":
            _set(connection, "synchronous", 1)
        if path:
            entry.info[_OPENED].note_log()


def use_wal(engine: Engine) -> None:
    """Give the database a write-ahead log, so that readers do not wait for a writer.

    The file remembers it: call this once per database, best when it is created. Connections that
    are already open keep the `synchronous` of other journals, which is slower and safe.

    :param engine: an engine set up by :func:`configure`, for a database in a file.
    :raises SettingError: SQLite keeps another journal, for example for an in-memory database.
    :raises sqlalchemy.exc.OperationalError: another connection is using the database, or it is
        read-only.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar()
        if found == "wal":
            connection.invalidate()  # the next one sets `synchronous` for it
    if found != "wal":
        raise SettingError(
            f"PRAGMA journal_mode = WAL had no effect, SQLite keeps {found!r}: a write-ahead "
            "log needs a database in a file, on a local disk"
        )


def opened_file(connection: PoolProxiedConnection) -> OpenedFile | None:
    """Return the file that a connection has open; None in memory, or without :func:`configure`.

    :param connection: from `Engine.raw_connection()`, which does not check the file itself: if it
        is no longer ``is_current()``, `Engine.connect()` in the same thread opens the new one.
    """
    return connection.info.get(_OPENED)


def _file_of(connection: sqlite3.Connection) -> str:
    """Return the path of the database, or "" for one in memory. The file is not read."""
    factory = connection.text_factory
    # File names need not be UTF-8.
    connection.text_factory = os.fsdecode
    try:
        path: str = connection.execute("PRAGMA database_list").fetchone()[2]
    finally:
        connection.text_factory = factory
    return path


class _Connection(sqlite3.Connection):
    """A connection whose commit() raises if its file is no longer the database."""

    opened: OpenedFile | None = None

    def commit(self) -> None:
        was_open = self.in_transaction
        super().commit()
        if was_open and self.opened is not None and not self.opened.is_current_now():
            raise _lost(self.opened)

    def close(self) -> None:
        super().close()
        if self.opened is not None:
            self.opened.closed()


def _lost(opened: OpenedFile) -> sqlite3.OperationalError:
    """Return the error for a transaction that is or may be lost."""
    reason = opened.file.trouble or f"{opened.file.path} was moved, deleted or replaced"
    error = sqlite3.OperationalError(f"the transaction is not stored: {reason}")
    # The code that SQLite itself uses for this; it invalidates the connection.
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
    return error


def _leave_transactions_alone(connection: sqlite3.Connection) -> None:
    if sys.version_info >= (3, 12) and connection.autocommit != sqlite3.LEGACY_TRANSACTION_CONTROL:
        # It has already begun a transaction, in which foreign_keys could not be set.
        connection.autocommit = True
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    connection.isolation_level = None


def _ask(connection: sqlite3.Connection, pragma: str) -> Any:
    row = connection.execute(f"PRAGMA {pragma}").fetchone()
    return row and row[0]


def _set(connection: sqlite3.Connection, pragma: str, value: int) -> None:
    connection.execute(f"PRAGMA {pragma} = {value}")
    found = _ask(connection, pragma)
    if found != value:
        raise SettingError(
            f"PRAGMA {pragma} = {value} had no effect: SQLite {sqlite3.sqlite_version} answers "
            f"{found!r}. Use a newer SQLite, built with this setting"
        )


def _on_engine_connect(connection: Connection) -> None:
    """Switch a new `Connection` to the file that has the database's name now.

    Not in a "checkout" listener, which would slow down the pool.
    """
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    # SQLAlchemy sets it after AUTOCOMMIT, and only ThreadLocalPool restores it.
    if driver.isolation_level is not None and not driver.in_transaction:
        driver.isolation_level = None
    opened: OpenedFile | None = connection.connection.info.get(_OPENED)
    # Each round takes an old connection out of the pool, and the last one opens the new file.
    rounds = 0
    while opened is not None and not _asked(connection, opened.is_current):
        # A file whose identity always changes (some network disks) must not loop for ever.
        if opened.file.identity is None or rounds == 100:
            connection.close()
            reason = f"{opened.file.path} was moved or deleted: put it back"
            error = sqlite3.OperationalError(f"unable to open database file: {reason}")
            raise OperationalError(None, None, error)
        if opened.file.trouble is not None:
            # Recovery needs all connections to be closed.
            connection.engine.pool.dispose()
        connection.invalidate()
        opened = connection.connection.info.get(_OPENED)
        rounds += 1


def _asked(connection: Connection, is_current: Callable[[], bool]) -> bool:
    """Call `is_current`; an error invalidates the connection and becomes SQLAlchemy's."""
    try:
        return is_current()
    except sqlite3.Error as error:
        connection.invalidate()
        raise OperationalError(None, None, error) from error


def _on_begin(checkpoints: Checkpoints, connection: Connection) -> None:
    # AUTOCOMMIT has a "begin" event, too, but no commit.
    if connection._is_autocommit_isolation():
        return
    options = connection.get_execution_options()
    begin = options.get("sqlite_begin", "BEGIN")
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    if begin == "BEGIN":
        # Not through SQLAlchemy, which takes as long for it as for a query. It needs no lock, so
        # if it fails it fails again below, where SQLAlchemy reports it.
        with suppress(sqlite3.Error):
            driver.execute(begin)
            return
    nowait = options.get("sqlite_nowait")
    opened = opened_file(connection.connection)
    if opened is not None and begin != "BEGIN" and not nowait:
        checkpoints.before_writing(driver, opened.file.path)
    with waiting_up_to(driver, 0) if nowait else nullcontext():
        connection.exec_driver_sql(begin)
    if opened is not None and not _asked(connection, opened.is_current_now):
        connection.invalidate()
        raise OperationalError(begin, None, _lost(opened))


def _on_error(context: ExceptionContext) -> None:
    connection = context.connection
    code = getattr(context.original_exception, "sqlite_errorcode", None)
    if code is None or connection is None or connection.closed or connection.invalidated:
        return
    if code == sqlite3.SQLITE_READONLY_DBMOVED or code & 0xFF in _FATAL:
        if (opened := connection.connection.info.get(_OPENED)) is not None:
            opened.file.look_again()
    elif not _was_ended(connection):
        return
    # Closing alone would not end the transaction and release its lock while the traceback holds a
    # cursor: https://www.sqlite.org/c3ref/close.html
    with suppress(sqlite3.Error):
        cast("sqlite3.Connection", connection.connection.dbapi_connection).rollback()
    context.is_disconnect = True
    # Other connections may be fine, and check for themselves.
    context.invalidate_pool_on_disconnect = False


def _was_ended(connection: Connection) -> bool:
    """Whether SQLite has rolled back by itself a transaction that SQLAlchemy considers open."""
    driver: Any = connection.connection.dbapi_connection
    return (
        connection.in_transaction()
        and not connection._is_autocommit_isolation()
        and not driver.in_transaction
    )


def _forget(_connection: object, entry: ConnectionPoolEntry, *_error: object) -> None:
    if (opened := entry.info.pop(_OPENED, None)) is not None:
        opened.file.forget(opened)


def _on_close(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    # None if it was invalidated: then it must not touch the file again.
    opened: OpenedFile | None = entry.info.get(_OPENED)
    if opened is None or sys.is_finalizing():
        return
    # SQLite reads the index when it closes the database. A truncated one is repaired first.
    with suppress(sqlite3.Error):
        if opened.is_current_now():
            _optimize(connection)
    # Before the close, because the last connection to close removes the log.
    _forget(connection, entry)


def _optimize(connection: sqlite3.Connection) -> None:
    """Update the query planner's statistics, unless that would wait.

    SQLite recommends it for each new connection, too, but newer versions write then, and opening a
    database should not change it. https://www.sqlite.org/pragma.html#pragma_optimize
    """
    # It may be locked, or this may be a foreign thread. Another close will do it.
    with suppress(sqlite3.Error):
        if connection.total_changes and not connection.in_transaction:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA analysis_limit = 400")
            connection.execute("PRAGMA optimize = 0x10002")
