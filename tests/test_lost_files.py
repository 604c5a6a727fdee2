"""Database files are removed, replaced, truncated, moved or restored while serving.

No reader gets a stale page, no accepted comment is lost, and the log names the file.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from blog.config import Config
from tests.freshness import populate, serve
from tests.lost_files import comments_in, run
from tests.processes import THREADLEAF, environment

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows does not move open files"),
    pytest.mark.timeout(120),
]

Tamper = Callable[[Path], object]


def side(database: Path, name: str) -> Path:
    return Path(f"{database}-{name}")


def remove_both(database: Path) -> None:
    side(database, "wal").unlink()
    side(database, "shm").unlink()


def replace_index(database: Path) -> None:
    copy = side(database, "copy")
    shutil.copy(side(database, "shm"), copy)
    copy.replace(side(database, "shm"))


def move_away_and_back(database: Path) -> None:
    aside = database.with_name("aside")
    aside.mkdir()
    names = sorted(database.parent.glob(f"{database.name}*"))
    for name in names:
        name.rename(aside / name.name)
    time.sleep(0.3)
    assert not database.exists(), "no empty database was created"
    for name in sorted(aside.iterdir()):
        name.rename(database.with_name(name.name))


TAMPERS: dict[str, tuple[Tamper, str]] = {
    "log removed": (lambda it: side(it, "wal").unlink(), "-wal was removed or replaced"),
    "log moved": (lambda it: side(it, "wal").rename(f"{it}.aside"), "-wal was removed"),
    "log truncated": (lambda it: os.truncate(side(it, "wal"), 0), "-wal was truncated"),
    "index removed": (lambda it: side(it, "shm").unlink(), "-shm was removed or replaced"),
    "both removed": (remove_both, "-wal was removed or replaced"),
    "index replaced": (replace_index, "-shm was removed or replaced"),
    "all moved away and back": (move_away_and_back, "was moved"),
}


#: SQLite may have damaged the database before anything could notice: it has read zeros for the
#: truncated part, or two programs with different indexes have written to the same place of a log.
DAMAGING = {"log truncated", "index removed", "index replaced"}


@pytest.mark.parametrize("name", TAMPERS)
def test_lost_side_files_give_no_wrong_page(config: Config, name: str) -> None:
    populate(config)
    database = Path(str(make_url(config.database).database))
    tamper, reason = TAMPERS[name]

    with serve(config) as server:
        trial = run(server, str(database), lambda: tamper(database))

    assert trial.code == 0, trial.log
    assert trial.statuses <= {200, 303, 503}
    assert reason in trial.log
    if name in DAMAGING and not trial.has_recovered:
        assert "Restore a backup" in trial.log
        return
    assert trial.has_recovered, trial.log
    assert trial.stale() == []
    assert trial.lost() == [] or "may be lost" in trial.log
    assert trial.lost(before=False) == []


def test_truncated_index_loses_nothing(config: Config) -> None:
    populate(config)
    database = Path(str(make_url(config.database).database))

    with serve(config) as server:
        trial = run(server, str(database), lambda: os.truncate(side(database, "shm"), 0))

    assert trial.statuses <= {200, 303, 503}
    if trial.code == 0 and not trial.has_recovered:
        # SQLite has read zeros from the truncated index of the log, and has written accordingly.
        assert "-shm was truncated while in use, and is damaged" in trial.log
        assert "Restore a backup" in trial.log
        return
    # SQLite maps the index: reading it at this moment raises the signal.
    assert trial.code in {0, -signal.SIGBUS}, trial.log
    assert trial.stale() == []
    with serve(config) as server:
        page = server.get("/blog/talk")
    assert [said.text for said in trial.comments + trial.shell if f"{said.text}." not in page] == []


def backup_of(database: Path) -> Path:
    """Return a backup, as made by `sqlite3 blog.db ".backup FILE"`."""
    backup = database.with_name("backup.db")
    with closing(sqlite3.connect(database)) as origin, closing(sqlite3.connect(backup)) as copy:
        origin.backup(copy)
    return backup


def restore(database: Path, backup: Path) -> str:
    """Run `threadleaf restore` and return its output."""
    done = subprocess.run(
        [*THREADLEAF, "restore", backup],
        env=environment(THREADLEAF_DATABASE=database),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_restore_under_load(config: Config) -> None:
    populate(config)
    database = Path(str(make_url(config.database).database))
    backup = backup_of(database)

    with serve(config) as server:
        trial = run(server, str(database), lambda: restore(database, backup))

    assert trial.code == 0
    assert trial.has_recovered, trial.log
    assert trial.stale() == trial.returned() == []
    assert trial.statuses <= {200, 303, 503}
    assert trial.lost(before=False) == []
    (previous,) = database.parent.glob("blog.db.before-*")
    accepted = {said.text for said in trial.comments + trial.shell}
    assert accepted <= trial.database | comments_in(previous)
    assert len(comments_in(previous)) > 1


def test_moved_database_loses_no_comment(config: Config) -> None:
    populate(config)
    database = Path(str(make_url(config.database).database))
    backup = backup_of(database)

    with serve(config) as server:
        # A shell would apply the old log to the new file before the blog removes it.
        trial = run(server, str(database), lambda: backup.replace(database), has_shell=False)

    assert trial.code == 0
    assert trial.has_recovered, trial.log
    assert trial.returned() == []
    assert trial.statuses <= {200, 303, 503}
    assert trial.lost(before=False) == []
    assert "was replaced and is being reopened" in trial.log


def test_copied_database_takes_no_comments(
    config: Config,
) -> None:
    populate(config)
    database = Path(str(make_url(config.database).database))
    backup = backup_of(database)
    copied = restored = 0.0

    def copy_over_and_restore() -> None:
        nonlocal copied, restored
        with database.open("r+b") as file:
            file.write(backup.read_bytes())
            file.truncate()
        copied = time.monotonic()
        time.sleep(0.5)
        restored = time.monotonic()
        restore(database, backup)

    with serve(config) as server:
        trial = run(server, str(database), copy_over_and_restore, has_shell=False)

    assert trial.code == 0
    assert trial.has_recovered, trial.log
    assert trial.returned() == []
    assert trial.statuses <= {200, 303, 503}
    assert trial.lost(before=False) == []
    assert [s.text for s in trial.comments if copied < s.began and s.ended < restored] == []
    assert f"{database} was overwritten while in use. Restore a backup" in trial.log
