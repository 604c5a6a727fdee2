"""The pool with fewer connections than server threads, on Apache and on waitress."""

import json
import shutil
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from sqlalchemy import create_engine, text

from pool import ThreadLocalPool
from tests.apache import Apache, daemon, embedded, hammer, missing, open_directory
from tests.pool.servers import waitress_threads
from tests.pool.thread_kinds import eventually
from tests.processes import ROOT
from tests.test_apache import answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

pytestmark = pytest.mark.timeout(120)

SIZE = 4

# Responds with 500 if the pool exceeds its limit, and holds each connection long enough for
# others to need one.
SCRIPT = """
import json, os, time
from pathlib import Path

from sqlalchemy import create_engine, text

from pool import ThreadLocalPool

settings = json.loads(Path(__file__).with_name("settings.json").read_text())
engine = create_engine(
    "sqlite:///" + settings["database"],
    poolclass=ThreadLocalPool,
    pool_size=settings["size"],
    connect_args={"check_same_thread": settings["check_same_thread"], "timeout": 30},
)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/stats":
        stats = engine.pool.stats()
        answer = {"process": os.getpid(), **vars(stats), "closed": dict(stats.closed)}
    else:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO visit VALUES (1)"))
            time.sleep(0.001)
            answer = connection.scalar(text("SELECT count(*) FROM visit"))
            assert engine.pool.stats().open <= settings["size"]
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Files:
    """Counts the open descriptors of a database by process, until the block ends."""

    def __init__(self, database: Path) -> None:
        self._database = str(database)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        #: The maximum of each process.
        self.most: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.most |= self.now()

    def now(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                for link in (process / "fd").iterdir():
                    found[process.name] += str(link.readlink()) == self._database
            except OSError:  # the process has ended, or belongs to another user
                continue
        return +found


class Site:
    """An application in a folder readable by Apache's user."""

    def __init__(self, folder: Path, *, check_same_thread: bool) -> None:
        self.folder = folder
        self.script = folder / "app" / "app.wsgi"
        self.database = folder / "data" / "visits.db"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "pool", folder / "app" / "pool", ignore=ignore)
        self.script.write_text(SCRIPT, encoding="utf-8")
        settings = {
            "database": str(self.database),
            "size": SIZE,
            "check_same_thread": check_same_thread,
        }
        self.script.with_name("settings.json").write_text(json.dumps(settings), encoding="utf-8")
        self.database.parent.mkdir()
        _make_database(self.database)

    def visits(self) -> int:
        return _visits(self.database)

    def was_closed(self) -> bool:
        """Whether the only process that used the database has closed it before exiting.

        SQLite then removes the write-ahead log. Two processes that close it at the same
        moment may both leave it, each expecting the other to be last.
        """
        return not self.database.with_name("visits.db-wal").exists()


def _make_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE visit (one)")
    connection.close()


def _visits(path: Path) -> int:
    connection = sqlite3.connect(path)
    count: int = connection.execute("SELECT count(*) FROM visit").fetchone()[0]
    connection.close()
    return count


@pytest.fixture(params=[False, True], ids=["unchecked", "check_same_thread"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    with open_directory() as folder:
        site = Site(folder, check_same_thread=request.param)
        reason = missing(site.script)
        if reason is not None:
            pytest.skip(reason)
        yield site


@pytest.mark.apache
@pytest.mark.parametrize("mode", [daemon, embedded])
def test_pool_on_apache_shares_connections(site: Site, mode: Callable[..., str]) -> None:
    with (
        Apache(site.folder, mode(site.script, processes=1, threads=15)) as apache,
        Files(site.database) as files,
    ):
        assert hammer([f"{apache.url}/"], total=1000, at_a_time=30) == {200: 1000}

        stats = answer(f"{apache.url}/stats")
        assert files.now() == {str(stats["process"]): stats["open"]}
        assert 0 < stats["open"] <= stats["size"] == SIZE
        assert (stats["in_use"], stats["waiting"], stats["timeouts"]) == (0, 0, 0)
        assert stats["waits"] > 0
        assert "Traceback" not in apache.log()
    assert max(files.most.values()) <= SIZE
    assert files.now() == {}
    assert site.was_closed()
    assert site.visits() >= 1000  # plus one for each check whether Apache responds


@pytest.mark.apache
@pytest.mark.parametrize("mode", [daemon, embedded])
def test_pool_on_apache_closes_on_exit(site: Site, mode: Callable[..., str]) -> None:
    lines = mode(site.script, processes=2, threads=15)
    if mode is daemon:
        lines = lines.replace("graceful-timeout=15", "graceful-timeout=1 maximum-requests=200")
    else:
        lines += "\nMaxConnectionsPerChild 200\n"
    with Apache(site.folder, lines) as apache, Files(site.database) as files:
        assert hammer([f"{apache.url}/"], total=100, at_a_time=30) == {200: 100}
        first = set(files.now())
        assert hammer([f"{apache.url}/"], total=900, at_a_time=30) == {200: 900}
        # With 200 requests per process, the first two cannot have served all of them.
        assert eventually(lambda: bool(first - files.now().keys()))
        assert hammer([f"{apache.url}/"], total=100, at_a_time=30) == {200: 100}
        assert "Traceback" not in apache.log()
        assert "exit signal" not in apache.log()
    assert max(files.most.values()) <= SIZE
    assert files.now() == {}


@pytest.mark.parametrize("check_same_thread", [False, True])
def test_pool_on_waitress_shares_connections(
    tmp_path: Path, check_same_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "visits.db"
    _make_database(database)
    engine = create_engine(
        f"sqlite:///{database}",
        poolclass=ThreadLocalPool,
        pool_size=SIZE,
        connect_args={"check_same_thread": check_same_thread, "timeout": 30},
    )
    pool = engine.pool
    assert isinstance(pool, ThreadLocalPool)
    crowds: list[int] = []

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO visit VALUES (1)"))
            crowds.append(pool.stats().open)
        start_response("204 No Content", [])
        return []

    with waitress_threads(application) as address:
        assert hammer([address], total=1000, at_a_time=16) == {204: 1000}
        stats = pool.stats()
        assert 0 < stats.open == stats.idle <= SIZE
        assert stats.waits > 0
        assert stats.timeouts == 0

    assert max(crowds) <= SIZE
    # The server does not join its threads.
    assert eventually(lambda: (pool.stats().open, pool.stats().threads) == (0, 0))
    assert not database.with_name("visits.db-wal").exists()
    assert _visits(database) == 1000
    assert [record for record in caplog.records if record.name.startswith("sqlalchemy")] == []
