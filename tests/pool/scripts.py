"""Programs for tests that need a separate process: its exit and its forks."""

import subprocess
import sys
import textwrap
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def run(*arguments: str, timeout: float = 60) -> str:
    """Run Python with `arguments` where the pool can be imported; return all that it prints."""
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def output_of(
    folder: Path, script: str, *, check_same_thread: bool = False, before: str = ""
) -> str:
    """Run `script`, for which `path`, `engine` and `pool` are ready; return all that it prints.

    `before` is run before anything of the pool is imported.
    """
    start = f"""
        import os, sqlite3, sys, threading, time
        from sqlalchemy import create_engine, text
        from pool import ForkedInUseError, ThreadLocalPool

        path = {str(folder / "blog.db")!r}
        engine = create_engine(
            "sqlite:///" + path,
            poolclass=ThreadLocalPool,
            connect_args={{"check_same_thread": {check_same_thread}}},
        )
        pool = engine.pool
    """
    return run(
        *("-X", "dev"),  # shows unclosed databases, among other things
        *("-W", "ignore:This process:DeprecationWarning"),  # since 3.12, of fork and threads
        *("-c", "".join(map(textwrap.dedent, [before, start, script]))),
    )
