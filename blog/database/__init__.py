"""Engine and sessions. The only module that knows which pool the blog uses.

On SQLite, `pool.sqlite` has the settings and the transactions: reading begins with BEGIN, and
writing with BEGIN IMMEDIATE, which waits its turn.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import NoResultFound, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import PoolProxiedConnection

from blog.config.database_url import connection_parameters, database_url
from blog.database import postgresql, reads, search_index
from pool import ThreadLocalPool
from pool.sqlite import WRITING, WRITING_NOWAIT, configure, opened_file

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"

#: The schema version that this code needs: the number of the newest migration.
HEAD = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))

#: Seconds that a transaction waits for another writer.
BUSY_TIMEOUT = 15.0

#: The SQLSTATE of PostgreSQL's lock_timeout.
LOCK_NOT_AVAILABLE = "55P03"

#: Seconds without progress after which a full queue refuses the next writer.
GRACE = 1.0

#: The execution option of an engine that holds its :class:`WriteQueue`.
_QUEUE = "write_queue"
_LANGUAGE = "language"

#: Reads the schema version of a database.
SCHEMA_VERSION = "SELECT version_num FROM alembic_version"


class DatabaseOutdatedError(OperationalError):
    """The database's schema differs from this code's: it was upgraded after the process started."""


SessionFactory = Callable[[], Session]


class WriteQueueFullError(PoolTimeout):
    """The write queue is full and not moving."""


class WriteQueue:
    """Bounds the number of threads of a process that wait for the database's write lock.

    The other threads keep serving readers while another program holds the lock. While the queue
    moves, a thread waits for a place in it; without progress for :data:`GRACE` seconds, it is
    refused.

    :param places: the number of threads that may wait.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._free = threading.Semaphore(places)
        self._moved = monotonic()

    def __enter__(self) -> None:
        while not self._free.acquire(timeout=self._patience()):
            if not self._patience():
                raise WriteQueueFullError(
                    f"{self.places} requests are waiting for the database's write lock, which is "
                    "the limit (half of the setting `threads`): another program probably holds it"
                )
        self._moved = monotonic()

    def __exit__(self, *_error: object) -> None:
        self._moved = monotonic()
        self._free.release()

    def _patience(self) -> float:
        return max(0.0, GRACE - (monotonic() - self._moved))


def connect(
    database: str,
    *,
    writers: int = 4,
    pool_size: int = 0,
    max_idle: float = -1,
    language: str = "en",
) -> Engine:
    """Return an engine for `database`, with a pool that gives each thread its own connections.

    It connects at the first query, in the thread that executes it.

    :param database: the path of an SQLite file, or a URL.
    :param writers: the number of threads that may wait to write.
    :param pool_size: the most open connections to PostgreSQL; 0 for no limit.
    :param max_idle: the seconds after which an idle one is closed; -1 for never.
    :param language: the language of the blog's texts, as a tag such as ``pt-BR``.
    """
    options: dict[str, Any] = {_QUEUE: WriteQueue(max(writers, 1)), _LANGUAGE: language}
    url = database_url(database)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=ThreadLocalPool, execution_options=options)
        configure(engine, busy_timeout=BUSY_TIMEOUT)
        return engine
    url, parameters = connection_parameters(url)
    # Otherwise the environment decides, and the driver returns bytes from an SQL_ASCII database.
    parameters["client_encoding"] = "utf8"
    engine = create_engine(
        url,
        poolclass=ThreadLocalPool,
        pool_size=pool_size,
        pool_timeout=BUSY_TIMEOUT,
        max_idle=max_idle,
        connect_args=parameters,
        execution_options=options,
    )
    is_pooled = parameters.get("prepare_threshold", 0) is None
    postgresql.configure(engine, timeout=BUSY_TIMEOUT, is_pooled=is_pooled)
    return engine


