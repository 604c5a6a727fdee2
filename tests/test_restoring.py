"""`threadleaf restore`: after a loss, while serving, and with a wrong file."""

import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import create_engine

from blog.operations.migration import HEAD, DatabaseUnusableError
from blog.operations.restore import restore
from tests.links import make_link
from tests.locks import write_lock
from tests.processes import PATIENCE, THREADLEAF, Server, environment, start
from tests.test_schema import SeedBase


def run(database: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*THREADLEAF, *map(str, arguments)],
        env=environment(THREADLEAF_DATABASE=database),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
    )


def restored(database: Path, backup: Path) -> str:
    """Return the output of a command that succeeds."""
    done = run(database, "restore", backup)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(database: Path, backup: Path) -> str:
    """Return the error message of a refused restore."""
    with pytest.raises(DatabaseUnusableError) as error:
        restore(f"sqlite:///{database.as_posix()}", backup)
    return str(error.value)


def ask(database: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database, isolation_level=None)) as shell:
        return shell.execute(statement).fetchall()


def rename(database: Path, title: str) -> None:
    ask(database, f"UPDATE entry SET title = '{title}'")


def titles(database: Path) -> list[str]:
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]
    return [title for (title,) in ask(database, "SELECT title FROM entry")]


def beside(database: Path) -> list[str]:
    """Return the other files in the database's folder."""
    return sorted(path.name for path in database.parent.iterdir() if path != database)


@pytest.fixture
def database(tmp_path: Path, migrated: Path) -> Path:
    """A blog with one entry, whose title in the backup is "Old"."""
    folder = tmp_path / "blog"
    folder.mkdir()
    path = folder / "blog.db"
    shutil.copy(migrated, path)
    ask(
        path,
        "INSERT INTO entry (title, slug, uid, body, timestamp, updated, kind, format, state, "
        "featured, comments_open) VALUES ('Old', 'entry', 'urn:1', 'Text.', "
        "'2020-01-01 00:00:00.000000', '2020-01-01 00:00:00.000000', 'entry', 'markdown', "
        "'published', 0, 1)",
    )
    ask(path, f"VACUUM INTO '{tmp_path / 'backup.db'}'")
    rename(path, "New")
    return path


@pytest.fixture
def backup(database: Path) -> Path:
    return database.parent.parent / "backup.db"


def test_restore_saves_current_database(database: Path, backup: Path) -> None:
    before = backup.read_bytes()

    said = restored(database, backup)

    assert titles(database) == ["Old"]
    (previous,) = beside(database)
    assert titles(database.with_name(previous)) == ["New"]
    assert said == (
        f"Restored {database} from {backup}: 1 entry.\n"
        f"The previous database is saved as {database.with_name(previous)}.\n"
    )
    assert backup.read_bytes() == before


def test_restore_while_serving(database: Path, backup: Path) -> None:
    settings = environment(THREADLEAF_DATABASE=database, THREADLEAF_PORT=0)
    with Server(start([*THREADLEAF, "serve"], environ=settings)) as server:
        address = f"{server.url}/blog/entry"
        with urlopen(address, timeout=PATIENCE) as response:
            assert "New" in response.read().decode()
            known = dict.fromkeys(["If-Modified-Since"], response.headers["Date"])
        identity = database.stat().st_ino
        restored(database, backup)
        assert database.stat().st_ino == identity, "the server keeps its file open"
        with urlopen(Request(address, headers=known), timeout=PATIENCE) as response:
            assert "Old" in response.read().decode()
    assert titles(database) == ["Old"]


@pytest.mark.skipif(sys.platform != "win32", reason="other systems allow overwriting an open file")
def test_served_database_cannot_be_overwritten(database: Path, backup: Path) -> None:
    settings = environment(THREADLEAF_DATABASE=database, THREADLEAF_PORT=0)
    with Server(start([*THREADLEAF, "serve"], environ=settings)) as server:
        for _ in range(2):
            assert "New" in server.get("/blog/entry")
            copy = subprocess.run(["cmd", "/c", "copy", "/y", backup, database], check=False)
            assert copy.returncode == 1
    assert titles(database) == ["New"]


@pytest.mark.parametrize("is_served", [False, True])
def test_each_restore_saves_current_database(database: Path, backup: Path, is_served: bool) -> None:
    url = f"sqlite:///{database.as_posix()}"
    with closing(sqlite3.connect(database)) as server:
        if is_served:
            server.execute("SELECT 1 FROM entry").fetchall()
        first = restore(url, backup).previous
        rename(database, "Between")
        second = restore(url, backup).previous
    assert first is not None
    assert second is not None
    assert (titles(first), titles(second), titles(database)) == (["New"], ["Between"], ["Old"])


