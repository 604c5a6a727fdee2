"""Input of visitors can neither forge log lines nor control a terminal."""

import logging
import os
import sqlite3
import unicodedata
from contextlib import closing
from io import StringIO
from pathlib import Path
from urllib.error import HTTPError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blog.operations.logs import LogFormatter, visible
from tests.test_cli import blog, done, new_blog, refused, serving  # noqa: F401 - two are fixtures

#: https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt, Bidi_Control
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

HOSTILE = "x\n2026-01-02 ERROR signed in\r\x1b[31m\u202eabc\u2028\x85\x9b2J"


def is_obeyed(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Zl", "Zp"} or char in BIDI


@given(st.text(st.characters(codec=None)))
def test_control_characters_are_escaped(text: str) -> None:
    assert not any(map(is_obeyed, visible(text)))
    if not any(map(is_obeyed, text)):
        assert visible(text) == text


@given(message=st.text(), detail=st.text())
def test_record_cannot_begin_a_line(message: str, detail: str) -> None:
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.Logger("blog")
    logger.addHandler(handler)
    try:
        int(f"x{detail}", base=2)
    except ValueError:
        logger.exception("%s failed", message, stack_info=True)

    first, *others = stream.getvalue().removesuffix("\n").split("\n")
    assert first == f"ERROR blog: {visible(message)} failed"
    assert all(line.startswith("  ") for line in others)
    assert not any(is_obeyed(char) for line in (first, *others) for char in line)


def test_serve_log_cannot_be_forged(blog: Path) -> None:  # noqa: F811
    with serving(blog, "serve") as server:
        with closing(sqlite3.connect(blog / "threadleaf.db")) as shell:
            shell.execute("DROP TABLE redirect")
        with pytest.raises(HTTPError, match="503"):
            server.get("/blog/x%0a2026-01-02%20ERROR%20signed%20in%0d%1b%5B31m%E2%80%AEabc")
        server.stop()
        logged = server.ended()[2]
    assert r"GET /blog/x\x0a2026-01-02 ERROR signed in\x0d\x1b[31m\u202eabc: " in logged
    assert logged.count("\n") == 1


def test_terminal_escapes_comment(blog: Path) -> None:  # noqa: F811
    with closing(sqlite3.connect(blog / "threadleaf.db")) as shell, shell:
        shell.execute(
            "INSERT INTO entry (id, title, body, timestamp, featured, slug, state, uid, updated, "
            "format, kind, comments_open) VALUES (1, 'T', 'B', '2026-01-01', 0, ?, 'published',"
            " 'u', '2026-01-01', 'markdown', 'entry', 1)",
            (f"tea{HOSTILE}",),
        )
        shell.execute(
            "INSERT INTO comment (entry_id, text, name, state, format, uid, reason, website) "
            "VALUES (1, ?, ?, 'held', 'text', 'u', ?, ?)",
            [HOSTILE] * 4,
        )
    said = done(blog, "comments", "list")
    assert not any(is_obeyed(char) for line in said.split("\n") for char in line)
    assert said.count(r"\x1b[31m\u202eabc") == 5


@pytest.mark.skipif(os.name == "nt", reason="Windows does not allow such file names")
def test_terminal_escapes_file_name(blog: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "posts"
    folder.mkdir()
    name = HOSTILE.replace("/", "")
    (folder / "2026-01-02-one.md").write_text("# One\n\nText.\n", encoding="utf-8")
    (folder / f"{name}.txt").write_text("Notes.\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(f"---\n{HOSTILE}: [\n", encoding="utf-8")

    said = done(blog, "import", folder).replace("\r", "")
    assert not any(is_obeyed(char) for line in said.split("\n") for char in line)
    # The importer has replaced the rest by spaces.
    assert r"\u202eabc" in said

    said = refused(tmp_path, "upgrade", THREADLEAF_DATABASE=f"no{name}/blog.db")
    assert not any(map(is_obeyed, said))
