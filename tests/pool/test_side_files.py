"""`pool.sqlite` when a database's side files are lost in use: no stale read, no lost commit, no
signal that ends the process.

Each test is a separate process, because a process reads few indexes.
"""

import sys
import textwrap
from pathlib import Path

import pytest

from tests.pool.configured import make_database
from tests.pool.scripts import run

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file"),
    pytest.mark.timeout(90),
]

START = """
    import logging, os, shutil, sqlite3, subprocess, sys, threading, time
    from contextlib import closing, suppress
    from pathlib import Path
    from sqlalchemy.exc import OperationalError
    from pool.sqlite._file import LOOK_EVERY
    from tests.pool.configured import add, configured, make_database, notes_in, notes_of, writing

    path, log, index = (Path(sys.argv[1] + end) for end in ("", "-wal", "-shm"))
    logged = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())
    logging.getLogger().addHandler(handler)

    def write(engine, note):
        with writing(engine) as connection:
            add(connection, note)
            connection.commit()

    def refused(function, *arguments):
        try:
            function(*arguments)
        except OperationalError as error:
            return str(error.orig)
        raise AssertionError("it was not refused")

    ELSEWHERE = (
        "import sqlite3, sys;"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute(sys.argv[2]).fetchall();"
        "print(flush=True);"
        "sys.stdin.read()"
    )

    def elsewhere(statement):
        program = [sys.executable, "-c", ELSEWHERE, path, statement]
        return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    INSERT = "INSERT INTO note VALUES ('foreign')"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_database(tmp_path / "app.db", "first")


def check(path: Path, script: str, before: str = "") -> None:
    run("-c", textwrap.dedent(START) + before + "\n" + textwrap.dedent(script), str(path))


LOSSES = {
    "the log is removed": ("log.unlink()", "app.db-wal was removed or replaced"),
    "the log is moved": ("log.rename(path.with_name('aside'))", "app.db-wal was removed"),
    "the index is removed": ("index.unlink()", "app.db-shm was removed or replaced"),
    "the index is replaced": (
        "shutil.copy(index, 'copy'); os.replace('copy', index)",
        "app.db-shm was removed or replaced",
    ),
    "both are removed": ("log.unlink(); index.unlink()", "app.db-wal was removed"),
    "the index is truncated": ("os.truncate(index, 0)", "app.db-shm was truncated"),
    "the index is cut": ("os.truncate(index, 4096)", "app.db-shm was truncated"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_lost_side_file_loses_no_commit(path: Path, loss: str) -> None:
    lose, reason = LOSSES[loss]
    check(
        path,
        """
        with configured(path) as engine:
            os.chdir(path.parent)
            write(engine, "mine")
            lose()
            assert notes_of(engine) == ["first", "mine"]
            write(engine, "after")
            assert notes_of(engine) == ["first", "mine", "after"]
            assert len(logged) == 2 and reason in logged[0] and "in use again" in logged[1], logged
        assert notes_in(path) == ["first", "mine", "after"]
        """,
        f"def lose(): {lose}\nreason = {reason!r}",
    )


@pytest.mark.parametrize("loss", ["os.truncate(log, 0)", "log.write_bytes(bytes(200_000))"])
def test_truncated_log_is_reported(path: Path, loss: str) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            write(engine, "mine")
            lose()
            write(engine, "after")
            assert notes_of(engine) == ["first", "after"]
            assert "app.db-wal was truncated or overwritten while in use" in logged[0]
            assert "may be lost" in logged[0]
        assert notes_in(path) == ["first", "after"]
        """,
        f"def lose(): {loss}",
    )


def test_commit_under_other_index(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            write(engine, "mine")
            index.unlink()
            foreign = elsewhere(INSERT)
            foreign.communicate()
            assert notes_of(engine) == ["first", "mine", "foreign"]
        assert notes_in(path) == ["first", "mine", "foreign"]
        """,
    )


def test_no_recovery_beside_other_program(
    path: Path,
) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            write(engine, "mine")
            foreign = elsewhere("SELECT * FROM note")
            foreign.stdout.readline()
            index.unlink()
            for attempt in [(notes_of, engine), (write, engine, "lost"), (notes_of, engine)]:
                reason = refused(*attempt)
                assert "app.db-shm was removed" in reason and "stop them" in reason, reason
            foreign.communicate()
            assert notes_of(engine) == ["first", "mine"]
        assert notes_in(path) == ["first", "mine"]
        """,
    )


def test_recovery_by_other_program(path: Path) -> None:
    check(
        path,
        """
        # As two servers would.
        with configured(path) as one, configured(path) as two:
            write(one, "one")
            write(two, "two")
            index.unlink()
            assert "app.db-shm was removed" in refused(notes_of, one)
            assert notes_of(two) == ["first", "one", "two"]
            write(one, "after")
            assert notes_of(one) == notes_of(two) == ["first", "one", "two", "after"]
        assert notes_in(path) == ["first", "one", "two", "after"]
        """,
    )


