"""The work for any input of a stranger grows linearly with its length."""

import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import Engine, event

from benchmarks.bounds import COUNTED, TIMED
from blog.application import Blog
from blog.models import Comment
from tests.conftest import BlogClient, MakeEntry
from tests.importing import EXPORTS, import_all

pytestmark = pytest.mark.long

MakeComment = Callable[..., Comment]

#: The CPU time that one search may take, in seconds.
SEARCH = 0.1

GRAVE, ACUTE = "\u0316", "\u0301"


def spent(do: Callable[[], object]) -> float:
    """Return the CPU time of this thread for `do`, in seconds.

    The garbage collector is off: collecting the garbage of all other tests takes longer than most
    of the measured work.
    """
    gc.disable()
    try:
        before = time.thread_time()
        do()
        return time.thread_time() - before
    finally:
        gc.enable()


def assert_linear(do: Callable[[int], object], number: int, what: str = "") -> None:
    """Assert that fourfold `number` takes about four times as long, not sixteen."""
    for _ in range(3):  # other processes may disturb a measurement
        one, four = (spent(partial(do, n)) for n in (number, 4 * number))
        if four < 8 * one + 0.05:
            return
    raise AssertionError(f"{what!r} takes {one:.3f} s, then {four:.3f} s")


def repeated(do: Callable[[str], object], unit: str) -> Callable[[int], object]:
    """Return a function that calls `do` with `unit` repeated."""
    return lambda number: do(unit * number)


def words(letter: str, mark: str, number: int = 8) -> str:
    """Return words that nearly match a long phrase: twenty with marks, then twenty without."""
    return f"{letter}{mark * number} " * 20 + f"c {letter} " + f"{letter} " * 19 + "b"


def phrase(letter: str, last: str = "b") -> str:
    return '"' + f"{letter} " * 20 + f'{last}"'


@pytest.mark.parametrize(
    ("text", "q"),
    [
        (words("a", ACUTE), phrase("a")),
        (words("a", ACUTE), phrase("a").rstrip('"')),
        (words("a", GRAVE), phrase("a")),
        (words("a", GRAVE + ACUTE, 4), phrase("a")),
        (words("á", ACUTE), phrase("á")),
        (words("a", "_"), phrase("a")),
        (words("a", "-"), phrase("a")),
        (words("a", "\u0361"), phrase("a")),
        (words("a", "\u20dd"), phrase("a")),
        (words("a", "\ufe0f"), phrase("a")),
        (words("a", "\u200d"), phrase("a")),
        (words("ё", "\u0308"), phrase("ё", "б")),
        (words("α", ACUTE), phrase("α", "β")),
        (words("ש", "\u05c1\u05b8"), phrase("ש", "ל")),
        (words("م", "\u064e\u0651"), phrase("م", "ب")),
        (words("日", ACUTE), phrase("日", "本")),
        (words("か", "\u3099"), phrase("か", "き")),
        (words("日", ACUTE).replace(" ", ""), "日" * 50 + "本"),
        (words("가", ACUTE), phrase("가", "나")),
        (words("ß", ACUTE), phrase("ß")),
        (words("a", ACUTE), "a " * 19 + "abc"),
        (words("abc", ACUTE), "abc " * 19 + "abcd"),
        (words("a", ACUTE), " ".join(f'"{"a " * n}b"' for n in range(2, 20))),
        ("a" + ACUTE * 490, phrase("a")),
        ("a " * 245, " ".join(f'"{"a " * n}"' for n in range(2, 20))),
        ("日" * 490, "日" * 100),
    ],
)
@pytest.mark.timeout(60)
def test_search_is_bounded(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment, text: str, q: str
) -> None:
    client.get("/blog/search?q=warm")
    # The words of the query come last, so that the whole text is searched.
    hostile = text + " " + q.replace('"', "")
    entry = make_entry(hostile, slug="entry", body=hostile, tags=(hostile,))
    make_comment(entry, hostile, name=hostile)

    took = spent(lambda: client.get("/blog/search", query_string={"q": q}))

    response = client.get("/blog/search", query_string={"q": q})
    assert response.text.count('class="found"') == 2
    assert "<mark>" in response.text
    assert took < SEARCH


