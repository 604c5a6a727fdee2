"""The work for what a stranger sends is bounded: it grows with its length, and no faster."""

import random
import time
from collections.abc import Callable

import pytest

from blog.models import Comment
from tests.conftest import BlogClient, MakeEntry

MakeComment = Callable[..., Comment]

#: The CPU time that one search may take, in seconds.
SEARCH = 0.1

GRAVE, ACUTE = "\u0316", "\u0301"


def words(letter: str, mark: str, number: int = 8) -> str:
    """Return twenty words of one letter with marks, and a twenty-first that is not the last."""
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
@pytest.mark.timeout(20)
def test_no_search_takes_long(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment, text: str, q: str
) -> None:
    client.get("/blog/search?q=warm")
    # The words of the query come last, so that all before them is looked through.
    hostile = text + " " + q.replace('"', "")
    entry = make_entry(hostile, slug="entry", body=hostile, tags=(hostile,))
    make_comment(entry, hostile, name=hostile)

    before = time.process_time()
    response = client.get("/blog/search", query_string={"q": q})
    spent = time.process_time() - before

    assert response.text.count('class="found"') == 2
    assert "<mark>" in response.text
    assert spent < SEARCH


@pytest.mark.parametrize("length", [100, 20])
def test_no_proposal_takes_long(client: BlogClient, make_entry: MakeEntry, length: int) -> None:
    letters = random.Random(1)
    terms = ["aa" + "".join(letters.choices("ab", k=length - 2)) for _ in range(505)]
    make_entry(body=" ".join(terms[5:]))
    client.get("/blog/search?q=warm")

    before = time.process_time()
    response = client.get("/blog/search", query_string={"q": " ".join(terms[:4])})
    spent = time.process_time() - before

    assert "Nothing was found" in response.text
    assert spent < 5 * SEARCH
