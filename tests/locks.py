"""A lock of the database, held by another program."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def write_lock(database: Path | str | None) -> Iterator[sqlite3.Connection]:
    """Hold the write lock of `database` until COMMIT, ROLLBACK or the end of the block."""
    with closing(sqlite3.connect(str(database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
