"""Each command and program in README.md and docs/, run as printed in a fresh clone."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import PATIENCE, ROOT, Server, environment, start
from tests.test_wheel import LITTER

pytestmark = [
    pytest.mark.long,
    pytest.mark.wheel,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="needs bash"),
]

PAGES = ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md"))]

#: Pages whose commands are for the folder of a blog; the others are for the checkout.
FOR_A_BLOG = {"backups", "importing", "postgresql", "spam", "upgrading"}

#: What is not run: how the block begins, or a page, and the reason.
NOT_RUN = {
    'python3 -m venv .venv\n. .venv/bin/activate\npip install -q -e ".[test]"': ".ci/run runs it",
    'pip install -e ".[benchmarks]"': "takes minutes; tests/test_benchmarks.py runs it briefly",
    "cd tests/pool\nPYTHON_GIL=0": "needs a free-threaded Python",
    "nox -s ": "takes minutes; .ci/run runs it",
    "docs/recipes.md": "tests/test_recipes.py follows it",
}

#: Programs of these pages go on from names that the reader has.
GIVEN = {
    "docs/pool.md": """
from sqlalchemy import Column, Integer, create_engine
from sqlalchemy.orm import declarative_base, sessionmaker

url = "sqlite:///app.db"
Entry = type("Entry", (Base := declarative_base(),), dict(
    __tablename__="entry", id=Column(Integer, primary_key=True)))
Base.metadata.create_all(engine := create_engine(url))
sessions, entry, application = sessionmaker(engine), Entry(), None
"""
}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page, without those in NOT_RUN."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [Block(*parts) for parts in _BLOCK.findall(text)]
    return [] if page in NOT_RUN else [b for b in found if not b.text.startswith(tuple(NOT_RUN))]


class Clone:
    """A fresh clone, with a home folder and a virtual environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.folder = shutil.copytree(ROOT, folder / "threadleaf", ignore=LITTER)
        scripts = os.pathsep.join([str(self.folder / ".venv" / "bin"), os.environ["PATH"]])
        cache = subprocess.check_output([sys.executable, "-m", "pip", "cache", "dir"], text=True)
        self.environ = environment(
            HOME=self.home, PATH=scripts, PIP_CACHE_DIR=cache.strip(), PYTHONPATH=""
        )

    def run(self, program: str, text: str, folder: Path) -> str:
        """Run `text` in `folder`, and return what it prints."""
        done = subprocess.run(
            [*shlex.split(program), text],
            cwd=folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        return done.stdout

    def bash(self, text: str, folder: Path) -> None:
        """Run commands; a server at their end is asked for its front page, and stopped."""
        *commands, last = text.strip().split("\n")
        if last not in {"threadleaf demo", "threadleaf serve"}:
            self.run("bash -ec", text, folder)
            return
        printed = self.run("bash -ec", "\n".join([*commands, "pwd"]), folder)
        # The port may be in use.
        command = [*shlex.split(last), "--port", "0"]
        command[0] = str(self.folder / ".venv" / "bin" / command[0])
        with Server(start(command, Path(printed.splitlines()[-1]), self.environ)) as server:
            self.front_page = server.get("/blog")
            server.stop()
            assert server.ended()[0] == 0


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the first block of README.md was run."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    clone.bash(blocks("README.md")[0].text, clone.folder)
    assert "Fair Copy" in clone.front_page, "the demo"
    return clone


@pytest.fixture
def blog(clone: Clone, tmp_path: Path) -> Path:
    """A blog, an older one beside it, and comments that await moderation."""
    old = clone.home / "old-blog"
    old.mkdir(exist_ok=True)
    (old / "old.md").write_text("---\ntitle: Old\ndate: 2020-01-01\n---\nOld.\n", encoding="utf-8")
    clone.run(
        "bash -ec", f"threadleaf init . && threadleaf import {shlex.quote(str(old))}", tmp_path
    )
    comment = "INSERT INTO comment (id, entry_id, text, state, format, uid, created)"
    values = "VALUES (?, 1, 'Hello', 'held', 'text', ?, '2026-01-01 00:00:00')"
    with closing(sqlite3.connect(tmp_path / "threadleaf.db")) as shell:
        shell.executemany(f"{comment} {values}", [(n, f"urn:{n}") for n in range(1, 31)])
        shell.commit()
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, clone: Clone, request: pytest.FixtureRequest) -> None:
    is_for_a_blog = Path(page).stem in FOR_A_BLOG
    folder = request.getfixturevalue("blog") if is_for_a_blog else clone.folder
    found = blocks(page)
    commands = [block.text for block in found if block.language == "sh"]
    for command in commands[1:] if page == "README.md" else commands:
        clone.bash(command, folder)
    program = "\n".join(block.text for block in found if block.language == "python")
    clone.run("python -c", GIVEN.get(page, "") + program, folder)
    if page == "README.md":
        assert '"/blog/hello"' in clone.front_page


def test_not_run_is_printed() -> None:
    printed = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    for beginning in NOT_RUN:
        assert beginning in PAGES or f"```sh\n{beginning}" in printed, beginning


#: What bash has, and the command prompt of Windows.
_ON_WINDOWS = [
    (r"python3 ", "py "),
    (r"\. \.venv/bin/", r".venv\\Scripts\\"),
    (r"cd ~", r"cd /d ~"),
    (r"~/", r"%USERPROFILE%\\"),
    (r"cat > posts/hello.md <<'END'\n(.*?)END\n", r"(\n\1) > posts\\hello.md\n"),
]


def test_windows_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = [block for block in map(Block._make, _BLOCK.findall(text)) if block[0] in {"sh", "bat"}]
    pairs = [(a.text, b.text) for a, b in pairwise(found) if b.language == "bat"]
    assert len(pairs) == 3
    for unix, given in pairs:
        translated = unix
        for pattern, replacement in _ON_WINDOWS:
            translated = re.sub(pattern, replacement, translated, flags=re.DOTALL)
        assert re.sub(r"^echo[. ]", "", given, flags=re.MULTILINE) == translated
