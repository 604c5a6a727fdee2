"""The ends of things: of an engine nobody disposed of, of the interpreter, and of one at a fork."""

import gc
import os
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import pytest

import pool
from tests.pool.watched import Watch, Worker, make_engine, open_files, opened, pool_of

ROOT = Path(pool.__file__).parent.parent

checked_or_not = pytest.mark.parametrize("check_same_thread", [False, True])


# Python 3.13 reports what the collector reaches before it reaches the pool.
@pytest.mark.filterwarnings("ignore:unclosed database")
@checked_or_not
def test_an_engine_dropped_without_dispose_is_collected(
    tmp_path: Path, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()
    engines = [make_engine(tmp_path, watch, check_same_thread=check_same_thread)]
    dropped = weakref.ref(pool_of(engines[0]))
    with Worker() as worker:
        opened(engines[0])
        worker.run(lambda: opened(engines[0]))
        engines.clear()
        gc.collect()

        assert dropped() is None
        assert (watch.open(), open_files(tmp_path)) == (0, 0)
    assert caplog.records == []


def _output_of(folder: Path, script: str, *, check_same_thread: bool) -> str:
    """Run `script`, for which `path`, `engine` and `pool` are ready; return all that it prints."""
    start = f"""
        import os, sqlite3, sys, threading, time
        from sqlalchemy import create_engine, text
        from pool import ThreadLocalPool

        path = {str(folder / "blog.db")!r}
        engine = create_engine(
            "sqlite:///" + path,
            poolclass=ThreadLocalPool,
            connect_args={{"check_same_thread": {check_same_thread}}},
        )
        pool = engine.pool
    """
    finished = subprocess.run(
        [
            sys.executable,
            *("-X", "dev"),  # shows what is hidden otherwise: unclosed databases, for one
            *("-W", "ignore:This process:DeprecationWarning"),  # since 3.12, of fork and threads
            *("-c", textwrap.dedent(start) + textwrap.dedent(script)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@checked_or_not
def test_the_interpreter_ends_in_silence(tmp_path: Path, check_same_thread: bool) -> None:
    script = """
        def idle():
            pool.connect().close()

        def wait():
            idle()
            started.set()
            time.sleep(60)

        def work():
            while True:
                idle()

        started = threading.Event()
        idle()
        in_flight = pool.connect()
        threading.Thread(target=idle).start()
        threading.Thread(target=wait, daemon=True).start()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
        in_flight.close()
    """

    assert _output_of(tmp_path, script, check_same_thread=check_same_thread) == ""


@checked_or_not
def test_the_interpreter_ends_in_silence_with_connections_in_use(
    tmp_path: Path, check_same_thread: bool
) -> None:
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

    assert _output_of(tmp_path, script, check_same_thread=check_same_thread) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@checked_or_not
def test_idle_connections_are_closed_before_a_fork(tmp_path: Path, check_same_thread: bool) -> None:
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
    output = _output_of(tmp_path, script, check_same_thread=check_same_thread)

    assert output.splitlines() == ["parent 2", "child 0 0", "child reads 1", "parent reads 1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_holds_real_locks(tmp_path: Path) -> None:
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
    output = _output_of(tmp_path, script, check_same_thread=False)

    assert output.splitlines() == ["database is locked", "[('child',)]"]
