"""Whether a database is still the file that its connections opened.

A connection to a renamed or deleted file continues without an error: it reads old data, and with a
write-ahead log it reports commits that no other program will see. The log is found by name and is
left behind, so the next program to open the new file would read the old pages in it.
https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use
"""

import logging
import math
import os
import sqlite3
import time
import weakref
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

from ._wal import Log, identity_of, stat
from ._wal_index import Head, Identity

logger = logging.getLogger(__package__)

#: How long a check of the files is valid while nothing in their folder is created, removed or
#: renamed, in seconds.
LOOK_EVERY = 1.0

#: How old a folder's modification time must be to differ from that of its next change, in seconds.
#: The coarsest clock of a file system, FAT's, ticks every two seconds.
_SETTLED = 2.0

#: What the connections of this process have open, for all engines.
_opened: set[weakref.ref["OpenedFile"]] = set()


@dataclass(frozen=True)
class Trouble:
    """Why a database must not be opened now.

    :param identity: the file.
    :param log: its side files at that time.
    :param reason: what happened.
    :param is_final: whether it cannot be recovered.
    """

    identity: Identity
    log: Log
    reason: str
    is_final: bool

    def __str__(self) -> str:
        remedy = (
            "Restore a backup, which is not safe by copying while a program has it open"
            if self.is_final
            else "The last commits may be lost. It is recovered when no other program has it open: "
            "stop them"
        )
        return f"{self.reason}. {remedy}"


class DatabaseFile:
    """The file of an engine's database."""

    def __init__(self, path: str) -> None:
        self.path = path
        #: Device and inode at the last check; None without a file.
        self.identity: Identity | None = None
        self.trouble: Trouble | None = None
        #: How many there have been. Connections from before the last one are not used again.
        self.troubles = 0
        self._is_written_to = False
        self._looked = -math.inf
        self._folder = os.path.dirname(path)  # noqa: PTH120
        #: The folder at the last check; None if its next change might not show.
        self._settled: tuple[int, int] | None = None
        self._log: Log | None = None

    def opened(self) -> "OpenedFile":
        """Return what a connection has open that was made just now and has read nothing yet.

        :raises sqlite3.OperationalError: it must not read, since it would change the file.
        """
        before = self.identity
        self.look()
        if self.trouble is not None:
            self._recover(self.trouble)
        if self._is_written_to:
            raise sqlite3.OperationalError(
                f"database is locked: {self.path} was replaced during a write to it"
            )
        # The file may have been replaced since the last look, before the connection was made or
        # after. It is taken for an old one then, and the next will do.
        opened = OpenedFile(self, before or self.identity)
        _opened.add(opened.reference)
        return opened

    def look_again(self) -> None:
        """Make the next checkout check the files, however recent the last check is."""
        self._looked = -math.inf

    def look_if_due(self) -> None:
        """Check the files if their folder has changed, and every :data:`LOOK_EVERY` seconds.

        A name cannot change without the folder's modification time. So one system call replaces
        three, each of which lets other threads run first.
        """
        if (
            self._settled is None
            or monotonic() - self._looked >= LOOK_EVERY
            or self._settled != self._stamp()
        ):
            self.look()

    def look(self) -> None:
        """Check the files, and set :attr:`identity` and :attr:`trouble`."""
        self._looked = monotonic()
        folder = self._stamp()
        is_settled = folder is not None and folder[1] < time.time_ns() - _SETTLED * 1e9
        self._settled = folder if is_settled else None
        found = identity_of(self.path)
        self._is_written_to = False
        if found is not None and found != self.identity:
            live = self._live()
            # Not all are old if a file was moved away and back.
            old = [opened for opened in live if opened.identity != found]
            # SQLite would take the journal of a writer to the old file for a crashed writer's, and
            # apply it to the new file. So the old file stays in use until the writer is done.
            self._is_written_to = bool(old) and _is_hot(self.path + "-journal")
            if self._is_written_to:
                return
            if old:
                logger.warning("The database %s was replaced and is being reopened.", self.path)
            # Before another thread opens the new file.
            for opened in old:
                if opened.log is not None:
                    opened.log.remove()
            self._log = None
        self.identity = found
        if found is not None:
            if self.trouble is not None and self.trouble.identity != found:
                self.trouble = None
            log = self._log or self._open_log(found)
            if log is not None:
                log.pin()
                self._log = log
                self._look_at_log(log, found)

    def _open_log(self, found: Identity) -> Log | None:
        """Return the log that the connections to the file `found` have open."""
        return next(
            (
                opened.log
                for opened in self._live()
                if opened.log and opened.identity == found and opened.is_untroubled()
            ),
            None,
        )

    def _look_at_log(self, log: Log, found: Identity) -> None:
        fault, is_overwritten = log.fault(), log.is_overwritten()
        # After the checks: the last connection to close is no longer live when it removes the log.
        is_open = any(opened.log == log for opened in self._live())
        # Another thread may have been faster.
        if self._log is not log:
            return
        if fault or is_overwritten or not is_open:
            self._log = None
        if not is_open:
            log.unpin()
        if is_open and (fault or is_overwritten):
            # A log whose index was lost may have commits that only another index lists. The last
            # connection to close would remove them with the log.
            log.rebuild_index()
            fault = fault or f"{self.path} was overwritten while in use"
            self.trouble = Trouble(found, log, fault, is_final=is_overwritten)
            self.troubles += 1
            logger.error("%s.", self.trouble)

    def _recover(self, trouble: Trouble) -> None:
        """Let SQLite recover the log through the only open connection.

        :raises sqlite3.OperationalError: another connection is open, or nothing can be recovered.
        """
        if trouble.is_final:
            raise _unable_to_open(str(trouble))
        finding = "ok"
        try:
            with closing(connect_existing(self.path, timeout=0, isolation_level=None)) as alone:
                # In this mode it builds its own index and ignores the file.
                alone.execute("PRAGMA locking_mode = EXCLUSIVE")
                alone.execute("BEGIN EXCLUSIVE")
                (finding,) = alone.execute("PRAGMA integrity_check(1)").fetchone()
                alone.execute("ROLLBACK")
                # The next connection creates another file, by which other programs notice.
                Path(f"{self.path}-shm").unlink(missing_ok=True)
        except sqlite3.OperationalError as error:
            # Another program may have been faster and have opened it with its own log. Ours is lost
            # then. All connections of a process share one index, so a new connection would use the
            # old index with the new log while an old connection is open.
            is_in_use = any(
                opened.log is None or opened.log.is_replaced()
                for opened in _all_opened()
                if opened.identity == trouble.identity
            )
            if is_in_use or not trouble.log.is_replaced():
                raise _unable_to_open(f"{trouble} ({error})") from error
        except sqlite3.DatabaseError as error:
            finding = str(error)
        if finding != "ok":
            reason = f"{trouble.reason} and is damaged ({finding})"
            self.trouble = replace(trouble, reason=reason, is_final=True)
            logger.error("%s.", self.trouble)
            raise _unable_to_open(str(self.trouble))
        self.trouble = None
        logger.warning("The database %s was recovered and is in use again.", self.path)

    def _live(self) -> "list[OpenedFile]":
        return [each for each in _all_opened() if each.file is self and not each.is_closing]

    def forget(self, opened: "OpenedFile") -> None:
        """Note that a connection is about to be closed. The last one to close removes the log.

        :meth:`OpenedFile.closed` follows if the close is noticed.
        """
        opened.is_closing = True
        log = self._log
        if log is not None and not any(each.log == log for each in self._live()):
            self._log = None
            log.unpin()

    def _stamp(self) -> tuple[int, int] | None:
        found = stat(self._folder)
        return None if found is None else (found.st_ino, found.st_mtime_ns)


