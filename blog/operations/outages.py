"""Outages: errors that an operator can fix, with their remedies. All others are bugs.

Startup, requests and commands use them. A request that fails in an outage gets a 503 and is
counted; one line is logged when the outage starts and one when it ends.
"""

import errno
import logging
import os
import shutil
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from blog.config.database_url import file_of, name_of
from blog.database import DatabaseOutdatedError, WriteQueueFullError
from blog.database.postgresql import is_full
from blog.models.base import DamagedValueError

log = logging.getLogger(__name__)

#: Seconds without a failure after which a successful request ends an outage. Otherwise a database
#: that fails every other time would log a start and an end for each request.
QUIET = 5.0

_SPACE = "free space on the disk of {folder} ({free})"
_WRITE = "let {user} write to the file and to its folder ({modes})"
_OPEN = (
    "check that its folder exists and that {user} may write to the file and the folder ({modes})"
)
_LOCK = "stop the other program that is writing to it, then try again"
_DISK = "check the disk of {folder} ({free}) and the system log"
_REPAIR = "check it with `PRAGMA integrity_check`, and restore a backup"
_EDIT = "correct that row, or restore a backup; `PRAGMA integrity_check` shows any other damage"
_OUTDATED = "use the version of Threadleaf that upgraded it"
_LOST = "put the file back, or run `threadleaf restore` with a backup"
_SCHEMA = "run `threadleaf upgrade`, or restore the blog's own database"
_NAME = "rename that table, index or trigger, or give the blog a database of its own"
_DEFAULT = "check that it exists and that {user} may use it"

#: By a part of SQLite's code or message: the pool and the driver raise some without a code.
#: https://www.sqlite.org/rescode.html
_SQLITE = {
    "disk is full": _SPACE,
    "was moved": _LOST,
    "is not stored": _LOST,
    "readonly": _WRITE,
    "unable to open": _OPEN,
    "not a database": "set `database` to another file, or move this one away",
    "malformed": _REPAIR,
    "SQLITE_CORRUPT": _REPAIR,
    "Could not decode": _REPAIR,
    "disk I/O error": _DISK,
    "locked": _LOCK,
    "already exists": _NAME,
    "no such table": _SCHEMA,
    "no such column": _SCHEMA,
}

_CONNECTIONS = "allow more connections on the PostgreSQL server, or lower the setting `pool_size`"

#: By the beginning of PostgreSQL's SQLSTATE.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = {
    "25006": "connect to the primary server: this one is read-only",
    "28": "check the user and the password in the setting `database`",
    "3D": "create the database, or correct the setting `database`",
    "3F": "create the schema in the search path, or correct the search path",
    "40": "try again: other programs were changing the same rows",
    "42501": "grant this role the privilege; an upgrade needs the owner of the tables",
    "42P01": _SCHEMA,
    "42P07": _NAME,
    "42703": _SCHEMA,
    "53100": "free space on the disk of the PostgreSQL server",
    "53": _CONNECTIONS,
    "55P03": _LOCK,
    "58": "check the disk and the log of the PostgreSQL server",
    "XX": "check the log of the PostgreSQL server, and restore a backup",
}
_CONNECT = "check that the PostgreSQL server is running and reachable"

_OS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: _OPEN,
    errno.EPERM: _OPEN,
    errno.ENOENT: _OPEN,
    errno.ENOTDIR: _OPEN,
    errno.EROFS: _WRITE,
    errno.EIO: _DISK,
    errno.EMFILE: "raise the limit of open files (`ulimit -n`), or lower the setting `threads`",
}


@dataclass(frozen=True)
class Outage:
    """An unusable database or file. As a string, a sentence with reason and remedy."""

    #: The database or the file, by its name in messages.
    subject: str
    #: The message of the driver or the system.
    reason: str
    #: A remedy from the tables above: failures with the same remedy are one outage.
    remedy: str
    #: The file; None for a server.
    place: Path | None

    def __str__(self) -> str:
        words = {"folder": "", "user": f"the user {_user()}", "modes": "", "free": ""}
        if self.place is not None:
            folder = self.place.parent
            words["folder"] = str(folder)
            words["modes"] = "; ".join(map(_mode, (self.place, folder)))
            words["free"] = _free(folder)
        remedy = self.remedy.format_map(words)
        return f"{self.subject} cannot be used ({self.reason}): {remedy}."


