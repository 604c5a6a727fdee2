"""A write-ahead log with its index, and whether both are still what SQLite has open.

SQLite finds them by name when it opens a database, and never checks again. A connection whose log
or index was removed, replaced or truncated reads stale pages or none, and commits into a file that
no other program will read. https://www.sqlite.org/howtocorrupt.html#unlink
"""

import os
import sqlite3
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from ._wal_index import SALT, Head, Identity, WalIndex, open_index

if sys.platform == "win32":
    import mmap
else:
    import fcntl


@dataclass
class Log:
    """The side files of a database as a connection opened them.

    Two logs are equal if their files are the same.
    """

    #: The path of the database.
    path: str
    log: Identity
    index: Identity
    _index: WalIndex | None = field(compare=False)
    #: Size and modification time of the database, and the last checkpoint then.
    _written: tuple[tuple[int, int], bytes] | None = field(default=None, compare=False)
    _pin: Any = field(default=None, compare=False)

    @classmethod
    def at(cls, path: str) -> Self | None:
        """Return the side files of the database at `path`; None without a write-ahead log."""
        log, index = identity_of(path + "-wal"), identity_of(path + "-shm")
        if log is None or index is None:
            return None
        return cls(path, log, index, open_index(path + "-shm", index))

    if sys.platform == "win32":

        def pin(self) -> None:
            """Map the database, so that no program can copy over it.

            Windows neither removes nor replaces an open file and does not truncate a mapped one,
            with which a copy begins. SQLite ignores that refusal. The log is not mapped, because
            SQLite could not shorten it then.
            https://learn.microsoft.com/windows-hardware/drivers/ddi/ntifs/nf-ntifs-mmcanfilebetruncated
            """
            if self._pin is None:
                # An empty file cannot be mapped.
                with suppress(OSError, ValueError), open(self.path, "rb") as file:  # noqa: PTH123
                    self._pin = mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_READ)

        def unpin(self) -> None:
            """Unmap the database."""
            pin, self._pin = self._pin, None
            if pin is not None:
                pin.close()

    else:

        def pin(self) -> None:
            """Hold the log open, so that its inode is not reused if the log is removed."""
            if self._pin is None:
                with suppress(FileNotFoundError):
                    self._pin = os.open(self.path + "-wal", os.O_RDONLY)

        def unpin(self) -> None:
            """Close the log, which would otherwise use disk space after its removal."""
            pin, self._pin = self._pin, None
            if pin is not None:
                os.close(pin)

    __del__ = unpin

    def head(self) -> Head | None:
        """Return the head of the index; None where only SQLite can read it."""
        return None if self._index is None else self._index.head()

    def fault(self) -> str:
        """Return how a side file differs from the one that is open, or ""."""
        head = self.head()
        log, index = stat(self.path + "-wal"), stat(self.path + "-shm")
        if log is None or _identity(log) != self.log:
            return f"{self.path}-wal was removed or replaced while in use"
        if index is None or _identity(index) != self.index:
            return f"{self.path}-shm was removed or replaced while in use"
        if head is None or self._index is None:
            return ""
        used = head.log_size()
        is_other = used and (log.st_size < used or _salt(self.path + "-wal") != head.salt())
        again = self._index.head()
        if self._index.is_truncated() or not (head.is_whole() or again.is_whole()):
            return f"{self.path}-shm was truncated while in use"
        # Otherwise SQLite may have restarted the log in between.
        if is_other and head.commits() == again.commits():
            return f"{self.path}-wal was truncated or overwritten while in use"
        return ""

    def is_replaced(self) -> bool:
        """Whether other side files exist now, which connections with these cannot damage."""
        log, index = identity_of(self.path + "-wal"), identity_of(self.path + "-shm")
        return None not in {log, index} and log != self.log and index != self.index

    def is_overwritten(self) -> bool:
        """Whether anything but a checkpoint has written to the database since the last call."""
        before = self.head()
        found = stat(self.path)
        after = self.head()
        if before is None or after is None or found is None:
            return False
        checkpoints = before.checkpoints()
        if checkpoints is None or checkpoints != after.checkpoints():
            self._written = None
            return False
        last, self._written = self._written, ((found.st_size, found.st_mtime_ns), checkpoints)
        return last is not None and last[1] == checkpoints and last != self._written

    def rebuild_index(self) -> None:
        """Make SQLite find everything in the log, whichever index it was written with."""
        if self._index is not None:
            self._index.rebuild()

    def remove(self) -> None:
        """Remove the side files of a replaced database if they still have its name.

        No other file can have the log's inode while a connection has it open. SQLite itself leaves
        such a log behind, where nothing can use it.
        """
        # On Windows an open file cannot be replaced.
        if sys.platform == "win32":
            return
        try:
            log = os.open(self.path + "-wal", os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            # Otherwise a process doing the same could have created a new log before we remove it.
            fcntl.flock(log, fcntl.LOCK_EX)
            if identity_of(self.path + "-wal") == self.log:
                if identity_of(self.path + "-shm") == self.index:
                    os.unlink(self.path + "-shm")  # noqa: PTH108
                os.unlink(self.path + "-wal")  # noqa: PTH108
        finally:
            os.close(log)


def stat(path: str) -> os.stat_result | None:
    """Return the status of a file; None if it does not exist.

    :raises sqlite3.OperationalError: the disk fails, or a folder is not accessible.
    """
    try:
        return os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    except OSError as error:
        raise sqlite3.OperationalError(f"unable to open database file: {error}") from error


def identity_of(path: str) -> Identity | None:
    found = stat(path)
    return None if found is None else _identity(found)


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _salt(path: str) -> bytes:
    """Return the salt of the log at `path`. SQLite has no locks on it that a close could drop."""
    try:
        log = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    try:
        return os.read(log, SALT.stop)[SALT]
    finally:
        os.close(log)