def ask_directly(engine: Engine, statement: str) -> tuple[Any, ...] | None:
    """Read one row on this thread's own connection, bypassing Session and Connection.

    It takes a tenth of their time, for the query of every request. On SQLite the previous row is
    returned until there is a commit.

    :param statement: SQL that reads one row, without parameters.
    :return: the driver's values of the row, followed by the identity of the file; None if the
        query fails. The same query through a Session raises the reason.
    :raises sqlalchemy.exc.OperationalError: waiting for a lock timed out.
    :raises sqlalchemy.exc.TimeoutError: waiting for a connection timed out.
    """
    try:
        connection = engine.raw_connection()
        try:
            file = opened_file(connection)
            if file is None:
                return (*_ask(connection, statement), None)
            if not file.is_current():
                return None
            # Before the query: a commit in between then makes the row newer, not older.
            commits = file.commits()
            known, answer = file.answers.get(statement, (None, None))
            if commits is None or commits != known:
                answer = (*_ask(connection, statement), file.identity)
                file.answers[statement] = commits, answer
        except engine.dialect.loaded_dbapi.Error as error:
            if not _is_locked(error):
                # The connection may be lost, and the pool would log that it cannot be reset.
                connection.invalidate(error)
            raise
        else:
            return answer
        finally:
            connection.close()
    except PoolTimeout:
        raise
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        cause = getattr(error, "orig", error)
        if _is_locked(cause):
            raise OperationalError(statement, None, cause) from error
        return None


def _is_locked(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or (
        getattr(error, "sqlstate", None) == LOCK_NOT_AVAILABLE
    )


def _ask(connection: PoolProxiedConnection, statement: str) -> tuple[Any, ...]:
    driver: Any = connection.dbapi_connection
    if hasattr(driver, "pgconn"):
        rows = postgresql.ask(driver, statement, timeout=BUSY_TIMEOUT)
    else:
        # All rows: an unfinished statement holds a snapshot.
        rows = driver.execute(statement).fetchall()
    if not rows:
        raise NoResultFound(f"{statement!r} found no row")
    return tuple(rows[0])


def language_of(bind: Engine | Connection) -> str:
    """Return the language of a blog's texts, on which their renderings depend."""
    language: str = bind.get_execution_options().get(_LANGUAGE, "en")
    return language


def session_factory(engine: Engine) -> sessionmaker[Session]:
    """Return a factory of sessions on `engine`. A session takes a connection at its first query.

    It updates the search index in the transaction of its own writes, and notes which comments it
    has read (:mod:`blog.database.reads`).
    """
    sessions = sessionmaker(engine)
    event.listen(sessions, "before_commit", _index)
    reads.note(engine, sessions)
    return sessions


def _index(db: Session) -> None:
    if db.in_transaction():
        db.flush()
        search_index.refresh(db.connection())


def begin_writing(db: Session, *, nowait: bool = False) -> None:
    """End the read transaction of `db`, and begin one that writes.

    It waits at most :data:`BUSY_TIMEOUT` seconds for other writers. Anything read before may have
    changed: read it again.

    :param nowait: fail at once if another transaction is writing.
    :raises DatabaseOutdatedError: the database's schema differs from this code's.
    :raises sqlalchemy.exc.OperationalError: the database is locked, or cannot be written to.
    :raises WriteQueueFullError: too many threads are waiting.
    """
    db.rollback()
    queue: WriteQueue = db.get_bind().get_execution_options()[_QUEUE]
    with nullcontext() if nowait else queue:
        connection = db.connection(execution_options=WRITING_NOWAIT if nowait else WRITING)
        if connection.dialect.name != "sqlite":
            # Each change ends in this row. Otherwise two writers holding different row locks could
            # deadlock here.
            lock = "SELECT id FROM site FOR UPDATE"
            connection.exec_driver_sql(f"{lock} NOWAIT" if nowait else lock)
    # In the transaction, so that no upgrade comes in between.
    found = connection.exec_driver_sql(SCHEMA_VERSION).scalar()
    if found != HEAD:
        raise DatabaseOutdatedError(SCHEMA_VERSION, None, Exception(report_other_schema(found)))


@contextmanager
def writing(db: Session) -> Iterator[None]:
    """Run the block in one transaction, which writes: commit it, or roll back after an error.

    :raises sqlalchemy.exc.OperationalError: see :func:`begin_writing`; or the commit failed.
    """
    try:
        begin_writing(db)
        yield
        db.commit()
    except BaseException:
        db.rollback()
        raise


_reported: set[object] = set()


def report_other_schema(found: object) -> str:
    """Return a sentence with the remedy for a schema other than this code's, and log it once.

    :param found: the schema version of the database.
    """
    remedy = "restart it" if str(found) > HEAD else "run `threadleaf upgrade`"
    sentence = (
        f"the database now has schema {found}, but this process has the code for {HEAD}: {remedy}"
    )
    if found not in _reported:
        _reported.add(found)
        log.error("Cannot store anything: %s.", sentence)
    return sentence