def test_recovery_waits_for_thread(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            write(engine, "mine")
            with engine.connect() as reader:
                add(reader, "read on")
                reader.rollback()
                log.unlink()
                assert "app.db-wal was removed" in refused(notes_of, engine)
                assert "app.db-wal was removed" in refused(write, engine, "lost")
            assert notes_of(engine) == ["first", "mine"]
        """,
    )


@pytest.mark.parametrize("who", ["engine", "other"])
def test_logs_are_never_mixed(path: Path, who: str) -> None:
    check(
        path,
        """
        with configured(path) as engine, configured(path) as other:
            write(engine, "mine")
            with who.connect() as reader:
                add(reader, "read on")
                reader.rollback()
                log.unlink()
                index.unlink()
                foreign = elsewhere(INSERT)
                foreign.stdout.readline()
                # SQLite would give a new connection the new log, and the index of this one.
                for attempt in [(notes_of, engine), (write, engine, "lost")]:
                    assert "app.db-wal was removed" in refused(*attempt)
            who.dispose()
            assert notes_of(engine) == ["first", "foreign"]
            write(engine, "after")
            assert "may be lost" in logged[0] and "in use again" in logged[-1], logged
            foreign.communicate()
            elsewhere(INSERT).communicate()
            assert notes_of(engine) == ["first", "foreign", "after", "foreign"]
        assert notes_in(path) == ["first", "foreign", "after", "foreign"]
        """.replace("who", who),
    )


@pytest.mark.parametrize("loss", ["log.unlink()", "index.unlink()", "log.rename(aside)"])
def test_commit_after_loss_raises(path: Path, loss: str) -> None:
    check(
        path,
        """
        aside = path.with_name("aside")
        with configured(path) as engine:
            write(engine, "mine")
            with writing(engine) as connection:
                add(connection, "in doubt")
                lose()
                assert "the transaction is not stored" in refused(connection.commit)
                connection.rollback()
            write(engine, "after")
            assert notes_of(engine)[0::len(notes_of(engine)) - 1] == ["first", "after"]
        """,
        f"def lose(): {loss}",
    )


def test_no_write_to_file_just_replaced(path: Path) -> None:
    check(
        path,
        """
        make_database(path.with_name("new.db"), "new")
        with configured(path) as engine:
            write(engine, "mine")
            with engine.connect() as connection:
                os.replace(path.with_name("new.db"), path)
                connection = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
                assert "was moved, deleted or replaced" in refused(add, connection, "lost")
                connection.rollback()
                add(connection, "after")
                connection.commit()
        assert notes_in(path) == ["new", "after"]
        """,
    )


def test_overwritten_database_is_refused(
    path: Path,
) -> None:
    check(
        path,
        """
        backup = make_database(path.with_name("backup.db"), "backup")
        whole = backup.read_bytes()
        with configured(path) as engine:
            write(engine, "mine")
            path.write_bytes(whole)
            for attempt in [(write, engine, "lost"), (notes_of, engine)]:
                reason = refused(*attempt)
                assert "app.db was overwritten while in use" in reason, reason
                assert "Restore a backup" in reason
            os.replace(backup, path)
            assert notes_of(engine) == ["backup"]
            write(engine, "after")
        assert notes_in(path) == ["backup", "after"]
        """,
    )


def test_close_with_truncated_index(path: Path) -> None:
    check(
        path,
        """
        with configured(path) as engine:
            write(engine, "mine")
            worker = threading.Thread(target=notes_of, args=[engine])
            worker.start()
            worker.join()
            os.truncate(index, 0)
        assert notes_in(path) == ["first", "mine"]
        """,
    )


def test_sqlite_file_changes_are_no_fault(path: Path) -> None:
    check(
        path,
        """
        BUSY = '''if True:
            import random, sqlite3, sys
            connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
            connection.execute("PRAGMA wal_autocheckpoint = 7")
            modes = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]
            for number in range(150):
                connection.execute("UPDATE note SET text = ?", [random.randbytes(9000).hex()])
                if number % 9 == 0:
                    connection.execute(f"PRAGMA wal_checkpoint({random.choice(modes)})").fetchall()
                if number % 50 == 0:
                    connection.execute("VACUUM")
        '''
        with configured(path, busy_timeout=30) as engine:
            notes_of(engine)
            programs = [subprocess.Popen([sys.executable, "-c", BUSY, path]) for _ in range(2)]
            while None in [program.poll() for program in programs]:
                with writing(engine) as connection, connection.begin():
                    connection.exec_driver_sql("UPDATE note SET text = 'mine'")
                assert len(notes_of(engine)) == 1
            assert [program.returncode for program in programs] == [0, 0]
            assert logged == []
        """,
    )
