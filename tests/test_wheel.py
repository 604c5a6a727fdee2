"""The wheel: its content, and that it serves without a checkout."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.processes import PATIENCE, ROOT, Server, environment, start

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(300)]

# Timeout of pip in seconds: it may download setuptools.
_BUILD = 200

#: Files that tools leave in a checkout.
LITTER = shutil.ignore_patterns(
    ".git", ".*_cache", ".hypothesis", ".nox", ".venv", "__pycache__", "*.egg-info", "build", "dist"
)


def pip(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_BUILD,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout without files of an earlier build, which setuptools would include."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "threadleaf", ignore=LITTER)


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    tools = pip("download", "--dest", folder / "tools", *project["build-system"]["requires"])
    if tools.returncode:
        pytest.skip(f"the build backend is not available: {tools.stdout.strip().splitlines()[-1]}")
    built = pip(
        "wheel", "--no-deps", "--no-index", f"--find-links={folder / 'tools'}", "-w", folder, source
    )
    assert built.returncode == 0, built.stdout
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_has_exactly_the_packages(source: Path, wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}

    folders = {"blog": "blog", "pool": "pool", "templates": "blog/templates"}
    assert inside == {
        f"{place}/{path.relative_to(source / folder).as_posix()}"
        for folder, place in folders.items()
        for path in (source / folder).rglob("*")
        if path.is_file() and (folder != "pool" or path.suffix == ".py" or path.name == "py.typed")
    }


def test_wheel_has_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed `threadleaf`, in an environment that uses our dependencies."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    names = {"base": folder, "platbase": folder}
    libraries = Path(sysconfig.get_path("purelib", "venv", names))
    # Only the folder is added to the path. Its .pth files, such as one of an editable install,
    # are not read.
    ours = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (libraries / "borrowed.pth").write_text("\n".join(ours), encoding="utf-8")
    scripts = Path(sysconfig.get_path("scripts", "venv", names))
    python = shutil.which("python", path=scripts)
    installed = pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    assert installed.returncode == 0, installed.stdout
    found = shutil.which("threadleaf", path=scripts)
    assert found is not None
    return Path(found)


def test_wheel_serves_from_empty_folder(command: Path, tmp_path: Path) -> None:
    # Without the checkout on the path, and without warnings for developers.
    variables = environment(PYTHONPATH="")
    for arguments in (["init"], ["upgrade"]):
        result = subprocess.run(
            [command, *arguments], cwd=tmp_path, env=variables, timeout=PATIENCE, check=False
        )
        assert result.returncode == 0
    with Server(start([command, "serve", "--port", 0], tmp_path, variables)) as server:
        page = server.get("/blog")
        stylesheet = re.search(r'<link rel="stylesheet" href="([^"]+)"', page)
        assert stylesheet is not None
        assert "{" in server.get(stylesheet[1])
        assert "</feed>" in server.get("/blog/feed.atom")
