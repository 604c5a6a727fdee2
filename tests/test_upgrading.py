"""Upgrade of a large blog: forecast, progress, and the same result after any kills."""

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from blog.application import create_app
from blog.config import Config
from blog.database import connect
from blog.markup import render
from blog.operations import backfill, migration
from blog.operations.backfill import PORTION
from blog.operations.migration import HEAD
from tests.conftest import BlogClient
from tests.locks import write_lock
from tests.processes import PATIENCE, THREADLEAF, WINE, environment
from tests.test_cli import done, make_seed, rows, run

pytestmark = pytest.mark.long

ENTRIES = 2 * PORTION + 50

#: The data that every upgrade produces identically. The uids are random.
CONTENTS = [
    "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY type, name",
    "SELECT id, title, body, timestamp, featured, slug, state, format, kind FROM entry ORDER BY id",
    "SELECT count(*), count(DISTINCT uid) FROM entry",
    "SELECT id, entry_id, text, name, state, format FROM comment ORDER BY id",
    "SELECT * FROM rendering ORDER BY entry_id",
    "SELECT * FROM month ORDER BY month",
    "SELECT rowid, * FROM search_index ORDER BY rowid",
    "SELECT rowid FROM search_index WHERE search_index MATCH 'gravel' ORDER BY rowid",
    "PRAGMA integrity_check",
]


def make_large_seed(path: Path, entries: int = ENTRIES) -> None:
    make_seed(path)
    with closing(sqlite3.connect(path)) as shell, shell:
        for number in range(1, entries + 1):
            moment = f"{datetime(2013, 1, 1) + timedelta(hours=number)}.000000"  # noqa: DTZ001
            body = f"*Gravel* and {number}." if number % 3 else f"# Sand\n\nHeap {number}."
            entry = (number, f"Day {number % 100}", body, moment, number % 9 == 0)
            shell.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", entry)
            comment = (number, number, f"Seen {number}.", "Ann" if number % 2 else None)
            shell.execute("INSERT INTO comment VALUES (?, ?, ?, ?)", comment)


@pytest.fixture(scope="module")
def large_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "seed.db"
    make_large_seed(path)
    return path


@pytest.fixture(scope="module")
def upgraded(large_seed: Path) -> Path:
    """The same database after an uninterrupted upgrade."""
    path = large_seed.with_name("upgraded.db")
    path.write_bytes(large_seed.read_bytes())
    done(path.parent, "upgrade", THREADLEAF_DATABASE=path.name)
    return path


@pytest.fixture
def database(tmp_path: Path, large_seed: Path) -> Path:
    path = tmp_path / "blog.db"
    path.write_bytes(large_seed.read_bytes())
    return path


def test_upgrade_forecast(tmp_path: Path, database: Path) -> None:
    said = done(tmp_path, "upgrade", THREADLEAF_DATABASE="blog.db")

    assert said.startswith(
        f"To render: {ENTRIES} entries. To index: {2 * ENTRIES:,} texts.\n"
        "Estimated time: less than a minute. Disk space: up to "
    )
    assert said.endswith(f"blog.db from schema 0001 to {HEAD}.\n")
    needed = re.search(r"up to (\d+) MB more; 0 MB now", said)
    assert needed
    assert database.stat().st_size < int(needed[1]) * 1_000_000


@pytest.mark.skipif(os.name != "posix", reason="needs sparse files")
def test_upgrade_on_small_disk_is_refused(tmp_path: Path, database: Path) -> None:
    before = rows(database, "SELECT * FROM sqlite_master")
    os.truncate(database, shutil.disk_usage(tmp_path).free // 2 + 2**20)

    result = run(tmp_path, "upgrade", THREADLEAF_DATABASE="blog.db")
    assert result.returncode == 1
    assert re.search(
        r"blog\.db was not changed: the upgrade may need [\d,]+ MB, and its disk has "
        r"[\d,]+ MB free\. Free some space, or move the database\.\n$",
        result.stderr,
    )
    assert rows(database, "SELECT * FROM sqlite_master") == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_bars_advance(tmp_path: Path, database: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*THREADLEAF, "upgrade"],
        cwd=tmp_path,
        env=environment(THREADLEAF_DATABASE="blog.db", TERM="xterm"),
        stdout=theirs,
    ):
        os.close(theirs)
        said = b""
        with suppress(OSError):  # Linux raises an error at the end of a terminal
            while part := os.read(ours, 4096):
                said += part
    os.close(ours)
    for label in ("Schema", "Rendering", "Indexing"):
        shown = {int(n) for n in re.findall(rf"{label} .*?(\d+)%", said.decode())}
        assert {0, 100} < shown, label


def test_current_schema_returns_at_once(tmp_path: Path, database: Path, upgraded: Path) -> None:
    database.write_bytes(upgraded.read_bytes())

    with write_lock(database):
        said = done(tmp_path, "upgrade", THREADLEAF_DATABASE="blog.db")
    assert said == f"{database} is already up to date.\n"


def test_concurrent_renderings_and_edits(tmp_path: Path) -> None:
    path = tmp_path / "blog.db"
    make_large_seed(path, backfill.WORTH_PROCESSES)
    engine = connect(f"sqlite:///{path.as_posix()}")
    migration.upgrade(engine)

    def render_all() -> int:
        """Return the number of rendered entries, each with the rendering of its text."""
        with engine.connect() as connection:
            ids = backfill.unrendered(connection)
        for number, _ in enumerate(backfill.render_all(engine, ids)):
            if number == 0:  # other portions have been read but not stored
                with closing(sqlite3.connect(path)) as shell, shell:
                    shell.execute("UPDATE entry SET body = body || ' Edited.' WHERE id % 2")
        stored = rows(
            path, "SELECT body, format, html, text FROM rendering JOIN entry ON id = entry_id"
        )
        for body, format_, html, words in stored:
            rendered = render(body, format_)
            assert (html, words) == (rendered.html, rendered.text)
        return len(stored)

    assert render_all() < backfill.WORTH_PROCESSES
    with engine.connect() as connection:
        ids = backfill.unrendered(connection)
    list(backfill.render_all(engine, ids))
    with engine.connect() as connection:
        assert backfill.unrendered(connection) == []
    engine.dispose()