class OpenedFile:
    """The files that one connection has open. It lives as long as the connection."""

    __slots__ = (
        "__weakref__",
        "_head",
        "_troubles",
        "answers",
        "file",
        "identity",
        "is_closing",
        "log",
        "reference",
    )

    def __init__(self, file: DatabaseFile, identity: Identity | None) -> None:
        self.file = file
        self.identity = identity
        self.reference = weakref.ref(self, _opened.discard)
        self.is_closing = False
        #: Cached results of queries, each with the value of :meth:`commits` before the query.
        self.answers: dict[str, tuple[bytes | None, tuple[Any, ...]]] = {}
        #: The file's write-ahead log.
        self.log: Log | None = None
        self._troubles = file.troubles
        self._head: Head | None = None

    def is_current(self) -> bool:
        """Return whether the database is still this file, with this log.

        A file that was removed, renamed or replaced is noticed at once, one written to by anything
        but SQLite within :data:`LOOK_EVERY` seconds.
        """
        self.file.look_if_due()
        if self.log is not None:
            self._head = self.log.head()
            if self._head is not None and not self._head.is_whole():
                self.file.look()
        return self._is_the_one()

    def is_current_now(self) -> bool:
        """Return the same after a full check."""
        self.file.look()
        return self._is_the_one()

    def is_untroubled(self) -> bool:
        """Return whether the side files are as they were when opened."""
        return self._troubles == self.file.troubles

    def _is_the_one(self) -> bool:
        return self.identity == self.file.identity and self.is_untroubled()

    def note_log(self) -> None:
        """Remember this file's write-ahead log, which the connection has open."""
        log = Log.at(self.file.path)
        # Otherwise it may be another file's log, which must never be removed.
        if log is not None and self.identity == identity_of(self.file.path):
            self.log = log
            # The first check drops a log that no connection has open, the second finds this one.
            self.file.look()
            self.file.look()

    def closed(self) -> None:
        """Note that the connection is closed."""
        _opened.discard(self.reference)

    def commits(self) -> bytes | None:
        """Return a value that changes with every commit to this file, as of :meth:`is_current`.

        No value repeats while this connection is open; after all have closed the database, SQLite
        starts over. None if only SQLite can tell: without a write-ahead log, on Windows, and during
        a commit.
        """
        return None if self._head is None else self._head.commits()


def _all_opened() -> list[OpenedFile]:
    return [opened for each in list(_opened) if (opened := each()) is not None]


def connect_existing(path: str, **options: Any) -> sqlite3.Connection:
    """Connect like :func:`sqlite3.connect`, but do not create a missing file.

    :raises sqlite3.OperationalError: the file is missing or cannot be opened.
    """
    address = f"file:{quote(os.fsencode(path), safe='')}?mode=rw"
    options["uri"] = True
    try:
        connection: sqlite3.Connection = sqlite3.connect(address, **options)
    except sqlite3.OperationalError as error:
        reason = str(error) if stat(path) else f"{path} was moved or deleted: put it back"
        raise _unable_to_open(reason) from error
    return connection


def _unable_to_open(reason: str) -> sqlite3.OperationalError:
    return sqlite3.OperationalError(f"unable to open database file: {reason}")


def _is_hot(journal: str) -> bool:
    """Return whether a rollback journal has uncommitted changes in it."""
    try:
        with open(journal, "rb") as file:  # noqa: PTH123
            return file.read(1) not in {b"", b"\0"}
    except FileNotFoundError:
        return False
