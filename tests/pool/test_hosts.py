"""Special hosts: sub-interpreters, greenlets, and an interpreter that exits early."""

import importlib.util
import sys
import textwrap
from pathlib import Path

import pytest
import sqlalchemy

from tests.pool.scripts import run

ROOT = Path(__file__).parents[2]

START = """
    import sys, threading
    from sqlalchemy import create_engine, text
    from pool import ThreadLocalPool

    def make(**options):
        engine = create_engine("sqlite:///" + path, poolclass=ThreadLocalPool, **options)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS note (text)"))
        return engine
"""


def _output_of(folder: Path, script: str, before: str = "") -> str:
    """Run `script` in another interpreter, where `path` is a file; return its output."""
    path = f"path = {(folder / 'blog.db').as_posix()!r}\n"
    parts = [before, path, START, script]
    return run("-c", "".join(textwrap.dedent(part) for part in parts))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="their module has another name there")
@pytest.mark.skipif(
    not sqlalchemy.__version__.startswith("2.0."),
    reason="SQLAlchemy 2.1 refuses to be imported in a sub-interpreter",
)
def test_sub_interpreter(tmp_path: Path) -> None:
    inner = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
path = {(tmp_path / "blog.db").as_posix()!r}
{textwrap.dedent(START)}
engine = make()
def work():
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO note VALUES ('one')"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
work()
with engine.connect() as connection:
    print(connection.scalar(text("SELECT count(*) FROM note")), engine.pool.status(), flush=True)
"""
    script = f"""
        import importlib
        name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
        interpreters = importlib.import_module(name)
        if sys.version_info >= (3, 13):
            one = interpreters.create("legacy")
        else:
            one = interpreters.create(isolated=False)
        failure = interpreters.run_string(one, {inner!r})
        if failure is not None:
            print(failure.formatted)
        interpreters.destroy(one)
        print("ended")
    """
    output = _output_of(tmp_path, script)

    status = "Threads: 1  Connections in pool: 0  Checked out connections: 1"
    assert output.splitlines() == [f"2 {status}", "ended"]


@pytest.mark.gevent
@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
@pytest.mark.parametrize("pool_size", [0, 5])
def test_gevent(tmp_path: Path, pool_size: int) -> None:
    script = f"""
        import gc, gevent
        from collections import Counter
        engine = make(pool_size={pool_size}, connect_args={{"timeout": 0}})
        in_use = Counter()
        shared = []

        def work():
            with engine.connect() as connection:
                mine = id(connection.connection.dbapi_connection)
                in_use[mine] += 1
                shared.extend([mine] if in_use[mine] > 1 else [])
                gevent.sleep(0.001)
                connection.execute(text("INSERT INTO note VALUES ('one')"))
                connection.commit()  # no other greenlet has run since the write
                in_use[mine] -= 1

        gevent.joinall([gevent.spawn(work) for _ in range(50)], raise_error=True)
        with engine.connect() as connection:
            print(connection.scalar(text("SELECT count(*) FROM note")), len(shared))
        gevent.sleep(0)  # the last one ends after it was waited for
        gc.collect()
        stats = engine.pool.stats()
        print(stats.in_use, stats.waiting, stats.open <= 1, stats.closed.get("lost", 0))
        engine.dispose()
        print(engine.pool.stats().open)
    """
    patch = "from gevent import monkey\nmonkey.patch_all()\n"

    assert _output_of(tmp_path, script, patch).splitlines() == ["50 0", "0 0 True 0", "0"]


def test_silent_exit_with_waiters(tmp_path: Path) -> None:
    script = """
        import warnings
        warnings.simplefilter("ignore", ResourceWarning)  # of Python 3.13, for what is in use
        engine = make(pool_size=1)
        held = engine.pool.connect()
        for _ in range(3):
            threading.Thread(target=engine.pool.connect, daemon=True).start()
        while engine.pool.stats().waiting < 3:
            pass
    """

    assert _output_of(tmp_path, script) == ""
