"""With a SQLAlchemy that it does not know, the pool takes the plain way, and keeps its promises."""

import subprocess
import sys
from pathlib import Path

import pool

ROOT = Path(pool.__file__).parent.parent


def test_the_pool_works_with_a_sqlalchemy_that_it_does_not_know() -> None:
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "tests.pool.unknown_sqlalchemy", "tests/pool/unknown_sqlalchemy.py"),
            *(f"tests/pool/test_pool{part}.py" for part in ("", "_threads", "_lifetime")),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout


def test_the_plain_way_is_what_was_tested() -> None:
    script = (
        "import tests.pool.unknown_sqlalchemy; from pool import fairies; print(fairies.checkout)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "_checkout_plain" in shown.stdout
