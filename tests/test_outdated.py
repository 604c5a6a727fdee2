"""A process started before an upgrade stores nothing, and logs it once."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from blog.operations.migration import HEAD
from tests.conftest import form_token
from tests.processes import PATIENCE, ROOT, THREADLEAF, environment, start
from tests.test_cli import done, rows, serving

NEXT = f"{int(HEAD) + 1:04}"

#: Changes by a future version, and whether this version can still read the blog.
FUTURE = {
    "a column": ("op.add_column('comment', sa.Column('mood', sa.Text))", True),
    "a column that must be given": (
        "op.execute(\"ALTER TABLE comment ADD COLUMN mood TEXT NOT NULL DEFAULT ''\")",
        True,
    ),
    "a column of another name": (
        "op.execute('ALTER TABLE rendering RENAME COLUMN teaser TO lead')",
        False,
    ),
}

MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision = "{next}"
down_revision = "{head}"
def upgrade():
    {change}
"""


def upgrade_by_future_code(folder: Path, blog: Path, change: str) -> None:
    for part in ("blog", "pool", "templates"):
        shutil.copytree(ROOT / part, folder / part)
    migration = MIGRATION.format(next=NEXT, head=HEAD, change=change)
    (folder / "blog/database/migrations/versions" / f"{NEXT}_future.py").write_text(migration)
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "blog", "upgrade"],
        cwd=blog,
        env={**environment(), "PYTHONPATH": str(folder)},
        timeout=PATIENCE,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def ask(url: str, form: dict[str, str] | None = None) -> tuple[int, str]:
    data = urlencode(form).encode() if form else None
    try:
        with urlopen(url, data, timeout=PATIENCE) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    done(tmp_path, "init", "myblog")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "2024-01-02-the-page.md").write_text("# The page\n\nIts text.\n")
    done(tmp_path / "myblog", "import", tmp_path / "old")
    return tmp_path / "myblog"


@pytest.mark.parametrize("name", FUTURE)
def test_outdated_process_stores_nothing(tmp_path: Path, blog: Path, name: str) -> None:
    change, is_readable = FUTURE[name]
    with serving(blog, "serve") as server:
        token = form_token(server.get("/blog/the-page"))
        upgrade_by_future_code(tmp_path / "future", blog, change)

        for number in range(3):
            form = {"csrf_token": token, "text": f"Long thought about, {number}."}
            status, answer = ask(f"{server.url}/blog/the-page/comments", form)
            assert status == 503
            assert form["text"] in answer
        for _ in range(2):
            status, answer = ask(f"{server.url}/blog/the-page")
            assert (status, "Its text." in answer) == ((200, True) if is_readable else (503, False))
        server.stop()
        logged = server.ended()[2]
    sentence = f"the database now has schema {NEXT}, but this process has the code for {HEAD}"
    assert logged.count(sentence) == 1, logged
    assert "restart it" in logged
    if is_readable:
        assert "Traceback" not in logged
    assert rows(blog / "threadleaf.db", "SELECT count(*) FROM comment") == [(0,)]


def test_outdated_command_stores_nothing(tmp_path: Path, blog: Path) -> None:
    """The upgrade happens during an import."""
    posts = tmp_path / "posts"
    posts.mkdir()
    for number in range(200):
        (posts / f"2026-01-02-post-{number}.md").write_text(f"# Post {number}\n\nText.\n")

    with start([*THREADLEAF, "import", posts], blog) as process:
        while rows(blog / "threadleaf.db", "SELECT count(*) FROM entry") < [(10,)]:
            assert process.poll() is None
        with closing(sqlite3.connect(blog / "threadleaf.db", timeout=PATIENCE)) as shell, shell:
            shell.execute("UPDATE alembic_version SET version_num = ?", (NEXT,))
        _, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"now has schema {NEXT}" in complained
    assert "Traceback" not in complained
