"""Replace an SQLite database with a backup, even while the blog is served.

Copying or moving a file is not safe: the write-ahead log of the old database would be applied
to the new one. https://www.sqlite.org/howtocorrupt.html
"""

import os
import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import func, select, update

from blog.config.database_url import database_url, file_of
from blog.database import BUSY_TIMEOUT, connect
from blog.models import Entry, Site
from blog.operations import migration
from blog.operations.migration import DatabaseUnusableError

#: Suffixes of the files beside a database. https://www.sqlite.org/tempfiles.html
_SIDES = ("-wal", "-journal", "-shm")


@dataclass(frozen=True)
class Restored:
    """The result of a restore.

    :param database: the restored file.
    :param entries: the number of its entries.
    :param schema: the schema version of the backup, before any upgrade.
    :param previous: the file with the previous database; None if there was none.
    """

    database: Path
    entries: int
    schema: str
    previous: Path | None


def restore(url: str, backup: Path) -> Restored:
    """Replace a database with a backup, and save the previous one beside it.

    Servers can keep running: they see the restore as one transaction. It waits for other writers
    at most :data:`~blog.database.BUSY_TIMEOUT` seconds. The backup is not changed.

    :param url: the setting ``database``, a path or a URL.
    :param backup: a database of this version or an older one, which is upgraded.
    :raises DatabaseUnusableError: the backup is damaged or another program's, or the database
        cannot be written to. Nothing was changed.
    """
    file = file_of(database_url(url))
    if file is None:
        raise DatabaseUnusableError(
            "`threadleaf restore` is for SQLite; use `pg_restore` for a PostgreSQL database."
        )
    # SQLite follows a link, and keeps the files beside a database beside its target.
    database = file.resolve()
    if database.exists() and database.samefile(backup):
        raise DatabaseUnusableError(f"{backup} is the database itself: choose a backup.")
    now = datetime.now(UTC)
    copy = database.with_name(f"{database.name}.restoring-{os.getpid()}")
    previous = database.with_name(f"{database.name}.before-{now:%Y%m%d-%H%M%S-%f}")
    try:
        version, entries = _prepare(backup, copy, now)
        if not _replace(database, copy, previous):
            _overwrite(database, copy, previous)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseUnusableError(
            f"Cannot restore {database} ({error}); nothing was changed. Stop the programs that use "
            "it, then try again."
        ) from error
    finally:
        for side in ("", *_SIDES):
            Path(f"{copy}{side}").unlink(missing_ok=True)
    return Restored(database, entries, version, previous if previous.exists() else None)


def _copy(source: Path, target: Path) -> None:
    """Copy a database, with the log beside it."""
    # To read a database, SQLite writes files beside it, which a read-only disk does not allow.
    in_use = any(Path(f"{source}{side}").exists() for side in ("-wal", "-journal"))
    mode = "mode=ro" if in_use else "immutable=1"
    address = f"file:{quote(os.fsencode(source.resolve()), safe='')}?{mode}"
    with closing(sqlite3.connect(address, uri=True)) as origin:
        _save(origin, target)


def _save(origin: sqlite3.Connection, target: Path) -> None:
    """Copy the snapshot of `origin` to a new file that only this user can read."""
    target.touch(mode=0o600, exist_ok=False)
    try:
        with closing(sqlite3.connect(target)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # a new file has nothing to roll back to
            origin.backup(copy, progress=_refuse_to_wait)
    except BaseException:
        target.unlink()
        raise


def _refuse_to_wait(status: int, _remaining: int, _total: int) -> None:
    # sqlite3 would wait for a lock indefinitely.
    if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise sqlite3.OperationalError("database is locked")


def _prepare(backup: Path, copy: Path, now: datetime) -> tuple[str, int]:
    """Copy, check and upgrade a backup; return its old schema and the number of entries."""
    try:
        _copy(backup, copy)
        with closing(sqlite3.connect(copy)) as connection:
            (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        finding = str(error)
    if finding != "ok":
        raise DatabaseUnusableError(f"{backup} is damaged ({finding}): choose another backup.")
    engine = connect(str(copy))
    try:
        with migration.explaining(engine):
            version = None
            # The backup may be another program's.
            with engine.connect() as connection, suppress(DatabaseUnusableError):
                version = migration.version(connection)
            if version is None:
                raise DatabaseUnusableError(f"{backup} is not a Threadleaf database.")
            migration.upgrade(engine)
            with engine.begin() as connection:
                # A browser may have a page of the same version and time with other content.
                connection.execute(update(Site).values(version=Site.version + 1, changed=now))
                entries = connection.scalar(select(func.count()).select_from(Entry)) or 0
    finally:
        engine.dispose()
    return version, entries


def _replace(database: Path, copy: Path, previous: Path) -> bool:
    """Rename the copy to the database, unless a program has the database open."""
    if database.exists():
        try:
            with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as alone:
                alone.execute("PRAGMA locking_mode = EXCLUSIVE")
                alone.execute("BEGIN EXCLUSIVE")
                alone.execute("ROLLBACK")
                _save(alone, previous)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        except sqlite3.DatabaseError:  # it is damaged beyond reading
            shutil.copyfile(database, previous)
        _share(previous, database)
        _share(copy, database)
    # Any side file left by now belongs to a database that was moved or damaged.
    for side in _SIDES:
        with suppress(FileNotFoundError):
            Path(f"{database}{side}").replace(f"{previous}{side}")
    try:
        copy.replace(database)
    except PermissionError:
        # Windows cannot replace an open file, even one that has not been read yet.
        previous.unlink(missing_ok=True)
        return False
    _sync(database.parent)
    return True


def _overwrite(database: Path, copy: Path, previous: Path) -> None:
    """Write the copy into the database in one transaction, while other programs use it."""

    def keep(status: int, remaining: int, total: int) -> None:
        _refuse_to_wait(status, remaining, total)
        # Once the first page is written, no other program can write before the last one is.
        if not previous.exists():
            _save(reader, previous)

    with (
        closing(sqlite3.connect(copy)) as origin,
        closing(sqlite3.connect(database)) as reader,
        closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT)) as target,
    ):
        try:
            origin.backup(target, pages=1, progress=keep)
        except BaseException:
            previous.unlink(missing_ok=True)
            raise
        # The log has grown by the size of the database. While others read it, it cannot shrink.
        with suppress(sqlite3.Error):
            target.execute("PRAGMA busy_timeout = 0")
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _share(previous, database)


def _share(file: Path, database: Path) -> None:
    """Give a file the owner and the mode of the database."""
    shutil.copymode(database, file)
    if sys.platform != "win32":
        found = database.stat()
        with suppress(PermissionError):
            os.chown(file, found.st_uid, found.st_gid)


def _sync(folder: Path) -> None:
    """Sync a folder to disk, where the system and permissions allow it."""
    if sys.platform != "win32":
        with suppress(PermissionError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
