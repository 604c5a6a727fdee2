"""Interpreter exit, and the fork."""

import os
from pathlib import Path

import pytest

from tests.pool.scripts import output_of

checked_or_not = pytest.mark.parametrize("check_same_thread", [False, True])


@checked_or_not
def test_silent_exit_with_connections_in_use(tmp_path: Path, check_same_thread: bool) -> None:
    script = """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)  # Python 3.13, of this program's leaks
        in_flight = engine.connect()
        in_flight.execute(text("CREATE TABLE note (text)"))
        other = []
        thread = threading.Thread(target=lambda: other.append(pool.connect()))
        thread.start()
        thread.join()
    """

    assert output_of(tmp_path, script, check_same_thread=check_same_thread) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@checked_or_not
def test_idle_closed_before_fork(tmp_path: Path, check_same_thread: bool) -> None:
    script = """
        def files():
            links = [os.path.realpath(f"/dev/fd/{fd}") for fd in range(3, 64)]
            return links.count(os.path.realpath(path))

        def idle(ready, end):
            pool.connect().close()
            ready.set()
            end.wait()

        ready, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=idle, args=(ready, end))
        thread.start()
        ready.wait()
        pool.connect().close()
        print("parent", pool.checkedin(), flush=True)
        child = os.fork()
        if not child:
            print("child", pool.checkedin(), files(), flush=True)
            with engine.connect() as connection:
                print("child reads", connection.scalar(text("SELECT 1")), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        end.set()
        thread.join()
        with engine.connect() as connection:
            print("parent reads", connection.scalar(text("SELECT 1")))
    """
    output = output_of(tmp_path, script, check_same_thread=check_same_thread)

    assert output.splitlines() == ["parent 2", "child 0 0", "child reads 1", "parent reads 1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_holds_locks(tmp_path: Path) -> None:
    script = """
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE note (text)"))
        asked, locked = os.pipe()
        finish, finished = os.pipe()
        child = os.fork()
        if not child:
            os.close(finished)
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO note VALUES ('child')"))
                os.write(locked, b"!")
                os.read(finish, 1)
            os._exit(0)
        os.read(asked, 1)
        stranger = sqlite3.connect(path, timeout=0)
        try:
            stranger.execute("INSERT INTO note VALUES ('parent')")
        except sqlite3.OperationalError as error:
            print(error)
        os.close(finished)
        os.waitpid(child, 0)
        print(stranger.execute("SELECT text FROM note").fetchall())
        stranger.close()
    """
    output = output_of(tmp_path, script, check_same_thread=False)

    assert output.splitlines() == ["database is locked", "[('child',)]"]
