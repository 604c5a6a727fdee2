"""No output shows the password of a database, whatever is wrong with the setting."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blog.config import Config, ConfigError
from blog.database import connect
from blog.operations.migration import DatabaseUnusableError, check
from blog.operations.outages import outage
from tests.test_cli import refused

pytest.importorskip("psycopg", reason="needs psycopg")

#: The beginning and the end of each password, which occur nowhere else.
MARKS = "Zq7", "xK9"

#: URLs with {} for the password; nothing listens on port 1.
ADDRESSES = [
    "postgresql+psycopg://ann:{}@127.0.0.1:1/blog",
    "postgresql+psycopg://ann@127.0.0.1:1/blog?password={}",
    "postgresql+psycopg://ann@127.0.0.1:1/blog?pass%77ord={}",
    "postgresql+psycopg://ann@127.0.0.1:1/blog?pasword={}",
    "postgresql+psycopg://ann@127.0.0.1:1/blog?sslpassword={}",
    "postgresql+psycopg://ann:{}@127.0.0.1:1/blog?sslmode=most",
    "postgresql+psycopg://ann:{}@127.0.0.1:1/blog?port=notaport",
    "postgresql+psycopg://ann:{}@127.0.0.1:1/blog?connect_timeout=soon",
    "postgresql+psycopg://ann:{}@127.0.0.1:notaport/blog",
    "postgresql+psycopg://ann/b:{}@127.0.0.1:1/blog",
    "postgresql+psycopg://ann:{}@[::1/blog",
    "postgresql://ann:{}@127.0.0.1:1/blog",
    "postgres:/ann:{}@127.0.0.1:1/blog",
    " postgresql+psycopg://ann:{}@127.0.0.1:1/blog",
    "host=127.0.0.1 port=1 user=ann password={}",
    "ann:{}@127.0.0.1:1/blog",
    "mysql://ann:{}@127.0.0.1/blog",
    "sqlite://ann:{}@127.0.0.1/blog",
]

SIMPLE = "{}secret{}".format(*MARKS)


def outputs(**settings: Any) -> list[str]:
    """Return the output for a blog with these unusable settings."""
    try:
        config = Config.load(environ={}, **settings)
        engine = connect(config.database)
    except ConfigError as error:
        return [str(error)]
    shown = [repr(config), repr(engine), repr(engine.url)]
    try:
        check(engine)
    except DatabaseUnusableError as error:
        return [*shown, str(error), str(outage(engine, error.__cause__ or error))]
    raise AssertionError(shown)


@pytest.mark.parametrize("address", ADDRESSES)
def test_password_is_never_printed(address: str) -> None:
    shown = outputs(database=address.format(SIMPLE))
    assert not any(mark in text for text in shown for mark in MARKS), shown


@given(st.sampled_from(ADDRESSES[:1] + ADDRESSES[5:14]), st.text(max_size=12))
def test_special_password_is_never_printed(address: str, text: str) -> None:
    password = f"{MARKS[0]}{text}{MARKS[1]}"
    shown = outputs(database=address.format(password))
    assert not any(mark in text for text in shown for mark in MARKS), shown


@pytest.mark.parametrize("name", ["site_url", "title", "host", "trusted_proxy", "port"])
def test_password_in_other_setting_is_hidden(tmp_path: Path, name: str) -> None:
    settings = tmp_path / "threadleaf.toml"
    settings.write_text(f'{name} = ["https://ann:{SIMPLE}@blog.example"]', encoding="utf-8")
    for given_ in ({"path": settings}, {name: f"https://ann:{SIMPLE}@blog.example/\0"}):
        if name == "title" and "path" not in given_:
            continue
        assert MARKS[0] not in outputs(**given_)[0]


def test_cli_hides_password(tmp_path: Path) -> None:
    for command in ("upgrade", "serve"):
        for address in (ADDRESSES[0], ADDRESSES[3], ADDRESSES[8], ADDRESSES[14]):
            said = refused(tmp_path, command, THREADLEAF_DATABASE=address.format(SIMPLE))
            assert MARKS[0] not in said
            assert "database" in said
    assert list(tmp_path.iterdir()) == []
