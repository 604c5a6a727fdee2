"""The operations that `benchmarks/pool.py` compares, with each pool."""

import itertools
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, create_engine, event, select, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, QueuePool, SingletonThreadPool, StaticPool

from pool import ThreadLocalPool

OPERATIONS = CHECKOUT, CORE, SESSION, COMMIT = (
    "Checkout and checkin",
    "Core `select 1`",
    "Session `select 1`",
    "One-row commit",
)
BASE = "QueuePool"
RAW = "raw sqlite3"

#: Seconds to wait for the write lock of the file.
PATIENCE = 60
INCREMENT = "UPDATE hits SET number = number + 1"

Operation = Callable[[], object]


class Key(NamedTuple):
    """An operation, a pool, and the number of threads at a time."""

    operation: str
    pool: str
    threads: int


def pools(threads: int) -> dict[str, dict[str, Any]]:
    """Return the arguments of `create_engine` for each pool, in the order of the tables."""
    return {
        "ThreadLocalPool": {"poolclass": ThreadLocalPool},
        f"ThreadLocalPool(pool_size={threads})": {
            "poolclass": ThreadLocalPool,
            "pool_size": threads,
        },
        BASE: {"poolclass": QueuePool, "pool_size": threads},
        # With more threads than this it closes connections in use, and the process can crash.
        "SingletonThreadPool": {"poolclass": SingletonThreadPool, "pool_size": 8 * threads},
        "StaticPool": {"poolclass": StaticPool},
        "NullPool": {"poolclass": NullPool},
    }


def make_database(file: Path) -> None:
    """Make a database in WAL mode with a table of one row."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE hits (number INTEGER NOT NULL)")
        connection.execute("INSERT INTO hits VALUES (0)")
        connection.commit()


def set_up(connection: Any, _record: object = None) -> None:
    """Set up a new connection as an application in WAL mode does at least."""
    connection.execute("PRAGMA synchronous = NORMAL")


def engine_operations(
    file: Path, options: dict[str, Any], stack: ExitStack
) -> dict[str, Operation]:
    """Return the operations through SQLAlchemy, on an engine that `stack` disposes of."""
    url = URL.create("sqlite", database=str(file))
    engine = create_engine(url, connect_args={"timeout": PATIENCE}, **options)
    stack.callback(engine.dispose)
    event.listen(engine, "connect", set_up)
    one, increment = select(text("1")), text(INCREMENT)

    def checkout() -> None:
        engine.raw_connection().close()

    def core() -> None:
        with engine.connect() as connection:
            connection.execute(one).scalar_one()

    def session() -> None:
        with Session(engine) as session:
            session.execute(one).scalar_one()

    def commit() -> None:
        with engine.begin() as connection:
            connection.execute(increment)

    return {CHECKOUT: checkout, CORE: core, SESSION: session, COMMIT: commit}


class OwnConnection(threading.local):
    """A connection of the bare driver per thread, closed by `stack`."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        self.connection = sqlite3.connect(file, timeout=PATIENCE, check_same_thread=False)
        stack.enter_context(closing(self.connection))
        set_up(self.connection)


def raw_operations(file: Path, stack: ExitStack) -> dict[str, Operation]:
    """Return the statements alone, without SQLAlchemy and without a checkout."""
    own = OwnConnection(file, stack)

    def query() -> None:
        own.connection.execute("SELECT 1").fetchone()

    def commit() -> None:
        own.connection.execute(INCREMENT)
        own.connection.commit()

    return {CORE: query, SESSION: query, COMMIT: commit}


def all_operations(threads: int, directory: Path, stack: ExitStack) -> dict[Key, Operation]:
    """Return each operation with each pool, for one thread and for `threads`; `stack` closes all.

    Each pool has a separate file for each number of threads.
    """
    operations: dict[Key, Operation] = {}
    arguments = pools(threads)
    for number, pool in itertools.product((1, threads), [*arguments, RAW]):
        # Several threads at once on one connection are a mistake that SQLAlchemy warns of.
        if pool == "StaticPool" and number > 1:
            continue
        file = directory / f"{len(operations)}.db"
        make_database(file)
        if pool == RAW:
            made = raw_operations(file, stack)
        else:
            made = engine_operations(file, arguments[pool], stack)
        operations |= {Key(name, pool, number): operation for name, operation in made.items()}
    return operations
