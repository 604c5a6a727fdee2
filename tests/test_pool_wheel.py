"""The distribution `threadleaf-pool`: what is in it, its README as printed, its tests."""

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.clients import Client, all_statuses
from tests.pool.renamed import copy_tests
from tests.processes import ROOT, Server, environment
from tests.test_wheel import LITTER

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(300)]

README = (ROOT / "pool" / "README.md").read_text(encoding="utf-8")
INSTALL, SERVE = re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)

CLIENTS, TURNS = 8, 20


class Environment:
    """A virtual environment that the README's commands see as `.venv`."""

    def __init__(self, folder: Path) -> None:
        names = {"base": str(folder), "platbase": str(folder)}
        self.scripts = sysconfig.get_path("scripts", "venv", names)
        # Nothing of this checkout is importable, and this Python's development mode is off.
        self.variables = environment(PYTHONPATH="", PYTHONDEVMODE="", PYTHONWARNINGS="")

    def command(self, line: str) -> list[str]:
        """Return a command of the README for this environment and this Python."""
        program, *arguments = shlex.split(line)
        if program == "python3":
            return [sys.executable, *arguments]
        found = shutil.which(program.removeprefix(".venv/bin/"), path=self.scripts)
        assert found is not None, line
        return [found, *arguments]

    def run(self, line: str, folder: Path) -> str:
        done = subprocess.run(
            self.command(line),
            cwd=folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=250,
        )
        if done.returncode and "No matching distribution found" in done.stdout:
            pytest.skip("the package index is out of reach")
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What the README's first block makes, of a checkout."""
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "pool", checkout / "pool", ignore=LITTER)
    venv = Environment(checkout / ".venv")
    for line in INSTALL.splitlines():
        venv.run(line, checkout)
    return venv


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the README's program, and a `pool` and a `blog` of the user's own."""
    (tmp_path / "app.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "blog").mkdir()
    for own in "pool.py", "blog/__init__.py":
        (tmp_path / own).write_text("raise AssertionError(__name__)\n", encoding="utf-8")
    return tmp_path


def test_wheel_contents(installed: Environment, tmp_path: Path) -> None:
    script = (
        "import json; from importlib.metadata import files, requires;"
        "print(json.dumps([requires('threadleaf-pool'),"
        " [f.as_posix() for f in files('threadleaf-pool')]]))"
    )

    requires, files = json.loads(installed.run(f'.venv/bin/python -c "{script}"', tmp_path))

    assert requires == ["sqlalchemy<2.2,>=2.0.41"]
    package = {f for f in files if ".dist-info/" not in f and "__pycache__" not in f}
    sources = [*(ROOT / "pool").rglob("*.py"), ROOT / "pool" / "py.typed"]
    assert package == {
        f"threadleaf_pool/{path.relative_to(ROOT / 'pool').as_posix()}" for path in sources
    }
    assert any(f.endswith(".dist-info/licenses/LICENSE") for f in files)


def test_readme_program(installed: Environment, program: Path) -> None:
    process = subprocess.Popen(
        installed.command(SERVE.replace("8080", "0")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=program,
        env=installed.variables,
    )
    with Server(process) as server:
        clients = [Client(server.url, number) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(lambda client: client.comment_and_read(TURNS), clients))
        for client in clients:
            client.close()

    assert all_statuses(clients) == {("POST", 303): 160, ("GET", 200): 160}
    assert [client.missed for client in clients if client.missed] == []
    with closing(sqlite3.connect(program / "blog.db")) as reader:
        assert reader.execute("SELECT count(*) FROM comment").fetchone() == (160,)


def test_suite_on_wheel(installed: Environment, tmp_path: Path) -> None:
    installed.run(".venv/bin/pip install hypothesis pytest pytest-timeout", tmp_path)
    copy_tests(tmp_path)

    # `nox -s pool` runs all of them.
    shown = installed.run(
        ".venv/bin/python -m pytest -q tests/pool/test_pool.py tests/pool/test_pool_threads.py"
        " tests/pool/test_sqlite.py",
        tmp_path,
    )

    assert re.search(r"^\d+ passed", shown.splitlines()[-1]), shown