def outage(engine: Engine, error: BaseException) -> Outage | None:
    """Return the outage that caused `error`, or None if a bug did.

    :param engine: of the blog's database.
    :param error: an exception of SQLAlchemy, of the system or of a column type.
    """
    place, subject = file_of(engine.url), f"The database {name_of(engine.url)}"
    remedy: str | None = None
    if isinstance(error, DatabaseOutdatedError):
        remedy, error = _OUTDATED, error.orig or error
    elif isinstance(error, DBAPIError) and error.orig is not None:
        remedy = _sqlite(error) if engine.dialect.name == "sqlite" else _postgresql(error)
        error = error.orig
    elif isinstance(error, OSError) and error.errno is not None:
        remedy = _OS.get(error.errno, _DEFAULT)
        # As paths: Windows takes either slash.
        if error.filename and (path := Path(os.fsdecode(error.filename))) != place:
            place, subject = path, f"The file {path}"
        error = OSError(error.strerror)
    elif isinstance(error, DamagedValueError):
        remedy = _EDIT
    elif isinstance(error, WriteQueueFullError):
        remedy = _LOCK
    elif isinstance(error, PoolTimeout):
        remedy = "raise the setting `pool_size`, or lower `threads`"
    if remedy is None:
        return None
    return Outage(subject, " ".join(str(error).split()), remedy, place)


def _sqlite(error: DBAPIError) -> str | None:
    # A file that is not a database is reported as the bare DatabaseError.
    if not (isinstance(error, OperationalError) or type(error) is DatabaseError):
        return None
    name = getattr(error.orig, "sqlite_errorname", "")
    message = f"{name} {error.orig}"
    remedies = (remedy for sign, remedy in _SQLITE.items() if sign in message)
    return next(remedies, None if name == "SQLITE_ERROR" else _DEFAULT)


def _postgresql(error: DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None) or ""
    remedies = (remedy for sign, remedy in _POSTGRESQL.items() if state.startswith(sign))
    # Errors of the driver without a state concern the connection.
    default = _CONNECT if isinstance(error, OperationalError) else None
    if error.orig is not None and is_full(error.orig):
        default = _CONNECTIONS
    if not state and error.statement is None and isinstance(error, ProgrammingError):
        default = "correct the parameters in the setting `database`"
    return next(remedies, default)


def _user() -> str:
    if sys.platform == "win32":
        return os.getlogin()  # the account itself: the environment of a service may lack it
    return _account(os.geteuid())


def _account(uid: int) -> str:
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may lack the name
        return str(uid)


def _mode(path: Path) -> str:
    """Return the mode and the owner of a file, for a message."""
    try:
        found = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    owner = "" if sys.platform == "win32" else f" of {_account(found.st_uid)}"
    return f"{path} is {stat.filemode(found.st_mode)}{owner}"


def _free(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,} bytes free"
    except OSError as error:
        return str(error.strerror)


@dataclass
class _Count:
    """The failures of one outage so far."""

    first: float
    last: float
    failures: int = 0
    has_reading: bool = False


class Outages:
    """The outages of an application: each is logged when it starts and when it ends.

    Writes can fail while reads succeed, for example on a full disk. So a successful read ends only
    an outage in which a read has failed.

    :param clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        #: Those that are not over, by remedy.
        self.open: dict[str, tuple[Outage, _Count]] = {}

    def failed(self, outage: Outage, request: str, *, is_writing: bool) -> None:
        """Count a request that gets a 503; log the first of an outage.

        :param outage: the cause, from :func:`outage`.
        :param request: its method and path, for the log.
        :param is_writing: whether it was a request that writes.
        """
        now = self._clock()
        with self._lock:
            is_new = outage.remedy not in self.open
            _, count = self.open.setdefault(outage.remedy, (outage, _Count(now, now)))
            count.last = now
            count.failures += 1
            count.has_reading |= not is_writing
        if is_new:
            log.error("%s: %s", request, outage)

    def succeeded(self, *, is_writing: bool) -> None:
        """Note that the database served a request, and log the outages that are over.

        :param is_writing: whether it was a request that writes.
        """
        now = self._clock()
        with self._lock:
            over = [
                (outage, count)
                for outage, count in self.open.values()
                if now - count.last >= QUIET and (is_writing or count.has_reading)
            ]
            for outage, _ in over:
                del self.open[outage.remedy]
        for outage, count in over:
            log.warning(
                "%s can be used again: %d request%s failed in %.0f seconds (%s).",
                outage.subject,
                count.failures,
                "" if count.failures == 1 else "s",
                now - count.first,
                outage.reason,
            )
