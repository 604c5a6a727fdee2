"""`threadleaf comments`: held comments, and decisions on them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.locks import write_lock
from tests.test_cli import blog, done, new_blog, refused  # noqa: F401 - two are fixtures


@pytest.fixture
def waiting(blog: Path) -> Path:  # noqa: F811
    """A blog with an entry and three comments: two held, one published."""
    with closing(sqlite3.connect(blog / "threadleaf.db")) as shell, shell:
        shell.execute(
            "INSERT INTO entry (id, title, body, timestamp, featured, slug, state, uid, updated, "
            "format, kind, comments_open) VALUES (1, 'T', 'B', '2026-01-01', 0, 'tea', 'published',"
            " 'u', '2026-01-01', 'markdown', 'entry', 1)"
        )
        for id_, state, text in (
            (1, "held", "Buy\nnow"),
            (2, "held", "x" * 900),
            (3, "published", "Nice – “really”"),
        ):
            shell.execute(
                "INSERT INTO comment (id, entry_id, text, name, created, state, format, uid, "
                "reason, website) VALUES (?, 1, ?, 'Ann', '2026-02-03 04:05:06', ?, 'text', ?, "
                "'4 links', 'https://ann.example')",
                (id_, text, state, f"u{id_}"),
            )
    return blog


def states(folder: Path) -> dict[int, str]:
    with closing(sqlite3.connect(folder / "threadleaf.db")) as shell:
        return dict(shell.execute("SELECT id, state FROM comment"))


def test_new_blog_has_no_held_comments(blog: Path) -> None:  # noqa: F811
    assert done(blog, "comments", "list") == "No held comments.\n"


def test_held_comments_are_listed_with_reason(waiting: Path) -> None:
    printed = done(waiting, "comments", "list")

    assert printed.startswith(
        "1  Ann, 2026-02-03 04:05, on /blog/tea\n"
        "    https://ann.example\n"
        "    held: 4 links\n"
        "    | Buy\n"
        "    | now\n"
    )
    assert "x" * 500 + "…" in printed
    assert printed.endswith("2 held comments.\n")
    assert "“really”" in done(waiting, "comments", "list", "--state", "published")
    assert done(waiting, "comments", "list", "--entry", "none") == "No held comments.\n"


def test_list_does_not_wait_for_writer(waiting: Path) -> None:
    with write_lock(waiting / "threadleaf.db"):
        assert done(waiting, "comments", "list").endswith("2 held comments.\n")


def test_decisions_are_carried_out(waiting: Path) -> None:
    assert done(waiting, "comments", "approve", 1) == (
        "1: published; the filter has been trained.\n"
    )
    assert done(waiting, "comments", "spam", 2, 3).startswith("2, 3: marked as spam")
    assert states(waiting) == {1: "published", 2: "spam", 3: "spam"}
    assert done(waiting, "comments", "delete", 2) == "2: deleted.\n"
    assert states(waiting) == {1: "published", 3: "spam"}


@pytest.mark.parametrize("command", ["approve", "spam", "delete"])
def test_unknown_comment_id_changes_nothing(waiting: Path, command: str) -> None:
    message = refused(waiting, "comments", command, 1, 77, 78)

    assert message.startswith("There is no comment 77, 78. Nothing was changed.")
    assert states(waiting)[1] == "held"


def test_comment_id_beyond_integers(waiting: Path) -> None:
    message = refused(waiting, "comments", "approve", 1, 10**30)

    assert message.startswith(f"There is no comment {10**30}. Nothing was changed.")
    assert states(waiting)[1] == "held"