@pytest.mark.parametrize("length", [100, 20])
def test_proposal_is_bounded(client: BlogClient, make_entry: MakeEntry, length: int) -> None:
    letters = random.Random(1)
    terms = ["aa" + "".join(letters.choices("ab", k=length - 2)) for _ in range(505)]
    make_entry(body=" ".join(terms[5:]))
    client.get("/blog/search?q=warm")

    query = {"q": " ".join(terms[:4])}
    took = spent(lambda: client.get("/blog/search", query_string=query))

    assert "No results." in client.get("/blog/search", query_string=query).text
    assert took < 5 * SEARCH


# Four times the text, four times the work


def lines(do: Callable[[str], object], text: str) -> int:
    """Return the number of Python lines that `do` executes for `text`."""
    number = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal number
        number += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        do(text)
    finally:
        sys.settrace(before)
    return number


@pytest.mark.parametrize("name", COUNTED)
def test_markup_is_linear_in_lines(name: str) -> None:
    do, units = COUNTED[name]
    for unit in units:
        number = 200 // len(unit) + 1
        one, four = (lines(do, unit * times) for times in (number, 4 * number))
        # Quadratic work would be sixteen times as much. Nesting beyond the limit gets cheaper.
        assert four < 6 * one + 1_000, f"{unit!r} takes {one:,} lines, then {four:,}"


@pytest.mark.parametrize("name", TIMED)
def test_markup_is_linear_in_time(name: str) -> None:
    do, units = TIMED[name]
    for unit in units:
        assert_linear(repeated(do, unit), 2_000 // len(unit) + 1, unit)


# Through the application


@pytest.mark.parametrize("unit", ["'\" ", "[", "<ul><li>", "- [x] a\n", "```py\na\n```\n", "|a"])
def test_preview_is_linear(app: Blog, make_entry: MakeEntry, unit: str) -> None:
    make_entry()
    config = replace(app.config, comment_format="markdown", comment_length=50_000)
    client = BlogClient(Blog(config, app.engine, app.secret))

    def preview() -> None:
        text = (unit * 50_000)[:50_000]
        assert client.send_comment("a-title", text=text, preview="yes").status_code == 200

    assert spent(preview) < 4


@pytest.mark.parametrize(
    "query", ["+", "%22a", "a%22", "-", "%CC%81", "a%CC%81+", "%E6%97%A5", "["]
)
def test_long_query_is_linear(client: BlogClient, query: str) -> None:
    def ask(times: int) -> None:
        for path in ("/blog/search?q=", "/blog?page=", "/blog/"):
            client.get(path + query * times)

    ask(1)
    assert_linear(ask, 5_000)


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Content-Type",
        "Cookie",
        "Forwarded",
        "If-Modified-Since",
        "If-None-Match",
        "If-Range",
        "Origin",
        "Range",
        "X-Forwarded-For",
    ],
)
def test_long_header_is_linear(client: BlogClient, name: str) -> None:
    def ask(value: str) -> None:
        client.get("/blog", headers={name: value})

    ask("a")
    for unit in (
        "a,",
        "a=b;",
        '"',
        'W/"a",',
        '\\"',
        "a;q=1,",
        "0-1,",
        " ",
        "1.2.3.4, ",
        'a/b;c="d",',
    ):
        assert_linear(repeated(ask, unit), 16_000 // len(unit), unit)


def test_tags_of_one_slug_are_linear(engine: Engine, tmp_path: Path) -> None:
    names = map("".join, product("!?#$%&*+=<>/|~.;", repeat=3))
    front = "tags: [" + ", ".join(f"'{name}'" for name in names) + "]"
    (tmp_path / "posts").mkdir()
    (tmp_path / "posts" / "a.md").write_text(f"---\n{front}\n---\nText.", encoding="utf-8")

    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(engine, "before_cursor_execute", count)
    summary = import_all(tmp_path / "posts", engine)

    assert "Has 4,096 tags: only the first 100 were imported." in summary.notes
    assert statements < 100 * 30
    assert not import_all(tmp_path / "posts", engine).updated


@pytest.mark.parametrize(
    "unit", ["<title> ", "<![CDATA[", "<link>", "<wp:author><link>", "&amp", "<a:b "]
)
def test_broken_export_is_linear(engine: Engine, tmp_path: Path, unit: str) -> None:
    whole = (EXPORTS / "wordpress.xml").read_text(encoding="utf-8")
    place = whole.index("<item>")

    def read(times: int) -> None:
        broken = f"{whole[:place]}{unit * times}<item>{unit * times}</item>{whole[place:]}"
        (tmp_path / "export.xml").write_text(broken, encoding="utf-8")
        import_all(tmp_path / "export.xml", engine)

    read(1)
    assert_linear(read, 2_000)
