"""The index of a write-ahead log, read without SQLite.

Even the smallest SQLite query releases the interpreter lock three times, and on a busy server each
release costs more than the query. SQLite itself checks shared memory, the index of the write-ahead
log: every commit rewrites its header, with the number of frames and a checksum over them, twice, to
expose a torn read. SQLite trusts its cache until the header changes.
https://www.sqlite.org/walformat.html#the_wal_index_file_format

The file is read, not mapped: a read of a truncated file is short, while a mapping of it ends the
process with SIGBUS.
"""

import os
import sys
from dataclasses import dataclass

#: Device and inode of a file.
Identity = tuple[int, int]

_HEADER = 48
_VERSION = (3007000).to_bytes(4, sys.byteorder)
#: Both copies of the header, the checkpoint information, and the page of the first frame.
_HEAD = 140

#: Bytes in the header of a log, and in the header of each frame.
_LOG_HEADER, _FRAME_HEADER = 32, 24

#: The salt in the header of a log.
SALT = slice(16, 24)

# How many indexes a process reads. None is ever closed: closing any descriptor of a file drops all
# of the process's locks on it, including SQLite's.
# https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
_MOST = 16
_opened: list[int] = []
_by_identity: dict[Identity, "WalIndex"] = {}


@dataclass(frozen=True, slots=True)
class Head:
    """The first bytes of an index at one moment: its header and checkpoint information."""

    content: bytes

    def is_whole(self) -> bool:
        """Whether the file has all of it, and was not extended after a truncation."""
        return len(self.content) == _HEAD and not (self._frames() and not self._number(136, 4))

    def commits(self) -> bytes | None:
        """Return a value that changes with every commit, or None during one."""
        first, second = self.content[:_HEADER], self.content[_HEADER : 2 * _HEADER]
        return first if first == second and first.startswith(_VERSION) else None

    def log_size(self) -> int:
        """Return how many bytes of the log are in use."""
        frames, page = self._frames(), self._number(14, 2)
        page = (page & 0xFE00) + ((page & 1) << 16)
        return _LOG_HEADER + frames * (_FRAME_HEADER + page) if frames else 0

    def salt(self) -> bytes:
        """Return the salt, which the log has, too, while any of it is in use."""
        return self.content[32:40]

    def checkpoints(self) -> bytes | None:
        """Return a value that changes with every checkpoint, or None during one.

        With a write-ahead log only a checkpoint writes to the database file. After a recovery this
        is None until the first checkpoint.
        """
        done, attempted = self.content[96:100], self.content[128:132]
        return self.salt() + done if self.commits() and done == attempted else None

    def _frames(self) -> int:
        return self._number(16, 4) if self.commits() else 0

    def _number(self, offset: int, size: int) -> int:
        return int.from_bytes(self.content[offset : offset + size], sys.byteorder)


class WalIndex:
    """The index of a log.

    :param descriptor: the file, open for reading and writing.
    """

    __slots__ = ("_descriptor", "_size")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = 0

    if sys.platform != "win32":

        def head(self) -> Head:
            """Read the first bytes."""
            return Head(os.pread(self._descriptor, _HEAD, 0))

        def is_truncated(self) -> bool:
            """Whether the file has shrunk: SQLite never shrinks an index in use."""
            found = os.fstat(self._descriptor).st_size
            self._size = max(self._size, found)
            return found < self._size

        def rebuild(self) -> None:
            """Make SQLite rebuild the index from the log at its next access.

            A header of zeros means not written yet. A truncated file is extended
            first, because SQLite has all of it mapped.
            """
            if self.is_truncated():
                os.ftruncate(self._descriptor, self._size)
            os.pwrite(self._descriptor, bytes(2 * _HEADER), 0)


def open_index(path: str, identity: Identity) -> WalIndex | None:
    """Return the index at `path`, or None where only SQLite can read it.

    :param path: the file, open in a connection of this process.
    :param identity: its device and inode.
    """
    if sys.platform == "win32":
        return None
    # No lock, which a fork could leave locked for ever. Two threads may open the same file.
    if identity not in _by_identity and len(_opened) < _MOST:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # removed just now, or not writable
            return None
        _opened.append(descriptor)
        found = os.fstat(descriptor)
        _by_identity.setdefault((found.st_dev, found.st_ino), WalIndex(descriptor))
    return _by_identity.get(identity)
