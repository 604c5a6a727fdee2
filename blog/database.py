"""Engine and sessions. The only module that knows which pool the blog uses.

SQLite follows https://sqlite.org/lang_transaction.html: a transaction that reads and then writes
fails at once when somebody else wrote in between, whatever the timeout, and the driver's own
transaction mode loses updates in silence. So the driver begins nothing by itself: reading begins
with BEGIN, and writing with BEGIN IMMEDIATE, which waits its turn.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session, sessionmaker

from pool import ThreadLocalPool

#: How long a transaction waits for another one that writes, in seconds.
BUSY_TIMEOUT = 15.0

#: For an SQLite connection, before its transaction begins.
WRITING = {"sqlite_begin": "BEGIN IMMEDIATE"}

SessionFactory = Callable[[], Session]


def connect(url: str) -> Engine:
    """Return an engine for `url`, with a pool that gives each thread its own connections.

    Nothing is opened yet: the first query does that, in the thread that asks.
    """
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, poolclass=ThreadLocalPool)
        event.listen(engine, "connect", _on_connect_to_server)
        return engine
    engine = create_engine(url, poolclass=ThreadLocalPool, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, record: object) -> None:  # noqa: ARG001
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log, NORMAL can lose the last commits at a power cut, but corrupts nothing.
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_connect_to_server(connection: Any, record: object) -> None:  # noqa: ARG001
    # PostgreSQL would wait for ever, and so would the visitor.
    connection.execute(f"SET lock_timeout = '{BUSY_TIMEOUT:g}s'")
    connection.commit()


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def session_factory(engine: Engine) -> sessionmaker[Session]:
    """Return what opens a session on `engine`. It takes no connection before its first query."""
    return sessionmaker(engine)


def begin_writing(db: Session) -> None:
    """End what `db` was reading, and begin a transaction that will write.

    On SQLite this waits for other writers, at most :data:`BUSY_TIMEOUT` seconds. What was read
    before may have changed by now, and must be read again.

    :raises sqlalchemy.exc.OperationalError: the database is locked, or cannot be written to.
    """
    db.rollback()
    db.connection(execution_options=WRITING)
