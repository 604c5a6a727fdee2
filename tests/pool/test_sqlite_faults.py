"""`pool.sqlite` when the file fails: no commit succeeds without storing, and work can continue."""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, Pool, text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, PendingRollbackError
from sqlalchemy.orm import Session

from tests.pool.configured import (
    add,
    both_journals,
    both_pools,
    configured,
    driver_of,
    make_database,
    notes,
    notes_in,
    notes_of,
    writing,
)
from tests.pool.watched import Worker

PAGE = 4096

on_posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows does not let go of an open file"
)


def assert_nothing_can_be_committed(connection: Connection) -> None:
    """Later calls raise, too, until the transaction is rolled back."""
    assert connection.invalidated
    with pytest.raises(PendingRollbackError):
        connection.commit()
    connection.rollback()


def fill(connection: Connection) -> None:
    """Write more than fits."""
    for _ in range(100):
        add(connection, "x" * 10 * PAGE)


@both_pools
@both_journals
def test_full_database(tmp_path: Path, poolclass: type[Pool], journal: str) -> None:
    path = make_database(tmp_path / "app.db", "old", journal=journal)
    with configured(path, poolclass) as engine, writing(engine) as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 20")
        add(connection, "lost")
        with pytest.raises(OperationalError, match="full") as failure:
            fill(connection)
        assert failure.value.connection_invalidated
        assert_nothing_can_be_committed(connection)

        # The limit was the connection's, and this is another.
        add(connection, "new")
        connection.commit()
        assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    assert notes_in(path) == ["old", "new"]


