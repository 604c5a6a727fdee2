"""G7, the fork, tested in separate processes."""

import os
import sys
from pathlib import Path

import pytest

from tests.pool.scripts import output_of

checked_or_not = pytest.mark.parametrize("check_same_thread", [False, True])

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


# G7 A forked process neither uses nor closes what it inherited, and its own connections hold locks.


@can_fork
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks is of Linux")
@checked_or_not
def test_g07_fork_child_holds_locks(tmp_path: Path, check_same_thread: bool) -> None:
    script = """
        def locks():
            with open("/proc/locks") as lines:
                return sum(line.split()[4] == str(os.getpid()) for line in lines)

        def read():
            with engine.connect() as connection:
                connection.execute(text("BEGIN"))
                connection.execute(text("SELECT * FROM note")).all()
                return locks()

        def idle():
            read()
            ready.set()
            end.wait()

        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode = WAL"))
            connection.execute(text("CREATE TABLE note (text)"))
        ready, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=idle)
        thread.start()
        ready.wait()
        print("parent", read(), flush=True)
        child = os.fork()
        if not child:
            print("child", read(), flush=True)
            sys.exit()
        os.waitpid(child, 0)
        end.set()
        thread.join()
        print("parent", read())
    """
    output = output_of(tmp_path, script, check_same_thread=check_same_thread)

    # Three for a reader: the database, its log, and a place in the log.
    before, in_child, after = output.splitlines()
    assert in_child == "child 3"
    assert (before, after) == ("parent 3", "parent 3")


@can_fork
@checked_or_not
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_g07_fork_child_refuses_sqlite(
    tmp_path: Path, journal: str, check_same_thread: bool
) -> None:
    script = f"""
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.orm import scoped_session, sessionmaker

        def refused(use):
            try:
                use()
            except SQLAlchemyError as error:
                print(type(error).__name__, flush=True)

        def files():
            links = (os.path.realpath(f"/dev/fd/{{fd}}") for fd in range(3, 64))
            return sum(link.startswith(os.path.realpath(path)) for link in links)

        def read():
            sessions.execute(text("BEGIN"))
            sessions.execute(text("SELECT * FROM note")).all()
            reading.set()
            end.wait()
            sessions.remove()

        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode = {journal}"))
            connection.execute(text("CREATE TABLE note (text)"))
        held, raw = engine.connect(), engine.raw_connection()
        held.execute(text("INSERT INTO note VALUES ('before')"))
        sessions = scoped_session(sessionmaker(engine))
        reading, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=read)
        thread.start()
        reading.wait()
        before = files()
        child = os.fork()
        if not child:
            refused(engine.connect)
            refused(lambda: held.execute(text("INSERT INTO note VALUES ('child')")))
            refused(raw.cursor)
            held.close()
            raw.close()
            engine.dispose(close=False)
            refused(engine.connect)
            print("closed", before - files(), flush=True)
            sys.exit()
        print("child ended with", os.waitpid(child, 0)[1])
        stranger = sqlite3.connect(path, timeout=0)
        try:
            stranger.execute("INSERT INTO note VALUES ('stranger')")
        except sqlite3.OperationalError as error:
            print(error)
        held.execute(text("INSERT INTO note VALUES ('after')"))
        end.set()
        thread.join()
        held.commit()
        held.close()
        raw.close()
        print(stranger.execute("SELECT text FROM note").fetchall())
        print(stranger.execute("PRAGMA integrity_check").fetchone())
        stranger.close()
        with engine.connect() as connection:
            print("parent reads", connection.scalar(text("SELECT count(*) FROM note")))
    """
    output = output_of(tmp_path, script, check_same_thread=check_same_thread)

    assert output.splitlines() == [
        "ForkedInUseError",
        "StatementError",
        "InvalidRequestError",
        "ForkedInUseError",
        "closed 0",
        "child ended with 0",
        "database is locked",
        "[('before',), ('after',)]",
        "('ok',)",
        "parent reads 2",
    ]


@can_fork
def test_g07_fork_after_dispose(tmp_path: Path) -> None:
    script = """
        held = engine.raw_connection()
        held.cursor().execute("CREATE TABLE note (text)")
        engine.dispose()
        child = os.fork()
        if not child:
            try:
                engine.connect()
            except ForkedInUseError:
                print("refused", flush=True)
            sys.exit()
        print("child ended with", os.waitpid(child, 0)[1])
        held.close()
    """

    assert output_of(tmp_path, script).splitlines() == ["refused", "child ended with 0"]


@can_fork
def test_g07_fork_during_checkout(
    tmp_path: Path,
) -> None:
    # Runs after the pool's handler, and lets other threads run until the fork itself.
    before = """
        import os, threading

        opened, about_to_fork = threading.Event(), threading.Event()

        def wait():
            about_to_fork.set()
            opened.wait()

        os.register_at_fork(before=wait)
    """
    script = """
        def write():
            about_to_fork.wait()
            local.connection = pool.connect()
            local.connection.cursor().execute("INSERT INTO note VALUES ('kept')")
            opened.set()
            end.wait()
            local.connection.commit()
            local.connection.close()

        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE note (text)"))
        local, end = threading.local(), threading.Event()
        thread = threading.Thread(target=write)
        thread.start()
        child = os.fork()
        if not child:
            try:
                pool.connect()
            except ForkedInUseError:
                print("refused", flush=True)
            sys.exit()
        print("child ended with", os.waitpid(child, 0)[1])
        end.set()
        thread.join()
        with engine.connect() as connection:
            print(connection.execute(text("SELECT text FROM note")).all())
    """
    output = output_of(tmp_path, script, before=before)

    assert output.splitlines() == ["refused", "child ended with 0", "[('kept',)]"]


@can_fork
def test_g07_fork_child_reconnects(tmp_path: Path) -> None:
    script = """
        class Remote:
            def __init__(self):
                self.owner = os.getpid()

            def end(self):
                if self.owner != os.getpid():
                    print("the child ended what the parent opened", flush=True)

            rollback = close = __del__ = end

        pool = ThreadLocalPool(Remote)
        pool.connect().close()
        held = [pool.connect()]
        child = os.fork()
        if not child:
            print("own", pool.connect().dbapi_connection.owner == os.getpid(), flush=True)
            held[0].close()
            held.clear()
            pool.dispose()
            sys.exit()
        print("child ended with", os.waitpid(child, 0)[1])
        print("still there", held[0].is_valid)
        held[0].close()
    """

    assert output_of(tmp_path, script).splitlines() == [
        "own True",
        "child ended with 0",
        "still there True",
    ]
