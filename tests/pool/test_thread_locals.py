"""Threads that end with sessions or connections in their thread-local storage.

A web application without its teardown leaves them: Flask's `scoped_session` without `remove()`, for
one. The interpreter clears that storage in the order in which it was filled, so the pool's own part
comes before or after the application's.
"""

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.pool.thread_kinds import Work, eventually, kinds_of_thread
from tests.pool.watched import Watch, make_engine, notes, open_files, opened, pool_of

ROOT = Path(__file__).parents[2]

# What is first in thread-local storage, and so is cleared first.
either_first = pytest.mark.parametrize("pool_first", [True, False], ids=["pool", "application"])

Run = Callable[[Work], None]
Use = Callable[[Engine], object]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(params=[False, True], ids=["unchecked", "check_same_thread"])
def engine(tmp_path: Path, watch: Watch, request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(tmp_path, watch, check_same_thread=request.param)
    yield engine
    engine.dispose()


def _write(session: Session | scoped_session[Session]) -> None:
    session.execute(text("INSERT INTO note VALUES ('a note')"))


def _nothing_is_left(engine: Engine, folder: Path, watch: Watch) -> bool:
    """Whether all is closed after the garbage collector has run."""
    gc.collect()
    stats = pool_of(engine).stats()
    return (stats.open, stats.threads, watch.open(), open_files(folder)) == (0, 0, 0, 0)


def _fill(engine: Engine, local: threading.local, use: Use, *, pool_first: bool) -> None:
    if pool_first:
        opened(engine)
    local.first = []
    local.used = use(engine)


def _session_in_transaction(engine: Engine) -> object:
    session = Session(engine)
    _write(session)
    return session


def _session_that_committed(engine: Engine) -> object:
    session = Session(engine)
    _write(session)
    session.commit()
    return session


def _session_with_a_result_half_read(engine: Engine) -> object:
    session = Session(engine)
    result = session.execute(text("SELECT 1 UNION SELECT 2"), execution_options={"yield_per": 1})
    result.fetchone()
    return session, result


def _connection_in_transaction(engine: Engine) -> object:
    connection = engine.connect()
    connection.execute(text("INSERT INTO note VALUES ('a note')"))
    return connection


@kinds_of_thread
@either_first
@pytest.mark.parametrize(
    "use",
    [
        _session_in_transaction,
        _session_that_committed,
        _session_with_a_result_half_read,
        _connection_in_transaction,
    ],
)
def test_thread_local_leftovers_are_closed(
    engine: Engine, tmp_path: Path, watch: Watch, run: Run, use: Use, pool_first: bool
) -> None:
    local = threading.local()

    run(lambda: _fill(engine, local, use, pool_first=pool_first))

    assert eventually(lambda: _nothing_is_left(engine, tmp_path, watch))
    # Uncommitted changes are rolled back, and the lock is released.
    assert notes(tmp_path) == (["a note"] if use is _session_that_committed else [])


@kinds_of_thread
def test_scoped_session_never_removed(
    engine: Engine, tmp_path: Path, watch: Watch, run: Run
) -> None:
    registry = scoped_session(sessionmaker(engine))

    def request() -> None:
        assert registry.scalars(text("SELECT text FROM note")).all() == []

    for _ in range(30):
        run(request)

    assert eventually(lambda: _nothing_is_left(engine, tmp_path, watch))
    assert watch.made == 30


@kinds_of_thread
def test_unremoved_session_stays_in_transaction(
    engine: Engine, tmp_path: Path, watch: Watch, run: Run
) -> None:
    registry = scoped_session(sessionmaker(engine))

    def two_requests() -> None:
        _write(registry())
        assert pool_of(engine).checkedout() == 1
        assert registry.scalars(text("SELECT text FROM note")).all() == ["a note"]
        assert pool_of(engine).checkedout() == 1

    run(two_requests)

    assert eventually(lambda: _nothing_is_left(engine, tmp_path, watch))
    assert (watch.made, notes(tmp_path)) == (1, [])


@kinds_of_thread
def test_forgotten_sessions_within_limit(tmp_path: Path, watch: Watch, run: Run) -> None:
    engine = make_engine(tmp_path, watch, pool_size=2, pool_timeout=10)
    registry = scoped_session(sessionmaker(engine))

    def request() -> None:
        assert registry.scalars(text("SELECT text FROM note")).all() == []

    for _ in range(20):
        run(request)
        # What a thread leaves in a cycle is in use until the garbage collector runs.
        gc.collect()

    assert eventually(lambda: _nothing_is_left(engine, tmp_path, watch))
    assert pool_of(engine).stats().timeouts == 0


# A connection by itself forms no cycle: it is closed while the thread's storage is cleared.
# The interpreter crashes easily then, so this runs in one of its own.

_PROGRAM = """
import sys, tempfile, threading
from pathlib import Path

from tests.pool.thread_kinds import eventually, in_bare_thread, in_c_thread, in_python_thread
from tests.pool.watched import make_engine, open_files, pool_of, write

case = sys.argv[1]


def end_with_a_connection(folder, run, check_same_thread):
    engine = make_engine(
        folder, pool_size=int(case == "limit"), check_same_thread=check_same_thread
    )
    pool = pool_of(engine)
    local = threading.local()
    waiting = []

    def work():
        if case == "pool first":
            engine.raw_connection().close()
        local.first = []
        local.used = engine.raw_connection()
        write(local.used, "not committed")
        if case == "dispose":
            pool.dispose()
        if case == "limit":
            # Somebody is in line, so that the connection is closed as it is returned.
            waiting.append(threading.Thread(target=lambda: engine.raw_connection().close()))
            waiting[-1].start()
            assert eventually(lambda: pool.stats().waiting == 1)

    for _ in range(3):
        run(work)
        while waiting:
            waiting.pop().join()
        assert eventually(lambda: (pool.stats().open, pool.stats().threads) == (0, 0))
    assert eventually(lambda: open_files(folder) == 0)
    engine.dispose()


for run in in_python_thread, in_bare_thread, in_c_thread:
    if run is in_c_thread and sys.platform != "linux":
        continue
    for check_same_thread in False, True:
        with tempfile.TemporaryDirectory() as folder:
            end_with_a_connection(Path(folder).resolve(), run, check_same_thread)
print("done")
"""


@pytest.mark.parametrize("case", ["pool first", "application first", "dispose", "limit"])
def test_ending_thread_closes_connection_in_use(case: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, case],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
