"""The settings: where they come from, and how a wrong one is refused."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from blog import settings
from blog.config import Config, ConfigError

ROOT = Path(__file__).parents[1]


def load(path: Path | None = None, environ: dict[str, str] | None = None, **given: Any) -> Config:
    return Config.load(path, environ or {}, **given)


def write(folder: Path, text: str) -> Path:
    path = folder / "threadleaf.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_then_the_environment_then_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'title = "File"\nport = 1\nper_page = 5')
    config = load(path, {"THREADLEAF_TITLE": "Environment", "THREADLEAF_PORT": "2"}, port=3)

    assert (config.title, config.port, config.per_page) == ("Environment", 3, 5)


def test_what_is_not_given_on_the_command_line_counts_not(tmp_path: Path) -> None:
    assert load(write(tmp_path, "port = 7"), port=None).port == 7


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'title = "Named"')

    assert load(None, {"THREADLEAF_CONFIG": str(path)}).title == "Named"


def test_a_file_in_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 'title = "Here"')
    monkeypatch.chdir(tmp_path)

    assert load().title == "Here"


def test_a_database_file_counts_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path, 'database = "data/blog.db"')

    assert load(path).database == f"sqlite:///{(tmp_path / 'data/blog.db').resolve().as_posix()}"


def test_the_site_is_where_it_is_served_unless_set(tmp_path: Path) -> None:
    assert load(port=9000).site_url == "http://127.0.0.1:9000"
    assert load(host="0.0.0.0", port=81).site_url == "http://127.0.0.1:81"
    assert load(host="::1").site_url == "http://[::1]:8080"
    path = write(tmp_path, 'site_url = "https://example.org/journal/"')
    assert load(path, port=81).site_url == "https://example.org/journal"


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        load().title = "Other"  # type: ignore[misc]


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
        ("database", "mysql://localhost/x", "postgresql"),
        ("database", "postgresql://localhost/x", "postgresql+psycopg"),
        ("database", "sqlite://", "a file name"),
        ("database", "nonsense://", "a file name"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {f"THREADLEAF_{name.upper()}": value})

    message = str(refused.value)
    assert name in message
    assert value in message
    assert allowed in message


@pytest.mark.parametrize("line", ['per_page = "10"', "title = 3", "comments = 1", "port = true"])
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=line.split()[0]):
        load(write(tmp_path, line))


def test_an_unknown_name_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"THREADLEAF_TITEL.*titel.*title, tagline"):
        load(None, {"THREADLEAF_TITEL": "x"})
    with pytest.raises(ConfigError, match=r"threadleaf.toml sets perpage.*per_page"):
        load(write(tmp_path, "perpage = 3"))


@pytest.mark.parametrize("text", ["title = ", "title", 'title = "\\q"'])
def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"threadleaf.toml is not TOML.*(line 1|end of document)"):
        load(write(tmp_path, text))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "threadleaf.toml"
    path.write_bytes(b'title = "\xff"')
    with pytest.raises(ConfigError, match="not TOML in UTF-8"):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml cannot be read"):
        load(tmp_path / "none.toml")


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert written == settings.as_markdown(), "run: python -m blog.settings > docs/settings.md"


def test_the_settings_file_of_a_new_blog_changes_nothing_until_edited(tmp_path: Path) -> None:
    text = settings.as_toml()

    files = {name: str(tmp_path / name) for name in ("threadleaf.db", "media")}
    expected = load(database=files["threadleaf.db"], media=files["media"])
    assert load(write(tmp_path, text)) == expected
    # Each line of it can be put to use by taking its mark away.
    edited = "\n".join(line.removeprefix("#") for line in text.splitlines() if " = " in line)
    assert load(write(tmp_path, edited)) == expected
