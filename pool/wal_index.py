"""Whether anybody has committed to a database, without asking SQLite.

SQLite gives the interpreter away three times for the smallest question, and where other threads
want it, each time costs more than the answer. What it looks at itself is in memory that all
processes share, the index of the write-ahead log: its header, which each commit writes anew, with
the number of frames and a checksum over them, and twice, so that nobody takes a torn one for whole.
While the header stands, SQLite takes what it has read before to be true.
https://www.sqlite.org/walformat.html#the_wal_index_file_format
"""

import ctypes
import mmap
import os
import sys

#: Device and inode of a file.
Identity = tuple[int, int]

_HEADER = 48
_VERSION = (3007000).to_bytes(4, sys.byteorder)

# How many a process looks into. None is ever let go: to close any descriptor of a file drops all
# locks that the process has on it, and SQLite's own are on this one.
# https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
_MOST = 16
_opened: list[mmap.mmap] = []
_by_identity: dict[Identity, mmap.mmap] = {}


class WalIndex:
    """The index of the log that a connection has open. Only while that is open, it stays in place.

    :param header: the beginning of it, both copies.
    """

    __slots__ = ("_header",)

    def __init__(self, header: mmap.mmap) -> None:
        self._header = header

    def commits(self) -> bytes | None:
        """Return what is another value after each commit, or None in the midst of one."""
        first = self._header[:_HEADER]
        second = self._header[_HEADER : 2 * _HEADER]
        return first if first == second and first.startswith(_VERSION) else None


def open_index(path: str, identity: Identity) -> WalIndex | None:
    """Return the index at `path`, or None where nobody can look into it.

    :param identity: what it is, as a connection of this process has it open.
    """
    if sys.platform == "win32":
        return None
    # Without a lock: a fork could leave it locked for ever. Two threads may open the same one.
    if identity not in _by_identity and len(_opened) < _MOST:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            found = os.fstat(descriptor)
            header = mmap.mmap(descriptor, 2 * _HEADER, prot=mmap.PROT_READ)
        except (OSError, ValueError):  # it is gone, or empty
            return None
        _opened.append(header)
        # It has a descriptor, too, and must not close it when the interpreter ends: a thread that
        # is not waited for may be committing just then.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(header))
        _by_identity.setdefault((found.st_dev, found.st_ino), header)
    header_of_it = _by_identity.get(identity)
    return None if header_of_it is None else WalIndex(header_of_it)
