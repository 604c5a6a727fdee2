"""Settings for an engine on SQLite, and what to do when its file fails.

    engine = create_engine("sqlite:///app.db", poolclass=ThreadLocalPool)
    configure(engine)
    use_wal(engine)  # once for each database: the file remembers it

    with engine.connect().execution_options(**WRITING) as connection:
        ...

A transaction that reads and then writes is refused at once when somebody else wrote in between,
whatever the timeout; and the driver's own transactions, which begin at the first write, lose
updates without a word. So the driver begins nothing here: each transaction begins with BEGIN, or,
if it is going to write, with BEGIN IMMEDIATE, which waits its turn.
https://www.sqlite.org/lang_transaction.html
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

#: The same, for one that fails at once while another connection writes.
WRITING_NOWAIT = WRITING | {"sqlite_nowait": True}

#: SQLite counts milliseconds in 32 bits: https://www.sqlite.org/c3ref/busy_timeout.html
_LONGEST = 2_147_483

_SETTINGS = {
    "foreign_keys": 1,
    # What a file says in its schema may come from anywhere.
    "trusted_schema": 0,
    "cache_size": -2000,
    "journal_size_limit": LIMIT,
    # A temporary file would be one more that can fail.
    "temp_store": 2,
}

#: After these a connection is not used again, whatever it had open: the disk is full, reading or
#: writing failed, the file is damaged, or is no database.
_FATAL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}

#: In the `info` of a connection that is open on a file: its `OpenedFile`.
_OPENED = "pool.sqlite"


def configure(engine: Engine, *, busy_timeout: float = 5.0) -> None:
    """Set up each connection that `engine` will open, and begin its transactions by BEGIN.

    The settings are foreign_keys, trusted_schema, busy_timeout, synchronous, cache_size,
    journal_size_limit and temp_store. Each is read back, and a connection that lacks one is
    refused. A write-ahead log that grows beyond 8 MiB is started again by a transaction with
    `WRITING`.

    After an error that ended a transaction, or that leaves the file in doubt, the connection is
    invalidated, so that a later commit() raises. When the database file is replaced,
    `Engine.connect()` and each new session get the new one, and a commit to the old one raises
    OperationalError. A file that was opened once is never created again.

    :param engine: an engine of the driver `sqlite3`, with any pool, that is not yet connected.
    :param busy_timeout: how long a statement waits for a lock that somebody else has, in seconds;
        then it fails with "database is locked". It replaces the driver's own `timeout`.
    :raises sqlalchemy.exc.ArgumentError: the engine is for another database or another driver, or
        the timeout is out of range.

    Opening a connection raises :class:`~pool.errors.SettingError` if a setting did not come about.
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
            f"configure() is for sqlite+pysqlite, not for {engine.dialect.name}+"
            f"{engine.dialect.driver}"
        )
    is_number = isinstance(busy_timeout, int | float) and not isinstance(busy_timeout, bool)
    if not is_number or not 0 <= busy_timeout <= _LONGEST:
        raise ArgumentError(
            f"busy_timeout is {busy_timeout!r}; it takes seconds, from 0 to {_LONGEST}"
        )
    if getattr(engine.dialect, "skip_autocommit_rollback", False):
        raise ArgumentError(
            "skip_autocommit_rollback would skip each rollback of the transactions that "
            "configure() begins: leave it out of create_engine()"
        )


