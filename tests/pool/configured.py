"""Helpers for the tests of `pool.sqlite`: configured engines on two kinds of pool."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection as Driver
from sqlite3 import connect as open_sqlite
from typing import Any, cast

import pytest
from sqlalchemy import Connection, Engine, Pool, QueuePool, create_engine, text

from pool import ThreadLocalPool
from pool.sqlite import WRITING, configure

MakeEngine = Callable[..., Engine]

POOLS: list[type[Pool]] = [ThreadLocalPool, QueuePool]

both_pools = pytest.mark.parametrize("poolclass", POOLS)
both_journals = pytest.mark.parametrize("journal", ["delete", "wal"])


def make_database(path: Path, *notes: str, journal: str = "wal") -> Path:
    """Create a database with a table `note`, without the pool, and close it."""
    with closing(open_sqlite(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE note (text)")
        connection.executemany("INSERT INTO note VALUES (?)", [(note,) for note in notes])
        connection.commit()
    return path


@contextmanager
def configured(
    path: Path,
    poolclass: type[Pool] = ThreadLocalPool,
    *,
    busy_timeout: float = 5.0,
    query: str = "",
    **options: Any,
) -> Iterator[Engine]:
    """An engine on the database at `path`; at the end no connection may be checked out."""
    name = f"file:{path.as_posix()}?{query}&uri=true" if query else path.as_posix()
    engine = create_engine(f"sqlite:///{name}", poolclass=poolclass, **options)
    configure(engine, busy_timeout=busy_timeout)
    try:
        yield engine
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    finally:
        engine.dispose()


def writing(engine: Engine) -> Connection:
    return engine.connect().execution_options(**WRITING)


def add(connection: Connection, *notes: str) -> None:
    for note in notes:
        connection.execute(text("INSERT INTO note VALUES (:note)"), {"note": note})


def notes(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT text FROM note ORDER BY rowid")))


def notes_of(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return notes(connection)


def notes_in(path: Path) -> list[str]:
    """What another program reads there, after an integrity check."""
    with closing(open_sqlite(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [note for (note,) in connection.execute("SELECT text FROM note ORDER BY rowid")]


def driver_of(connection: Connection) -> Driver:
    return cast("Driver", connection.connection.dbapi_connection)


def setting(engine: Engine, pragma: str) -> Any:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()
