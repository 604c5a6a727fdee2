"""Helpers for the pool's tests: watched SQLite connections, and threads to use them.

No `conftest.py`: the pool is tested alone, beside the blog's own.
"""

import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import PoolProxiedConnection

from pool import ThreadLocalPool

Result = TypeVar("Result")


class Watch:
    """Remembers the connections it made, and every call on one that came from another thread.

    Threads are identified by the kernel's number: Linux reuses it only after thousands of others,
    but Python's ident at once, and thread-local storage no longer exists when an ending thread
    closes connections.
    """

    def __init__(self) -> None:
        self.made = 0
        self.strays: list[str] = []
        self._connections: weakref.WeakSet[_Watched] = weakref.WeakSet()

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = _Watched(*args, **kwargs)
        connection.watch = self
        connection.opener = threading.get_native_id()
        self.made += 1
        self._connections.add(connection)
        return connection

    def open(self) -> int:
        """How many connections are open: neither closed nor collected."""
        return sum(connection.is_open() for connection in list(self._connections))


class _Watched(sqlite3.Connection):
    watch: Watch
    opener: int

    def _seen(self, call: str) -> None:
        if self.opener != threading.get_native_id():
            self.watch.strays.append(call)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        self._seen("cursor")
        return super().cursor(*args, **kwargs)

    def commit(self) -> None:
        self._seen("commit")
        super().commit()

    def rollback(self) -> None:
        self._seen("rollback")
        super().rollback()

    def close(self) -> None:
        self._seen("close")
        super().close()

    def is_open(self) -> bool:
        try:
            return self.total_changes >= 0  # any thread may call it
        except sqlite3.ProgrammingError:
            return False


def make_engine(
    folder: Path, watch: Watch | None = None, *, check_same_thread: bool = False, **options: Any
) -> Engine:
    """An engine on `folder`/blog.db, which gets a table `note` with a column `text`."""
    with sqlite3.connect(folder / "blog.db") as schema:
        schema.execute("CREATE TABLE IF NOT EXISTS note (text)")
    schema.close()
    arguments: dict[str, Any] = {"check_same_thread": check_same_thread, "timeout": 0.1}
    if watch is not None:
        arguments["factory"] = watch.connect
    return create_engine(
        f"sqlite:///{folder / 'blog.db'}",
        poolclass=ThreadLocalPool,
        connect_args=arguments,
        **options,
    )


def creator(folder: Path, **arguments: Any) -> Callable[[], DBAPIConnection]:
    """What a pool without an engine needs to open `folder`/blog.db."""
    return lambda: cast("DBAPIConnection", sqlite3.connect(folder / "blog.db", **arguments))


def pool_of(engine: Engine) -> ThreadLocalPool:
    assert isinstance(engine.pool, ThreadLocalPool)
    return engine.pool


def opened(engine: Engine) -> object:
    """The DBAPI connection that this thread gets from the pool, returned at once."""
    with engine.connect() as connection:
        return connection.connection.dbapi_connection


def write(connection: PoolProxiedConnection, text: str) -> None:
    """Write a note and leave the transaction open, so that the database is locked."""
    connection.cursor().execute("INSERT INTO note VALUES (?)", (text,))


def notes(folder: Path) -> list[str]:
    """The notes that are committed; raises when the database is locked for writing."""
    reader = sqlite3.connect(folder / "blog.db", timeout=0)
    try:
        reader.execute("BEGIN IMMEDIATE")
        return [text for (text,) in reader.execute("SELECT text FROM note ORDER BY rowid")]
    finally:
        reader.close()


def open_files(folder: Path) -> int:
    """How many file descriptors of this process lead into `folder`; Linux only, 0 elsewhere."""
    if sys.platform != "linux":
        return 0
    links = (entry.path for entry in os.scandir("/proc/self/fd"))
    return sum(_target(link).startswith(str(folder)) for link in links)


def _target(link: str) -> str:
    try:
        return str(Path(link).readlink())
    except FileNotFoundError:  # the descriptor of the listing itself
        return ""


class Worker:
    """A thread that runs functions; it ends with the `with` block."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)

    def run(self, function: Callable[[], Result]) -> Result:
        return self._executor.submit(function).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._executor.shutdown()


def in_thread(function: Callable[[], Result]) -> Result:
    """Run `function` in a new thread, and return when the thread has ended."""
    with Worker() as worker:
        return worker.run(function)
