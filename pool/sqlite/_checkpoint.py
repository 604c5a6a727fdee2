"""A write-ahead log that stays short beside constant readers.

SQLite starts the log from its beginning again when a commit finds everything in the database file
and no reader in the log. Where reads overlap without a pause, that moment never comes, and the log
grows with every commit. So a writer makes it: for that instant no other writes, and those who begin
to read do so in the database file.
https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

#: Bytes that a log may have. SQLite itself tries to start it again from 4 MB on.
LIMIT = 8 * 1024 * 1024

#: Milliseconds to wait for the readers in the log. Meanwhile no other connection can write.
PATIENCE = 100

#: Seconds to the next try where they have not left.
PAUSE = 1.0


class Checkpoints:
    """What an engine does to keep the log of its database short."""

    def __init__(self) -> None:
        self._next_try = 0.0

    def before_writing(self, connection: sqlite3.Connection, path: str) -> None:
        """Start the log again if it is too long and its readers leave it soon.

        :param connection: one without a transaction.
        :param path: the database file.
        """
        # Without a log, or with one that this user may not write, there is nothing to do.
        with suppress(OSError, sqlite3.Error):
            # It costs a microsecond, a commit forty and more.
            too_long = os.stat(path + "-wal").st_size > LIMIT  # noqa: PTH116
            if too_long and monotonic() >= self._next_try and not _restart(connection):
                self._next_try = monotonic() + PAUSE


def _restart(connection: sqlite3.Connection) -> bool:
    with waiting_up_to(connection, PATIENCE):
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not busy


@contextmanager
def waiting_up_to(connection: sqlite3.Connection, milliseconds: int) -> Iterator[None]:
    """Let statements wait for a lock at most `milliseconds`, instead of the usual time."""
    (usual,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {usual}")
