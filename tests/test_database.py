"""The blog on its database file: the settings of `blog.database`, and a replaced file."""

import shutil
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from blog.database import BUSY_TIMEOUT
from tests.conftest import BlogClient, MakeEntry


def test_statement_waits_for_writers(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA busy_timeout")) == BUSY_TIMEOUT * 1000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not move open files")
def test_restored_backup_needs_no_restart(
    client: BlogClient, make_entry: MakeEntry, migrated: Path, tmp_path: Path, engine: Engine
) -> None:
    make_entry("Before the restore")
    assert "Before the restore" in client.get("/blog").text

    shutil.copy(migrated, tmp_path / "backup.db")
    (tmp_path / "backup.db").replace(tmp_path / "blog.db")
    time.sleep(1.1)

    page = client.get("/blog").text
    assert "Before the restore" not in page
    make_entry("After the restore")
    assert "After the restore" in client.get("/blog").text
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