class _Setup:
    """Opens the connections of an engine, and gives each its settings."""

    def __init__(self, busy_timeout: float) -> None:
        self._busy_timeout = round(busy_timeout * 1000)
        self._files: dict[str, DatabaseFile] = {}

    def connect(
        self, _dialect: Dialect, _entry: object, args: list[Any], options: dict[str, Any]
    ) -> sqlite3.Connection | None:
        if args[0] in {"", ":memory:"} or options.get("uri"):
            return None
        options.setdefault("factory", _Connection)
        # Before the first connection SQLite may create the file, as it always would.
        return connect_existing(args[0], **options) if self._files else None

    def set_up(self, connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        _leave_transactions_alone(connection)
        # Before anything is read: the new connection must not see the log of a file that is gone.
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
        # With a write-ahead log, NORMAL can lose the last commits at a power cut, but damages
        # nothing. Without one it could, so that FULL must stay.
        if _ask(connection, "journal_mode") == "wal":
            _set(connection, "synchronous", 1)
        if path:
            entry.info[_OPENED].note_log()


def use_wal(engine: Engine) -> None:
    """Give the database a write-ahead log, so that nobody who reads waits for one who writes.

    The file remembers it, so once is enough for each database, best when it is made. Connections
    that are open then keep the `synchronous` of other journals, which is slower, and safe.

    :param engine: an engine that :func:`configure` has set up, for a database in a file.
    :raises SettingError: SQLite keeps another journal: the database is in memory, for example.
    :raises sqlalchemy.exc.OperationalError: somebody else is using the database, or it cannot be
        written to.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar()
        if found == "wal":
            connection.invalidate()  # the next one will set `synchronous` to go with it
    if found != "wal":
        raise SettingError(
            f"PRAGMA journal_mode = WAL was asked for, and SQLite keeps {found!r}: a write-ahead "
            "log needs a database in a file, on a disk of this computer"
        )


def opened_file(connection: PoolProxiedConnection) -> OpenedFile | None:
    """Return the file that a connection has open; None in memory, or without :func:`configure`.

    :param connection: one of `Engine.raw_connection()`, which nobody else looks after: where its
        file ``is_current()`` no more, `Engine.connect()` in the same thread will bring it to the
        new one.
    """
    return connection.info.get(_OPENED)


def _file_of(connection: sqlite3.Connection) -> str:
    """Return the path of the database, or "" for one in memory. Nothing of the file is read."""
    factory = connection.text_factory
    # A file system may have names that are not UTF-8.
    connection.text_factory = os.fsdecode
    try:
        path: str = connection.execute("PRAGMA database_list").fetchone()[2]
    finally:
        connection.text_factory = factory
    return path


class _Connection(sqlite3.Connection):
    """A connection that reports a commit to a file which is no longer the database."""

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
    """Return the error for a transaction that may be lost, or would be."""
    reason = opened.file.trouble or f"{opened.file.path} was moved, deleted or replaced"
    error = sqlite3.OperationalError(f"the transaction is not stored: {reason}")
    # As SQLite calls it where it notices. The connection is invalidated.
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
    return error


def _leave_transactions_alone(connection: sqlite3.Connection) -> None:
    if sys.version_info >= (3, 12) and connection.autocommit != sqlite3.LEGACY_TRANSACTION_CONTROL:
        # It has begun a transaction already, in which foreign_keys could not be set.
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
            f"PRAGMA {pragma} = {value} was asked for, and SQLite {sqlite3.sqlite_version} says "
            f"{found!r}: use a newer one, and one that was built with it"
        )


def _on_engine_connect(connection: Connection) -> None:
    """Bring a new `Connection` to the file that is at its database's name by now.

    Here and not in a listener for "checkout", which would cost the pool more.
    """
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    # SQLAlchemy sets it when it takes AUTOCOMMIT back, and ThreadLocalPool alone looks after that.
    if driver.isolation_level is not None and not driver.in_transaction:
        driver.isolation_level = None
    opened: OpenedFile | None = connection.connection.info.get(_OPENED)
    # Each round takes one more old connection out of the pool, and the last one opens the new file.
    rounds = 0
    while opened is not None and not _asked(connection, opened.is_current):
        # A file that is another one each time (some network disks make it look so) must not keep us
        # here for ever.
        if opened.file.identity is None or rounds == 100:
            connection.close()
            reason = f"{opened.file.path} was moved or deleted: put it back"
            error = sqlite3.OperationalError(f"unable to open database file: {reason}")
            raise OperationalError(None, None, error)
        if opened.file.trouble is not None:
            # It can be recovered only when all connections are closed.
            connection.engine.pool.dispose()
        connection.invalidate()
        opened = connection.connection.info.get(_OPENED)
        rounds += 1


def _asked(connection: Connection, is_current: Callable[[], bool]) -> bool:
    """Call `is_current`; an error invalidates the connection and is raised as SQLAlchemy's."""
    try:
        return is_current()
    except sqlite3.Error as error:
        connection.invalidate()
        raise OperationalError(None, None, error) from error


def _on_begin(checkpoints: Checkpoints, connection: Connection) -> None:
    # With AUTOCOMMIT there is a "begin" event as well, and nobody who commits.
    if connection._is_autocommit_isolation():
        return
    options = connection.get_execution_options()
    begin = options.get("sqlite_begin", "BEGIN")
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    if begin == "BEGIN":
        # Past SQLAlchemy, which would take as long for it as for a query. It asks for no lock, so
        # that it can fail only where it will do so again, and then be reported as usual.
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
    # Closing alone would not end the transaction, nor give up its lock, as long as the traceback
    # holds a cursor: https://www.sqlite.org/c3ref/close.html
    with suppress(sqlite3.Error):
        cast("sqlite3.Connection", connection.connection.dbapi_connection).rollback()
    context.is_disconnect = True
    # The others may be well, and find out for themselves.
    context.invalidate_pool_on_disconnect = False


def _was_ended(connection: Connection) -> bool:
    """Whether SQLite has rolled back by itself what SQLAlchemy believes to be open."""
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
    # One that was invalidated has lost its file by now, and must not touch it again.
    opened: OpenedFile | None = entry.info.get(_OPENED)
    if opened is None or sys.is_finalizing():
        return
    # SQLite reads the index when it closes the database, and a truncated one must be mended first.
    with suppress(sqlite3.Error):
        if opened.is_current_now():
            _optimize(connection)
    # Before it closes, because the last connection to close removes the log.
    _forget(connection, entry)


def _optimize(connection: sqlite3.Connection) -> None:
    """Bring the planner's statistics up to date, if that can be done at once.

    SQLite recommends it for each new connection as well, but newer versions then write, and to
    look at a database should not change it. https://www.sqlite.org/pragma.html#pragma_optimize
    """
    # Somebody may be writing, or this may not be the connection's thread: others will close.
    with suppress(sqlite3.Error):
        if connection.total_changes and not connection.in_transaction:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA analysis_limit = 400")
            connection.execute("PRAGMA optimize = 0x10002")
