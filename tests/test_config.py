"""The settings: their sources, and the errors for invalid ones."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from blog.config import Config, ConfigError
from blog.config import reference as described
from blog.database import connect
from blog.operations.migration import is_missing
from tests.links import make_link

ROOT = Path(__file__).parents[1]


def load(path: Path | None = None, environ: dict[str, str] | None = None, **given: Any) -> Config:
    return Config.load(path, environ or {}, **given)


def write(folder: Path, text: str) -> Path:
    path = folder / "threadleaf.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_precedence_of_settings(tmp_path: Path) -> None:
    path = write(tmp_path, 'title = "File"\nport = 1\nper_page = 5')
    config = load(path, {"THREADLEAF_TITLE": "Environment", "THREADLEAF_PORT": "2"}, port=3)

    assert (config.title, config.port, config.per_page) == ("Environment", 3, 5)


def test_unset_option_does_not_count(tmp_path: Path) -> None:
    assert load(write(tmp_path, "port = 7"), port=None).port == 7


def test_environment_names_settings_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'title = "Named"')

    assert load(None, {"THREADLEAF_CONFIG": str(path)}).title == "Named"


def test_file_in_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 'title = "Here"')
    monkeypatch.chdir(tmp_path)

    assert load().title == "Here"


def test_database_is_relative_to_settings(tmp_path: Path) -> None:
    path = write(tmp_path, 'database = "data/blog.db"')

    assert load(path).database == str((tmp_path / "data/blog.db").resolve())


#: Names with characters special to URLs, SQLite or shells.
NAMES = [
    "q?a",
    "q%41",
    "a%20b",
    "a b",
    "a#b",
    "a&b=c;d",
    "file:x",
    ":memory:",
    "x'y",
    "葉",
    "%",
    "a@b",
]


@contextmanager
def opened(config: Config) -> Iterator[Connection]:
    engine = connect(config.database)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def names_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_database_path_is_literal(tmp_path: Path) -> None:
    for name in NAMES if os.name == "posix" else ["a%20b", "a b", "a#b", "a&b=c;d", "葉", "%"]:
        made = names_of(tmp_path)
        path = tmp_path / name / f"{name}.db"
        path.parent.mkdir()
        for written in (str(path), f"{name}/{name}.db"):
            with opened(load(write(tmp_path, f"database = {written!r}"))) as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS a (b)")
            assert names_of(tmp_path) - made == {path, tmp_path / "threadleaf.toml"} - made


@pytest.mark.skipif(os.name != "posix", reason="Windows restricts file names")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & set(b"/\0")))
def test_any_file_name_is_a_database(tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / uuid4().hex
    folder.mkdir()
    path = Path(os.fsdecode(bytes(folder) + b"/" + name))
    try:
        path.mkdir()
        path.rmdir()
    except OSError:
        assume(False)
    config = load(database=str(path))
    assert is_missing(connect(config.database))
    with opened(config) as connection:
        connection.exec_driver_sql("CREATE TABLE a (b)")
    assert list(folder.iterdir()) == [path]
    assert not is_missing(connect(config.database))


@pytest.mark.skipif(os.name != "posix", reason="Windows restricts file names")
@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///{}/a.db", "a.db"),
        ("sqlite:///{}/a b.db?timeout=3", "a b.db"),
        # Decoded by SQLAlchemy 2.1, but not by 2.0.
        ("sqlite:///{}/a%20b%3F.db", "a b?.db"),
        ("sqlite+pysqlite:///{}/%25.db", "%.db"),
        # Decoded by SQLite: https://www.sqlite.org/uri.html
        ("sqlite:///file:{}/a%3Fb.db?mode=rwc&uri=true", "a?b.db"),
    ],
)
def test_database_url_in_any_sqlalchemy(tmp_path: Path, url: str, name: str) -> None:
    config = load(database=url.format(tmp_path))
    assert is_missing(connect(config.database))
    with opened(config) as connection:
        connection.exec_driver_sql("CREATE TABLE a (b)")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert not is_missing(connect(config.database))


@pytest.mark.parametrize(
    ("media", "database"),
    [
        (".", "threadleaf.db"),
        (".", "data/threadleaf.db"),
        ("..", "threadleaf.db"),
        ("data", "data/threadleaf.db"),
        ("data", "data/deep/er/threadleaf.db"),
        ("linked", "data/threadleaf.db"),
        ("data", "linked/threadleaf.db"),
        ("data", "link.db"),
        ("data", "sqlite:///{}/data/threadleaf.db"),
        ("data", "sqlite:///file:{}/data/threadleaf.db?uri=true"),
        ("not-there", "not-there/threadleaf.db"),
        (".", "sqlite:////elsewhere/threadleaf.db"),
    ],
)
def test_database_in_media_is_refused(tmp_path: Path, media: str, database: str) -> None:
    (tmp_path / "data").mkdir()
    if "link" in media + database:
        make_link(tmp_path / "linked", "data")
        make_link(tmp_path / "link.db", "data/threadleaf.db")
    path = write(
        tmp_path, f"media = {media!r}\ndatabase = {database.format(tmp_path.as_posix())!r}"
    )
    with pytest.raises(ConfigError, match=r"media is .*, which contains .*: readers could"):
        load(path)


def test_media_beside_database_is_allowed(tmp_path: Path) -> None:
    for media in ("media", "threadleaf.db-media", "data/media"):
        assert load(write(tmp_path, f'media = "{media}"\ndatabase = "data/x.db"'))
    assert load(database="postgresql+psycopg://h/d", media=str(tmp_path))


def test_site_url_defaults_to_server(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert load(path, port=9000).site_url == "http://127.0.0.1:9000"
    assert load(path, host="0.0.0.0", port=81).site_url == "http://127.0.0.1:81"
    assert load(path, host="::1").site_url == "http://[::1]:8080"
    path = write(tmp_path, 'site_url = "https://example.org/journal/"')
    assert load(path, port=81).site_url == "https://example.org/journal"


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().title = "Other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("per_page", "0", "from 1 to 100"),
        ("per_page", "ten", "from 1 to 100"),
        ("per_page", "1.5", "from 1 to 100"),
        ("port", "70000", "from 0 to 65535"),
        ("comments", "perhaps", "true or false"),
        ("title", "  ", "not empty"),
        ("language", "English!", "such as en or pt-BR"),
        ("site_url", "example.org", "https://example.org"),
        ("site_url", "https://example.org/?a=b", "https://example.org"),
        ("site_url", "https://[", "https://example.org"),
        ("site_url", "https://a,b", "https://example.org"),
        ("site_url", "https://müller.example", "with an ASCII host"),
        ("site_url", "https://example.org/a b", "https://example.org"),
        ("site_url", "https://example.org:port", "https://example.org"),
        ("site_url", "https://:80", "https://example.org"),
        ("hosts", "a,b", "separated by spaces"),
        ("hosts", "a.example b.example, c.example", "separated by spaces"),
        ("hosts", "https://a.example", "host names"),
        ("hosts", "a.example:8080", "without ports"),
        ("hosts", "*.example", "host names"),
        ("hosts", "-a.example", "host names"),
        ("hosts", "a..example", "host names"),
        ("hosts", "müller.example", "host names"),
        ("host", "0.0.0.0:80", "an IP address or a host name"),
        ("host", "http://localhost", "an IP address or a host name"),
        ("trusted_proxy", "nginx", "an IP address such as 127.0.0.1"),
        ("trusted_proxy", "*", "an IP address such as 127.0.0.1"),
        ("trusted_proxy", "127.0.0.1:80", "an IP address such as 127.0.0.1"),
        ("trusted_proxy", "10.0.0.0/8", "an IP address such as 127.0.0.1"),
        ("database", "mysql://localhost/x", "postgresql"),
        ("database", "postgresql://localhost/x", "postgresql+psycopg"),
        ("database", "sqlite://", "a file name"),
        ("database", "nonsense://", "a file name"),
    ],
)
def test_bad_value_is_named_with_rule(name: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {f"THREADLEAF_{name.upper()}": value})

    message = str(refused.value)
    assert name in message
    assert value in message
    assert allowed in message


def test_valid_values_are_accepted(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    hosts = "blog.example www.blog.example my_blog xn--mller-kva.example 192.0.2.1 ::1 A-1"
    config = load(path, hosts=hosts, trusted_proxy="0:0:0:0:0:0:0:1", host="localhost")
    assert config.hosts == hosts
    # The path that the server will see.
    assert config.trusted_proxy == "::1"
    assert load(path, hosts="").hosts == load(path, trusted_proxy="").trusted_proxy == ""


@pytest.mark.parametrize("line", ['per_page = "10"', "title = 3", "comments = 1", "port = true"])
def test_wrong_type_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=line.split()[0]):
        load(write(tmp_path, line))


def test_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'_COLOUR: unknown setting "colour"\. Known settings: t'):
        load(None, {"THREADLEAF_COLOUR": "x"})
    with pytest.raises(
        ConfigError, match=r'toml: unknown setting "colour"\. Known settings: title,'
    ):
        load(write(tmp_path, "colour = 3"))


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("titel", "title"), ("Title", "title"), ("perpage", "per_page"), ("site-url", "site_url")],
)
def test_unknown_setting_suggests_the_closest(tmp_path: Path, unknown: str, meant: str) -> None:
    suggestion = re.escape(f'unknown setting "{unknown}": did you mean "{meant}"?') + "$"

    with pytest.raises(ConfigError, match=f"threadleaf.toml: {suggestion}"):
        load(write(tmp_path, f"{unknown} = 3"))


def test_unknown_variable_suggests_the_closest_setting() -> None:
    said = 'THREADLEAF_TITEL: unknown setting "titel": did you mean "title"?'

    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        load(None, {"THREADLEAF_TITEL": "x"})


@pytest.mark.parametrize("text", ["title = ", "title", 'title = "\\q"'])
def test_invalid_toml_is_refused_with_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"threadleaf.toml is not valid TOML.*(line 1|end of document)"
    ):
        load(write(tmp_path, text))


def test_settings_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "threadleaf.toml"
    path.write_bytes(b'title = "\xff"')
    with pytest.raises(ConfigError, match="not valid TOML in UTF-8"):
        load(path)


def test_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read .*none.toml"):
        load(tmp_path / "none.toml")


def test_settings_page_is_current() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert written == described.as_markdown(), (
        "run: python -m blog.config.reference > docs/settings.md"
    )


def test_new_settings_file_has_only_defaults(tmp_path: Path) -> None:
    text = described.as_toml()

    files = {name: str(tmp_path / name) for name in ("threadleaf.db", "media")}
    expected = load(database=files["threadleaf.db"], media=files["media"])
    assert load(write(tmp_path, text)) == expected
    # Each line is valid once uncommented.
    edited = "\n".join(line.removeprefix("#") for line in text.splitlines() if " = " in line)
    assert load(write(tmp_path, edited)) == expected


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufefftitle = "葉"')

    assert load(path).title == "葉"


@pytest.mark.parametrize(
    "line",
    [
        r'database = "C:\Users\x.db"',
        r'media = "C:\media"',
        r"database = C:\blog.db",
        r'database = "C:\blogs\new.db"',
        r'media = "C:\temp\files"',
    ],
)
def test_backslash_needs_single_quotes(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="Write a path with backslashes in single quotes"):
        load(write(tmp_path, line))


def test_control_character_shows_no_password(tmp_path: Path) -> None:
    path = write(tmp_path, r'database = "postgresql+psycopg://a:secret\n@b/c"')

    with pytest.raises(ConfigError, match="has a control character") as refusal:
        load(path)
    assert "secret" not in str(refusal.value)


def test_folder_without_blog_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"No blog in {tmp_path}: ")):
        load()
    assert load(database="a.db").database == str(tmp_path / "a.db")
    assert load(None, {"THREADLEAF_DATABASE": "b.db"}).database == str(tmp_path / "b.db")

    (tmp_path / "threadleaf.db").touch()
    assert load().database == str(tmp_path / "threadleaf.db")
