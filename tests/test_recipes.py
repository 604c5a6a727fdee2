"""The recipes of docs/recipes.md, followed to the letter in a copy of the tree."""

import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT, THREADLEAF, Server, environment, start

pytestmark = pytest.mark.long

PARTS = ("blog", "docs", "pool", "templates", "tests", "pyproject.toml")

_STEP = re.compile(
    r"(?:In `(?P<file>[^`]+)`, below\s`(?P<line>[^`]+)`|At the end of `(?P<end>[^`]+)`"
    r"|In the new\sfile `(?P<new>[^`]+)`|Run):\n\n```\w+\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    return tmp_path


def follow(recipe: str, tree: Path) -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {recipe}\n")[1].split("\n## ")[0]
    steps = list(_STEP.finditer(section))
    assert len(steps) == section.count("\n```\n"), "each block is a step"
    for step in steps:
        do(step, tree)


def do(step: re.Match[str], tree: Path) -> None:
    text = step["text"]
    if step["new"]:
        path = tree / step["new"]
        assert not path.exists()
        path.write_text(text, encoding="utf-8")
    elif step["end"]:
        with (tree / step["end"]).open("a", encoding="utf-8") as file:
            file.write(text)
    elif step["file"]:
        path = tree / step["file"]
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (number,) = (number for number, line in enumerate(lines) if line.strip() == step["line"])
        lines.insert(number + 1, text)
        path.write_text("".join(lines), encoding="utf-8")
    else:
        for command in text.splitlines():
            run(command, tree)


def run(command: str, tree: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "python"
    target = None
    if ">" in arguments:
        *arguments, _, target = arguments
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**environment(), "PYTHONPATH": str(tree)},
        timeout=5 * PATIENCE,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-5000:]
    if target is not None:
        (tree / target).write_bytes(done.stdout)


@contextmanager
def served(tree: Path, **settings: str) -> Iterator[Server]:
    """Serve a new blog with the code of the copied tree."""
    values = {f"THREADLEAF_{name}": value for name, value in settings.items()}
    environ = {**environment(THREADLEAF_PORT=0, **values), "PYTHONPATH": str(tree)}
    subprocess.run(
        [*THREADLEAF, "init", "new"], cwd=tree, env=environ, timeout=PATIENCE, check=True
    )
    with Server(start([*THREADLEAF, "serve"], tree / "new", environ)) as server:
        yield server


def test_recipe_page(tree: Path) -> None:
    follow("Add a page", tree)
    with served(tree) as server:
        assert "<p>0 entries in 0 months.</p>" in server.get("/blog/numbers")


def test_recipe_setting(tree: Path) -> None:
    follow("Add a setting", tree)
    with served(tree, FOOTER="Written by hand.") as server:
        assert "<p>Written by hand.</p>" in server.get("/blog")


def test_recipe_table(tree: Path) -> None:
    follow("Add a table", tree)
    with served(tree), closing(sqlite3.connect(tree / "new" / "threadleaf.db")) as shell:
        version = "SELECT version FROM site"
        (before,) = shell.execute(version).fetchone()
        shell.execute("INSERT INTO link (url, name) VALUES ('https://example.org', 'Example')")
        assert shell.execute(version).fetchone() > (before,)
