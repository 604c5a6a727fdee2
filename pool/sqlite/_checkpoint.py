"""Checkpoints that keep a write-ahead log short under constant readers.

SQLite restarts the log from its beginning when a commit finds everything in the database file and
no reader in the log. If reads overlap without a pause, that moment never comes and the log grows
with every commit. So a writer forces it: for that moment no other connection writes, and new
readers use the database file.
https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

#: The longest log, in bytes. SQLite itself tries to restart it from 4 MB on.
LIMIT = 8 * 1024 * 1024

#: Milliseconds to wait for the readers in the log. No other connection can write meanwhile.
PATIENCE = 100

#: Seconds until the next attempt.
PAUSE = 1.0


class Checkpoints:
    """Keeps the log of an engine's database short."""

    def __init__(self) -> None:
        self._next_try = 0.0

    def before_writing(self, connection: sqlite3.Connection, path: str) -> None:
        """Restart the log if it is too long and its readers leave it soon.

        :param connection: without an open transaction.
        :param path: the database file.
        """
        # There may be no log, or a read-only one.
        with suppress(OSError, sqlite3.Error):
            # This costs a microsecond, a commit forty and more.
            too_long = os.stat(path + "-wal").st_size > LIMIT  # noqa: PTH116
            if too_long and monotonic() >= self._next_try and not _restart(connection):
                self._next_try = monotonic() + PAUSE


def _restart(connection: sqlite3.Connection) -> bool:
    with waiting_up_to(connection, PATIENCE):
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not busy


@contextmanager
def waiting_up_to(connection: sqlite3.Connection, milliseconds: int) -> Iterator[None]:
    """Limit how long statements wait for a lock to `milliseconds`."""
    (usual,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {usual}")