@pytest.mark.parametrize("is_served", [False, True])
def test_restore_follows_link(
    database: Path, backup: Path, tmp_path: Path, is_served: bool
) -> None:
    link = tmp_path / "link.db"
    make_link(link, database)
    with closing(sqlite3.connect(link)) as server:
        if is_served:
            server.execute("SELECT 1 FROM entry").fetchall()
        done = restore(f"sqlite:///{link.as_posix()}", backup)
    assert link.is_symlink()
    assert titles(database) == ["Old"]
    assert done.previous is not None
    assert done.previous.parent == database.parent


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file size")
@pytest.mark.parametrize("is_served", [False, True])
def test_restore_on_full_disk_changes_nothing(
    database: Path, backup: Path, is_served: bool
) -> None:
    ask(database, "CREATE TABLE large AS SELECT zeroblob(4000000)")
    code = "import resource, sys; from blog.cli.main import main; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)); main()"
    with closing(sqlite3.connect(database)) as server:
        if is_served:
            server.execute("SELECT 1 FROM entry").fetchall()
        done = subprocess.run(
            [sys.executable, "-c", code, "restore", backup],
            env=environment(THREADLEAF_DATABASE=database),
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"threadleaf: Cannot restore {database} (")
    assert titles(database) == ["New"]
    left = {"blog.db-shm", "blog.db-wal"}
    assert set(beside(database)) <= left


@pytest.mark.parametrize("damage", ["missing", "moved without its log", "garbage", "empty"])
def test_restore_of_lost_database(database: Path, backup: Path, damage: str) -> None:
    if damage == "missing":
        database.unlink()
    elif damage == "moved without its log":
        # As left by a killed server.
        code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        code += "c.execute('UPDATE entry SET title = 1'); os._exit(0)"
        subprocess.run([sys.executable, "-c", code, database], check=True)
        database.unlink()
        assert "blog.db-wal" in beside(database)
    elif damage == "garbage":
        database.write_bytes(b"no database " * 4096)
    else:
        database.write_bytes(b"")

    restore(f"sqlite:///{database.as_posix()}", backup)

    assert titles(database) == ["Old"]
    assert "blog.db-wal" not in beside(database)


def test_restore_upgrades_older_backup(database: Path, tmp_path: Path) -> None:
    seed = tmp_path / "seed.db"
    engine = create_engine(f"sqlite:///{seed.as_posix()}")
    SeedBase.metadata.create_all(engine)
    engine.dispose()

    assert f"Upgraded it from schema 0001 to {HEAD}." in restored(database, seed)
    assert titles(database) == []


def test_restore_includes_wal(database: Path, backup: Path) -> None:
    with closing(sqlite3.connect(backup, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE entry SET title = 'In the log'")
        restored(database, backup)
    assert titles(database) == ["In the log"]


WRONG = {
    "damaged": "is damaged",
    "no database": "is damaged (file is not a database)",
    "of another program": "is not a Threadleaf database",
    "empty": "is not a Threadleaf database",
    "newer": "has schema 9999",
    "itself": "is the database itself",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_restore_refuses_wrong_file(database: Path, backup: Path, wrong: str) -> None:
    if wrong == "damaged":
        whole = backup.read_bytes()
        backup.write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) // 2))
    elif wrong == "no database":
        backup.write_bytes(b"no database " * 4096)
    elif wrong == "of another program":
        backup.unlink()
        ask(backup, "CREATE TABLE customer (id)")
    elif wrong == "empty":
        backup.write_bytes(b"")
    elif wrong == "newer":
        ask(backup, "UPDATE alembic_version SET version_num = '9999'")
    else:
        backup = database
    before = database.read_bytes()

    assert WRONG[wrong] in refused(database, backup)

    assert database.read_bytes() == before
    assert beside(database) == []


def test_restore_waits_for_writer(database: Path, backup: Path) -> None:
    with write_lock(database) as writer:
        writer.execute("UPDATE entry SET title = 'Last'")
        with ThreadPoolExecutor(1) as executor:
            command = executor.submit(restored, database, backup)
            time.sleep(1.5)
            assert not command.done()
            writer.execute("COMMIT")
            command.result()
    assert titles(database) == ["Old"]
    (previous,) = beside(database)
    assert titles(database.with_name(previous)) == ["Last"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_restore_keeps_permissions(database: Path, backup: Path) -> None:
    database.chmod(0o600)
    restored(database, backup)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in database.parent.iterdir()}
    assert modes == {0o600}


def test_restore_names_pg_restore(backup: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseUnusableError, match="pg_restore"):
        restore("postgresql+psycopg://localhost/blog", backup)
