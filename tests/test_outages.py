"""Outages: pages for visitors, and log lines that tell the operator the remedy."""

import errno
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from blog.application import Blog, create_app
from blog.config import Config
from blog.operations import migration
from blog.operations.outages import QUIET, Outage, Outages, outage
from tests.apache import open_directory
from tests.conftest import BlogClient, MakeEntry
from tests.locks import write_lock
from tests.processes import PATIENCE, THREADLEAF, Server, environment
from tests.test_cli import blog, new_blog  # noqa: F401 - fixtures


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged messages; none may have a traceback."""
    assert [record for record in caplog.records if record.exc_info] == []
    return [record.getMessage() for record in caplog.records]


# Failing requests


@contextmanager
def failing(engine: Engine, *statements: str) -> Iterator[None]:
    """Make SQLite itself fail on each connection while the block runs."""

    def fail(connection: sqlite3.Connection, _: object) -> None:
        for statement in statements:
            connection.execute(statement)

    event.listen(engine, "connect", fail)
    engine.dispose()
    yield
    event.remove(engine, "connect", fail)
    engine.dispose()


@contextmanager
def another_writer(engine: Engine) -> Iterator[None]:
    with (
        failing(engine, "PRAGMA busy_timeout = 0"),
        write_lock(engine.url.database),
    ):
        yield


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            lambda engine: failing(engine, "PRAGMA max_page_count = 1"),
            "cannot be used (database or disk is full): free space on the disk of {folder} (",
        ),
        (
            lambda engine: failing(engine, "PRAGMA query_only = ON"),
            "cannot be used (attempt to write a readonly database): let the user ",
        ),
        (
            another_writer,
            "cannot be used (database is locked): stop the other program that is writing to it",
        ),
    ],
    ids=["full", "read-only", "locked"],
)
def test_unstorable_comment_gets_503(
    app: Blog,
    engine: Engine,
    make_entry: MakeEntry,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[Engine], Iterator[None]],
    said: str,
) -> None:
    make_entry()
    client = BlogClient(Blog(replace(app.config, comment_length=50_000), engine, app.secret))
    with fault(engine):  # type: ignore[attr-defined]
        for number in range(3):
            # Larger than the free space in the file.
            response = client.send_comment(
                "a-title", text=f"Long thought {number} " + "x " * 20_000
            )
            assert response.status_code == 503
            assert f"Long thought {number}" in response.text
            # Serving readers does not end the outage.
            assert client.get(f"/blog/search?q=a{number}").status_code == 200
    assert client.send_comment("a-title", text="Long thought").status_code == 303

    (line,) = lines(caplog)
    path = Path(str(engine.url.database))
    assert line.startswith(
        f"POST /blog/a-title/comments: The database {path} {said}".format(folder=path.parent)
    )


DATES = [
    ("entry", "timestamp"),
    ("entry", "updated"),
    ("comment", "created"),
    ("site", "changed"),
]


@pytest.mark.parametrize(("table", "column"), DATES)
@pytest.mark.parametrize("value", ["2026-13-45", "yesterday", "2020-02-31 00:00:00", 7, b"x"])
def test_invalid_date_in_database(
    client: BlogClient,
    engine: Engine,
    make_entry: MakeEntry,
    make_comment: Callable[..., object],
    caplog: pytest.LogCaptureFixture,
    table: str,
    column: str,
    value: object,
) -> None:
    make_comment(make_entry())
    make_entry("Another")
    with closing(sqlite3.connect(str(engine.url.database))) as shell, shell:
        shell.execute(f"UPDATE {table} SET {column} = ? WHERE id = 1", (value,))

    paths = ["/blog", "/blog/another", "/blog/feed.atom", "/sitemap.xml", "/blog/search?q=title"]
    assert {client.get(path).status_code for path in paths} <= {200, 503}
    assert client.get("/blog/a-title").status_code == 503
    (line,) = lines(caplog)
    assert f"({value!r} is not a date): correct that row" in line
    assert "PRAGMA integrity_check" in line


@pytest.mark.parametrize(
    "name",
    [
        "entry",
        "sqlite_autoindex_entry_1",
        "ix_entry_page",
        "rendering",
        "sqlite_autoindex_redirect_1",
        "sqlite_autoindex_entry_tag_1",
        "search_index_data",
        "ix_comment_entry_id",
        "month",
    ],
)
def test_damaged_database_page(
    config: Config,
    engine: Engine,
    app: Blog,
    make_entry: MakeEntry,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    make_entry(tags=("tea",))
    engine.dispose()
    path = Path(str(engine.url.database))
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = shell.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)
        ).fetchone()
        (size,) = shell.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * 200)

    client = BlogClient(Blog(config, engine, app.secret))
    found = {
        path: client.get(path).status_code
        for path in (
            "/blog/a-title",
            "/blog",
            "/blog/archive",
            "/blog/search?q=title",
            "/blog/tag/tea",
            "/none",
        )
    }
    assert found.pop("/none") in {404, 503}
    assert set(found.values()) <= {200, 503}
    (line,) = lines(caplog)
    assert line.endswith("check it with `PRAGMA integrity_check`, and restore a backup.")


def test_missing_site_row_stops_start(config: Config, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM site"))

    with pytest.raises(migration.DatabaseUnusableError, match="restore a backup"):
        create_app(config)


def test_missing_site_row_while_serving(
    client: BlogClient, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM site"))

    paths = ["/blog", "/blog/feed.atom", "/sitemap.xml", "/healthz"]
    assert [client.get(path).status_code for path in paths] == [503] * 4
    (line,) = lines(caplog)
    assert "(its table site has no row): " in line
    assert "restore a backup" in line


# Classification of errors


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EIO, "check the disk of "),
        (errno.EACCES, "check that its folder exists and that "),
        (errno.ENOENT, "check that its folder exists and that "),
        (errno.ENOSPC, "free space on the disk of "),
        (errno.EROFS, "write to the file and to its folder"),
        (errno.EMFILE, "`ulimit -n`"),
        (errno.ENXIO, "check that it exists"),
    ],
)
def test_errors_of_operating_system(app: Blog, engine: Engine, number: int, remedy: str) -> None:
    name = str(engine.url.database)
    for path, subject in [
        (name, f"The database {Path(name)}"),
        ("/x/a.css", f"The file {Path('/x/a.css')}"),
    ]:
        sentence = str(outage(engine, OSError(number, os.strerror(number), path)))
        assert sentence.startswith(f"{subject} cannot be used ({os.strerror(number)}): ")
        assert remedy in sentence


def test_programming_error_is_not_an_outage(engine: Engine) -> None:
    for statement in ("SELEC 1", "SELECT nothing(1)", "INSERT INTO site (id) VALUES (1)"):
        with engine.connect() as connection, pytest.raises(DBAPIError) as raised:
            connection.exec_driver_sql(statement)
        assert outage(engine, raised.value) is None
    for error in (ValueError("x"), LookupError(), OSError("a message")):
        assert outage(engine, error) is None


# Start and end of an outage

FULL, AWAY = (
    Outage(subject, "reason", remedy, None)
    for subject, remedy in (("The disk", "free space"), ("The server", "start it"))
)


@given(
    st.lists(
        st.tuples(st.integers(0, 10), st.sampled_from([FULL, AWAY, None]), st.booleans()),
        max_size=40,
    )
)
def test_outage_is_logged_twice_with_count(
    requests: list[tuple[int, Outage | None, bool]],
) -> None:
    now = 0.0
    outages = Outages(clock=lambda: now)
    logged: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record)

    handler = Handler()
    logger = logging.getLogger("blog.operations.outages")
    logger.addHandler(handler)
    try:
        for seconds, failure, is_writing in requests:
            now += seconds
            if failure is None:
                outages.succeeded(is_writing=is_writing)
            else:
                outages.failed(failure, "GET /blog", is_writing=is_writing)
        now += QUIET
        outages.succeeded(is_writing=True)
    finally:
        logger.removeHandler(handler)

    for each in (FULL, AWAY):
        said = [record for record in logged if each.subject in record.getMessage()]
        starts, ends = said[::2], said[1::2]
        assert len(starts) == len(ends) <= 1 + now / QUIET
        assert all(record.levelno == logging.ERROR for record in starts)
        failures = [int(record.args[1]) for record in ends]  # type: ignore[index, arg-type]
        assert sum(failures) == [failure for _, failure, _ in requests].count(each)


def test_read_does_not_end_write_outage(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    outages = Outages(clock=lambda: now)
    outages.failed(FULL, "POST /blog/a/comments", is_writing=True)
    now = 100.0
    outages.succeeded(is_writing=False)
    assert len(lines(caplog)) == 1
    outages.succeeded(is_writing=True)
    assert lines(caplog)[1:] == [
        "The disk can be used again: 1 request failed in 100 seconds (reason)."
    ]


# As an operator meets them


@pytest.fixture
def folder(blog: Path) -> Iterator[Path]:  # noqa: F811
    """A blog's folder that belongs to a user without root's privileges."""
    if sys.platform == "win32":
        pytest.skip("Windows has other permissions")
    with open_directory() as directory:
        path = shutil.copytree(blog, directory / "blog")
        if os.geteuid() == 0:
            try:
                subprocess.run([sys.executable, "-c", ""], user="nobody", check=True)
            except (PermissionError, subprocess.CalledProcessError):
                pytest.skip(f"the user nobody cannot run {sys.executable}")
            for each in (path, *path.iterdir()):
                shutil.chown(each, "nobody")
        yield path
        path.chmod(0o700)


def as_user(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    command = [*THREADLEAF, *map(str, arguments)]
    is_root = sys.platform != "win32" and os.geteuid() == 0
    return subprocess.Popen(
        command,
        cwd="/",
        env=environment(THREADLEAF_CONFIG=folder / "threadleaf.toml"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user="nobody" if is_root else None,
        extra_groups=[] if is_root else None,
    )


def status(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=PATIENCE) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_closed_folder_while_serving(folder: Path) -> None:
    with Server(as_user(folder, "serve", "--port", 0)) as server:
        folder.chmod(0)
        time.sleep(1.1)  # the file is checked once per second
        for path in ("/blog", "/blog", "/blog/none", "/healthz"):
            code, page = status(server.url + path)
            assert code == 503
            assert "cannot reach its database" in page
        folder.chmod(0o700)
        time.sleep(QUIET)
        assert status(server.url + "/blog")[0] == 200
        server.stop()
        start, end = server.ended()[2].splitlines()
    database = folder / "threadleaf.db"
    assert f"GET /blog: The database {database} cannot be used (unable to open database" in start
    assert f"{database}: Permission denied; {folder} is d---------" in start
    assert f"The database {database} can be used again: 4 requests failed in " in end


def test_read_only_file_is_reported_at_start(folder: Path) -> None:
    (folder / "threadleaf.db").chmod(0o444)
    with Server(as_user(folder, "serve", "--port", 0)) as server:
        assert status(server.url + "/blog")[0] == 200
        server.stop()
        (line,) = server.ended()[2].splitlines()
    assert "(attempt to write a readonly database): let the user " in line
    assert f"{folder / 'threadleaf.db'} is -r--r--r-- of " in line


@pytest.mark.parametrize(
    "command", [("serve",), ("upgrade",), ("comments", "list"), ("comments", "approve", 1)]
)
@pytest.mark.parametrize(
    ("file", "mode", "said"),
    [
        (".", 0o500, "let the user "),
        ("threadleaf.db", 0, "check that its folder exists and that the user "),
    ],
)
def test_cli_reports_missing_permission(
    folder: Path, command: tuple[object, ...], file: str, mode: int, said: str
) -> None:
    (folder / file).chmod(mode)
    process = as_user(folder, *command)
    printed, complained = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (1, "")
    (sentence,) = complained.splitlines()
    assert sentence.startswith(
        f"threadleaf: The database {folder / 'threadleaf.db'} cannot be used"
    )
    assert said in sentence