def test_session_on_full_database(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", "old")
    with configured(path) as engine:
        with Session(engine) as session:
            session.execute(text("PRAGMA max_page_count = 20"))
            add(session.connection(), "lost")
            with pytest.raises(OperationalError, match="full"):
                fill(session.connection())
            with pytest.raises(PendingRollbackError):
                session.commit()
        with Session(engine) as session:
            add(session.connection(), "new")
            session.commit()
    assert notes_in(path) == ["old", "new"]


def test_fault_spares_other_connections(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", "old")
    with configured(path) as engine:
        with engine.connect() as other:
            well = driver_of(other)
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA max_page_count = 20")
                with pytest.raises(OperationalError, match="full"):
                    fill(connection)
            assert notes(other) == ["old"]
        time.sleep(0.02)  # SQLAlchemy compares times, and the clock may be coarse
        with engine.connect() as connection:
            assert driver_of(connection) is well


@both_pools
def test_no_commit_after_sqlite_rollback(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", "old")
    with configured(path, poolclass) as engine, engine.connect() as connection:
        connection.execute(text("CREATE UNIQUE INDEX note_text ON note (text)"))
        connection.commit()
        add(connection, "lost")
        with pytest.raises(IntegrityError):
            connection.execute(text("INSERT OR ROLLBACK INTO note VALUES ('old')"))
        assert_nothing_can_be_committed(connection)
    assert notes_in(path) == ["old"]


def test_statement_error_keeps_transaction(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", "old")
    with configured(path) as engine, engine.connect() as connection:
        connection.execute(text("CREATE UNIQUE INDEX note_text ON note (text)"))
        with pytest.raises(IntegrityError):
            add(connection, "old")
        add(connection, "new")
        connection.commit()
    assert notes_in(path) == ["old", "new"]


if sys.platform != "win32":
    import resource

    @contextmanager
    def no_file_beyond(size: int) -> Iterator[None]:
        """Let the kernel refuse every write past `size` bytes: SQLite calls it an I/O error."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @both_pools
    @both_journals
    def test_write_error(tmp_path: Path, poolclass: type[Pool], journal: str) -> None:
        path = make_database(tmp_path / "app.db", "old", journal=journal)
        with configured(path, poolclass) as engine, writing(engine) as connection:
            connection.exec_driver_sql("PRAGMA cache_size = 10")
            add(connection, "lost")
            with (
                no_file_beyond(50 * PAGE),
                pytest.raises(OperationalError, match="disk I/O error"),
            ):
                fill(connection)
            assert_nothing_can_be_committed(connection)

            add(connection, "new")
            connection.commit()
        assert notes_in(path) == ["old", "new"]

    @both_pools
    @both_journals
    def test_write_error_at_commit(tmp_path: Path, poolclass: type[Pool], journal: str) -> None:
        path = make_database(tmp_path / "app.db", "old", journal=journal)
        with configured(path, poolclass) as engine, writing(engine) as connection:
            fill(connection)
            with (
                no_file_beyond(50 * PAGE),
                pytest.raises(OperationalError, match="disk I/O error"),
            ):
                connection.commit()
            assert connection.invalidated
            connection.rollback()

            add(connection, "new")
            connection.commit()
        assert notes_in(path) == ["old", "new"]


def fill_a_small_disk(folder: str) -> None:
    """Called by the next test in a process that has a small disk of its own at `folder`."""
    path = make_database(Path(folder, "app.db"), "old")
    with configured(path) as engine, writing(engine) as connection:
        # Short of memory for the changes, SQLite writes them before the commit.
        connection.exec_driver_sql("PRAGMA cache_size = 10")
        add(connection, "lost")
        with pytest.raises(OperationalError, match="database or disk is full"):
            fill(connection)
        assert_nothing_can_be_committed(connection)
        add(connection, "new")
        connection.commit()
    assert notes_in(path) == ["old", "new"]


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk as Linux does it")
def test_full_disk(tmp_path: Path) -> None:
    on_a_small_disk = [
        *("unshare", "--map-root-user", "--mount", "--", "sh", "-ec"),
        f"mount -t tmpfs -o size=1m none '{tmp_path}'; exec \"$@\"",
        *("sh", sys.executable, "-W", "error", "-c"),
    ]
    try:
        subprocess.run([*on_a_small_disk, "pass"], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk of our own can be mounted here: {error}")
    program = (
        "from tests.pool import test_sqlite_faults as tests\n"
        f"tests.fill_a_small_disk({str(tmp_path)!r})"
    )
    done = subprocess.run(
        [*on_a_small_disk, program],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == ""
    assert done.returncode == 0


@both_pools
def test_overwritten_and_restored(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", "old", journal="delete")
    whole = path.read_bytes()
    with configured(path, poolclass) as engine:
        with engine.connect() as connection:
            assert notes(connection) == ["old"]
            connection.rollback()
            path.write_bytes(b"no database " * PAGE)
            with pytest.raises(DatabaseError, match="file is not a database"):
                notes(connection)
            assert_nothing_can_be_committed(connection)
        for _ in range(2):
            with pytest.raises(DatabaseError, match="file is not a database"):
                notes_of(engine)

        path.write_bytes(whole)
        assert notes_of(engine) == ["old"]


@both_pools
def test_damaged_and_restored(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", *map(str, range(2000)), journal="delete")
    whole = path.read_bytes()
    with configured(path, poolclass) as engine:
        path.write_bytes(whole[:PAGE] + b"\xff" * (len(whole) - PAGE))
        with engine.connect() as connection:
            with pytest.raises(DatabaseError, match="malformed"):
                add(connection, "lost")
            assert_nothing_can_be_committed(connection)

        path.write_bytes(whole)
        assert len(notes_of(engine)) == 2000


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nothing is read-only for root"
)
@both_pools
def test_read_only_file(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", "old", journal="delete")
    path.chmod(0o400)
    with configured(path, poolclass) as engine, engine.connect() as connection:
        with pytest.raises(OperationalError, match="readonly"):
            add(connection, "new")
        # Reading goes on.
        connection.rollback()
        assert notes(connection) == ["old"]
        path.chmod(0o600)
    assert notes_in(path) == ["old"]


def replace(path: Path, *notes: str, journal: str = "wal") -> None:
    """What a restored backup does: a new file gets the name of the database."""
    make_database(path.with_name("new.db"), *notes, journal=journal).replace(path)


def look(engine: Engine) -> None:
    """Open a new connection, which always looks at the file."""
    with engine.connect(), engine.connect(), engine.connect():
        pass


@on_posix
@both_pools
@both_journals
@pytest.mark.parametrize("next_journal", ["delete", "wal"])
def test_replaced_file(
    tmp_path: Path,
    poolclass: type[Pool],
    journal: str,
    next_journal: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = make_database(tmp_path / "app.db", "old", journal=journal)
    with configured(path, poolclass) as engine:
        with engine.begin() as connection:
            add(connection, "in the log, if there is one")
        with engine.connect() as first, engine.connect() as second:
            assert len(notes(first)) == len(notes(second)) == 2
        replace(path, "new", journal=next_journal)
        look(engine)

        assert notes_of(engine) == ["new"]
        with writing(engine) as connection, connection.begin():
            add(connection, "more")
        with engine.connect() as first, engine.connect() as second:
            assert notes(first) == notes(second) == ["new", "more"]
    assert notes_in(path) == ["new", "more"]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"The database {path} was replaced and is being reopened.")
    ]


@on_posix
@both_pools
@pytest.mark.parametrize("settled", [False, True], ids=["new folder", "old folder"])
def test_replaced_file_is_noticed_at_once(
    tmp_path: Path, poolclass: type[Pool], settled: bool
) -> None:
    path = make_database(tmp_path / "app.db", "old")
    with configured(path, poolclass) as engine:
        assert notes_of(engine) == ["old"]
        if settled:
            # As if nothing in the folder had changed for an hour.
            os.utime(tmp_path, (time.time() - 3600,) * 2)
            assert notes_of(engine) == notes_of(engine) == ["old"]
        replace(path, "new")
        with Session(engine) as session:
            assert notes(session.connection()) == ["new"]


@on_posix
def test_replaced_file_in_each_thread(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", "old")
    with configured(path) as engine, Worker() as worker:
        assert notes_of(engine) == worker.run(lambda: notes_of(engine)) == ["old"]
        replace(path, "new")
        look(engine)
        assert notes_of(engine) == worker.run(lambda: notes_of(engine)) == ["new"]


@on_posix
@both_journals
def test_replaced_file_during_read(tmp_path: Path, journal: str) -> None:
    path = make_database(tmp_path / "app.db", "old", journal=journal)
    with configured(path) as engine:
        with engine.connect() as reader:
            assert notes(reader) == ["old"]
            replace(path, "new")
            assert notes_of(engine) == ["new"]
            assert notes(reader) == ["old"]
        assert notes_of(engine) == ["new"]


@on_posix
@both_pools
def test_no_write_to_replaced_file(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", "old", journal="delete")
    with configured(path, poolclass) as engine:
        with engine.connect() as connection, engine.connect() as another:
            assert notes(connection) == notes(another) == ["old"]
            another.close()
            replace(path, "new", journal="delete")
            with pytest.raises(OperationalError, match="readonly"):
                add(connection, "lost")
            assert_nothing_can_be_committed(connection)
        # No second has to pass.
        assert notes_of(engine) == ["new"]
    assert notes_in(path) == ["new"]


@on_posix
@both_pools
def test_journal_of_replaced_file(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", *["old" * PAGE] * 20, journal="delete")
    with configured(path, poolclass) as engine:
        with writing(engine) as connection:
            connection.exec_driver_sql("PRAGMA cache_size = 10")
            connection.execute(text("UPDATE note SET text = 'changed'"))
            replace(path, *["new" * PAGE] * 30, journal="delete")
            for _ in range(2):
                with pytest.raises(OperationalError, match="was replaced during a write to it"):
                    look(engine)
            with pytest.raises(OperationalError, match="the transaction is not stored"):
                connection.commit()
            assert_nothing_can_be_committed(connection)
        look(engine)
        assert notes_of(engine) == ["new" * PAGE] * 30
    assert notes_in(path) == ["new" * PAGE] * 30


@on_posix
def test_log_of_new_file_is_kept(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db", "old")
    # As two processes would.
    with configured(path) as one, configured(path) as two:
        for engine in (one, two):
            with engine.begin() as connection:
                add(connection, "in the old log")
        replace(path, "new")
        for name, engine in (("one", one), ("two", two)):
            look(engine)
            with writing(engine) as connection, connection.begin():
                add(connection, name)
        assert notes_of(one) == notes_of(two) == ["new", "one", "two"]
    assert notes_in(path) == ["new", "one", "two"]


@on_posix
@both_pools
@both_journals
def test_moved_file_comes_back(tmp_path: Path, poolclass: type[Pool], journal: str) -> None:
    path = make_database(tmp_path / "app.db", "old", journal=journal)
    with configured(path, poolclass) as engine:
        with engine.begin() as connection:
            add(connection, "in the log, if there is one")
        away = path.rename(path.with_name("away.db"))
        for _ in range(2):
            with pytest.raises(OperationalError, match=r"app\.db was moved or deleted"):
                engine.connect()
            assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        # SQLite would make an empty file for a new connection.
        engine.dispose()
        with pytest.raises(OperationalError, match=r"app\.db was moved or deleted"):
            engine.connect()
        assert not path.exists()

        away.rename(path)
        assert notes_of(engine) == ["old", "in the log, if there is one"]
        assert notes_in(path) == ["old", "in the log, if there is one"]
    assert notes_in(path) == ["old", "in the log, if there is one"]


@pytest.mark.skipif(
    sys.platform != "win32", reason="elsewhere an open file can be overwritten: see test_side_files"
)
@both_pools
def test_copy_over_database_in_use(tmp_path: Path, poolclass: type[Pool]) -> None:
    path = make_database(tmp_path / "app.db", *["x" * PAGE] * 50)
    other = make_database(tmp_path / "other.db", "other")
    with configured(path, poolclass) as engine:
        assert len(notes_of(engine)) == 50
        with pytest.raises(OSError, match="Invalid argument"):
            shutil.copy(other, path)
        copy = subprocess.run(["cmd", "/c", "copy", "/y", other, path], check=False)
        assert copy.returncode == 1
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM note"))
            add(connection, "mine")
            connection.commit()
        # SQLite would give back most of the file now, and cannot.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        assert notes_of(engine) == notes_in(path) == ["mine"]

    shutil.copy(other, path)
    assert notes_in(path) == ["other"]