# Interrupted upgrades

#: Code that limits the size of files, like a full disk, or sends Ctrl-C.
STOPPED = {
    "full disk": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))",
    "Ctrl-C": "import signal; from sqlalchemy import Engine, event\n"
    "@event.listens_for(Engine, 'before_cursor_execute')\n"
    "def _(connection, cursor, sql, *_):\n"
    "    if 'INSERT INTO _alembic_tmp_entry' in sql: signal.raise_signal(signal.SIGINT)",
}


def upgrade(folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process with the arguments of `threadleaf upgrade`."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "upgrade"],
        cwd=folder,
        env=environment(THREADLEAF_DATABASE="blog.db"),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("stop", "code", "said"),
    [
        pytest.param(
            *("full disk", 1, "blog.db cannot be used ("),
            marks=pytest.mark.skipif(os.name != "posix", reason="needs a limit on file size"),
        ),
        ("Ctrl-C", 130, "Stopped. Finished work is saved; "),
    ],
)
def test_stopped_upgrade_changes_nothing(
    tmp_path: Path, database: Path, stop: str, code: int, said: str
) -> None:
    before = rows(database, "SELECT * FROM sqlite_master")
    result = upgrade(tmp_path, f"{STOPPED[stop]}\nfrom blog.cli.main import main\nmain()")
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode == code
    assert rows(database, "SELECT * FROM sqlite_master") == before


#: Code that ends the process, like a power cut, before the given statement or commit.
KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
left = int(sys.argv.pop(1))
def count(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "before_cursor_execute", count)
event.listen(Engine, "commit", count)
from blog.cli.main import main
main()
print("ended with", left, "left", file=sys.stderr)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("seed", range(3))
def test_killed_upgrade_is_resumable(
    tmp_path: Path, database: Path, upgraded: Path, seed: int
) -> None:
    chance = random.Random(seed)
    # Among the 575 statements of the schema, the 40 of the portions, and the rest.
    for at in (chance.randint(1, 570), chance.randint(575, 612), chance.randint(30, 60)):
        killed = subprocess.run(
            [sys.executable, "-W", "error", "-c", KILLED, str(at), "upgrade"],
            cwd=tmp_path,
            env=environment(THREADLEAF_DATABASE="blog.db"),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert killed.returncode in {-signal.SIGKILL, 0}, killed.stderr
        # No change or the whole schema: either the old or the new code can serve.
        with closing(sqlite3.connect(database)) as shell:
            columns = {row[1] for row in shell.execute("PRAGMA table_info(entry)")}
            tables = {row[0] for row in shell.execute("SELECT name FROM sqlite_master")}
        assert ("slug" in columns) == ("search_index" in tables) == ("alembic_version" in tables)

    done(tmp_path, "upgrade", THREADLEAF_DATABASE="blog.db")
    for query in CONTENTS:
        assert rows(database, query) == rows(upgraded, query), query


#: Code that kills the rendering processes, like a system out of memory.
STARVED = """
import multiprocessing
from sqlalchemy import Engine, event
def end(*arguments):
    for process in multiprocessing.active_children():
        process.kill()
event.listen(Engine, "before_cursor_execute", end)
from blog.cli.main import main
main()
"""


# A process pool could hang on Windows until 3.11.6, and the Python for wine may be older.
@pytest.mark.skipif(WINE, reason="see https://github.com/python/cpython/issues/107219")
@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two processors")
def test_killed_process_is_explained(tmp_path: Path) -> None:
    make_large_seed(tmp_path / "blog.db", backfill.WORTH_PROCESSES)
    starved = upgrade(tmp_path, STARVED)
    assert starved.returncode == 1
    assert starved.stderr == (
        "threadleaf: A process of the upgrade was killed, perhaps because memory ran out. Finished "
        "work is saved: free some memory, then run `threadleaf upgrade` again.\n"
    )


def interrupt(path: Path) -> None:
    """Make an upgraded database look as if the upgrade was killed after the first portion."""
    engine = connect(f"sqlite:///{path.as_posix()}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM rendering WHERE entry_id > {PORTION}")
        lacking = "FROM search_index WHERE rowid < 0 OR rowid > ?"
        connection.exec_driver_sql(f"INSERT INTO search_stale SELECT rowid {lacking}", (PORTION,))
        connection.exec_driver_sql(f"DELETE {lacking}", (PORTION,))
    engine.dispose()


def test_serve_reports_interrupted_upgrade(
    database: Path, upgraded: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database.write_bytes(upgraded.read_bytes())
    interrupt(database)

    app = create_app(Config(database=f"sqlite:///{database.as_posix()}"))
    client = BlogClient(app)
    assert client.get("/blog/day-7").status_code == 200
    lacking = 2 * ENTRIES - PORTION - PORTION  # one was indexed by a write at the start
    assert caplog.messages == [
        f"{lacking} texts are not indexed yet, because an upgrade was interrupted or another "
        "program changed them: run `threadleaf upgrade`, or the next searches take longer."
    ]
    app.engine.dispose()
