"""Whether a database still is the file that its connections opened.

A connection to a file that was renamed away or deleted goes on without an error: it serves what is
no longer there, and with a write-ahead log it reports commits that nobody will see. The log is
found by name, too. It stays behind, and whoever opens the new file would read the old pages in it.
https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
"""

import logging
import math
import os
import sqlite3
import sys
import weakref
from time import monotonic
from typing import Any

from pool.wal_index import Identity, WalIndex, open_index

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

#: How long one look at the file is good for, in seconds.
LOOK_EVERY = 1.0


class DatabaseFile:
    """The file of a database, for all connections of an engine together."""

    def __init__(self, path: str) -> None:
        self.path = path
        #: What was there at the last look: device and inode, or None for nothing.
        self.identity: Identity | None = None
        self._is_written_to = False
        self._looked = -math.inf
        self._opened: set[weakref.ref[OpenedFile]] = set()

    def opened(self) -> "OpenedFile":
        """What a connection has opened that was made just now and has not read anything yet.

        :raises sqlite3.OperationalError: it must not read, since it would change the file.
        """
        before = self.identity
        self.look()
        if self._is_written_to:
            raise sqlite3.OperationalError(
                f"database is locked: {self.path} was replaced while somebody writes to it"
            )
        # Somebody may have replaced the file since the last look, before the connection was made
        # or after it. It is taken for an old one, then, and the next will do.
        opened = OpenedFile(self, before or self.identity)
        self._opened.add(weakref.ref(opened, self._opened.discard))
        return opened

    def look_again(self) -> None:
        """Let the next checkout look at the file, however short ago that was done."""
        self._looked = -math.inf

    def look_if_due(self) -> None:
        if monotonic() - self._looked >= LOOK_EVERY or self.identity is None:
            self.look()

    def look(self) -> None:
        self._looked = monotonic()
        found = _identity(self.path)
        self._is_written_to = False
        if found is not None and found != self.identity:
            live = [opened for ref in list(self._opened) if (opened := ref()) is not None]
            # Not all need be old: a file may have been away and be back.
            old = [opened for opened in live if opened.identity != found]
            # SQLite would take the journal of who writes to the old file for that of a writer who
            # crashed, and undo in the new file what was never done there. So the old file remains
            # the one in use until that is over.
            self._is_written_to = bool(old) and _is_hot(self.path + "-journal")
            if self._is_written_to:
                return
            if old:
                logger.warning("The database %s was replaced, and is opened anew.", self.path)
            # Before anybody hears of the new file, and opens it.
            for opened in old:
                opened.remove_log()
        self.identity = found


class OpenedFile:
    """The file that one connection has open. It lives as long as that connection."""

    __slots__ = ("__weakref__", "_index", "_log", "_wal_index", "answers", "file", "identity")

    def __init__(self, file: DatabaseFile, identity: Identity | None) -> None:
        self.file = file
        self.identity = identity
        #: What was asked by this connection, with what :meth:`commits` said before, and the answer.
        self.answers: dict[str, tuple[bytes | None, tuple[Any, ...]]] = {}
        self._log: Identity | None = None
        self._index: Identity | None = None
        self._wal_index: WalIndex | None = None

    def is_current(self) -> bool:
        """Whether the database still is this file; looked up at most once in `LOOK_EVERY`."""
        self.file.look_if_due()
        return self.identity == self.file.identity

    def note_log(self) -> None:
        """Remember which write-ahead log belongs to this file. The connection has it open."""
        log, index = _identity(self.file.path + "-wal"), _identity(self.file.path + "-shm")
        # Otherwise it may be another file's, and must never be removed.
        if self.identity == _identity(self.file.path):
            self._log, self._index = log, index
            if index is not None:
                self._wal_index = open_index(self.file.path + "-shm", index)

    def commits(self) -> bytes | None:
        """What is another value after each commit to this file, whoever commits.

        As long as this connection is open, no value comes again; when all have closed the database,
        SQLite begins anew. None where only SQLite can tell: without a write-ahead log, on Windows,
        and in the midst of a commit.
        """
        return None if self._wal_index is None else self._wal_index.commits()

    def remove_log(self) -> None:
        """Remove the write-ahead log of a file that was replaced, if its name still leads to it.

        Nothing else can have the log's inode while the connection lives. SQLite itself leaves the
        log of such a file behind, and nobody can use it any more.
        """
        # Windows does not let go of a file that is open, so that it cannot be replaced.
        if sys.platform == "win32" or self._log is None:
            return
        try:
            log = os.open(self.file.path + "-wal", os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            # Another process may be at it, and have a new log there before we remove the old one.
            fcntl.flock(log, fcntl.LOCK_EX)
            if _identity(self.file.path + "-wal") == self._log:
                if _identity(self.file.path + "-shm") == self._index:
                    os.unlink(self.file.path + "-shm")  # noqa: PTH108
                os.unlink(self.file.path + "-wal")  # noqa: PTH108
        finally:
            os.close(log)


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _is_hot(journal: str) -> bool:
    """Whether there is something in a rollback journal that was not committed yet."""
    try:
        with open(journal, "rb") as file:  # noqa: PTH123
            return file.read(1) not in {b"", b"\0"}
    except FileNotFoundError:
        return False
