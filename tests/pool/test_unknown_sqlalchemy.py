"""With an unknown SQLAlchemy the pool takes the plain path and keeps its promises."""

from tests.pool.scripts import run


def test_unknown_sqlalchemy() -> None:
    shown = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-p", "tests.pool.unknown_sqlalchemy", "tests/pool/unknown_sqlalchemy.py"),
        *(f"tests/pool/test_pool{part}.py" for part in ("", "_threads", "_lifetime")),
        "tests/pool/test_returns.py",
        timeout=250,
    )

    assert " passed" in shown


def test_unknown_sqlalchemy_takes_plain_path() -> None:
    script = "import tests.pool.unknown_sqlalchemy; from pool import _fairy; print(_fairy.checkout)"

    assert "_checkout_plain" in run("-c", script)
