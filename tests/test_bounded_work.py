"""The work for what a stranger sends is bounded: it grows with its length, and no faster."""

import random
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from werkzeug.datastructures import ImmutableMultiDict

from blog import markup, spam
from blog.config import Config
from blog.forms import CommentForm
from blog.highlights import Highlighter, marked
from blog.importing.fields import Fields, last_part
from blog.importing.front_matter import FrontMatterError, split
from blog.importing.markdown import first_heading
from blog.importing.paragraphs import paragraphs
from blog.importing.texts import is_iri, text_of
from blog.importing.wxr import _mended_part, _name
from blog.markup.contents import contents
from blog.markup.markdown import comment_to_html, phrase_to_html, to_html
from blog.models import Comment
from blog.search import Query
from blog.slugs import slugify
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


# Twice the text, twice the work

QUOTES = ["'\" ", "'", "\"'", "a'", "a''b "]
EMPHASIS = ["*a ", "**a", "*a **a ", "_a_b", "a**b", "~~a ", "`a``b", "``` ", "\\\\"]
LINKS = ["[", "![", "[a](", '[a](b "c ', "[a](<", "[a][", "[[a]", "[a][b]", "[a](b) ", "[a]: b\n"]
NOTES = ["^[", "^[a]", "[^a", "[^a] [^a]: b\n\n[^a", "[^1]: a\n\n[^1]"]
LISTS = ["> ", "> a\n", "> - ", "- a\n", "- > a\n", "* a\n  ", "1. ", "- [x] a\n", "- a\n\n"]
BLOCKS = [
    "# ",
    "a\n=\n",
    "---\n",
    "~~~\n",
    "    a\n",
    "\n",
    " \n",
    "\t",
    "a  \n",
    "|a|b\n|-|-\n",
    "- \n",
]
TYPOGRAPHY = [
    "(c)",
    "...",
    "--",
    "+-",
    "!!!!",
    "<a:",
    "&amp",
    "&#x41;",
    "http://",
    "www.",
    "a@b.c ",
]
TAGS = [
    "<",
    "<a",
    '<a href="',
    "<!--",
    "<!-- more ",
    "<?",
    "<!A ",
    "<![CDATA[",
    "<p>a",
    "<b>",
    "<b x>",
]
TREES = [
    "<ul><li>",
    "<div>",
    "<pre>",
    "<dl><dt>",
    "<div></b>",
    "<xa></xb>",
    "<table><td>",
    "<i><b>",
]
TREES += [
    "<div><table></div></table>",
    "<li><b>",
    "<b id=a><p>",
    "<iframe src='//a",
    '<img srcset="a 1x, ',
]
TEXTS = [
    "a",
    "a ",
    "a\u0301",
    "\u0301",
    "\u0316\u0301",
    "\ufdfa",
    "日",
    "日\u0301",
    "ß",
    "👩\u200d",
    "\0",
    "\r",
]
YAML = [
    "a: b\n",
    "- a\n",
    " a: ",
    "a:\n ",
    "? ",
    "&a ",
    "!!a ",
    "a: |\n",
    "x: 'a\n",
    'a: "\\',
]
XML = [
    "<title> ",
    "]]>",
    "<item>",
    "<link>",
    "<wp:author>",
    "<a:b",
    "&lt;",
    "&",
    "<wp:author><link>",
]
PARTS = ["/", "a/", ".", "index.html/", "%41", "{", ":", ", ", "-", "a=", ";"]
MARKDOWN = [*QUOTES, *EMPHASIS, *LINKS, *NOTES, *LISTS, *BLOCKS, *TYPOGRAPHY, *TAGS, *TEXTS]
HTML = [*TAGS, *TREES, *TEXTS]
SHORT = [*QUOTES, *TEXTS, *PARTS, "[", "a a b", "www.", "http://"]


def read_front_matter(text: str) -> None:
    for fence, end in (("---", "---"), ("+++", "+++"), ("{", "}")):
        try:
            front, _, _ = split(f"{fence}\n{text}\n{end}\nText.")
        except FrontMatterError:
            continue
        fields = Fields(front)
        assert [fields.tags, fields.addresses, fields.notes, fields.slug, fields.state]


def judge(text: str) -> None:
    links = spam.addresses(text)
    spam.judge(spam.Signals(text, text, [*links, text]), spam.Learnt(50, 50, {}))


def parse_form(text: str) -> None:
    fields = ImmutableMultiDict(dict.fromkeys(("text", "name", "website", "parent"), text))
    CommentForm.parse(fields, Config(database="sqlite:///none"))


def search(text: str) -> None:
    query = Query.parse(text)
    marked(text, Highlighter(query.words or ("a a b",), is_open=query.is_open))


def mend(text: str) -> None:
    _mended_part(f"<item>{text}</item>")
    _name(text, 1)


#: What is Python: its work is the number of lines that run, which is the same each time.
COUNTED: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "Markdown": (to_html, MARKDOWN),
    "a comment's Markdown": (comment_to_html, MARKDOWN),
    "a summary": (phrase_to_html, [*QUOTES, *EMPHASIS, *LINKS]),
    "a heading": (first_heading, [*QUOTES, *EMPHASIS, *LINKS]),
    "the spam filter": (judge, SHORT),
    "the form": (parse_form, SHORT),
    "a query and its marks": (search, SHORT),
    "a slug": (slugify, SHORT),
    "a classic text": (paragraphs, [*TAGS, *TREES, *BLOCKS]),
    "a text of HTML": (text_of, TAGS),
    "a broken item": (mend, [*XML, *TAGS]),
    "an address": (last_part, PARTS),
    "an IRI": (is_iri, SHORT),
}

#: What is more than Python: its work is CPU time.
TIMED: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "Markdown": (lambda text: markup.render.__wrapped__(text, "markdown"), MARKDOWN),
    "HTML": (lambda text: contents(markup.render.__wrapped__(text, "html").html), HTML),
    "a text comment": (lambda text: markup.render_comment.__wrapped__(text, "text"), TEXTS),
    "a Markdown comment": (lambda text: markup.render_comment.__wrapped__(text, "markdown"), TREES),
    "an HTML comment": (lambda text: markup.render_comment.__wrapped__(text, "html"), HTML),
    "front matter": (read_front_matter, [*YAML, "/", ".", "-"]),
    **{name: COUNTED[name] for name in ("the spam filter", "the form", "a query and its marks")},
    **{name: COUNTED[name] for name in ("a slug", "a classic text", "a broken item")},
}


def lines(do: Callable[[str], object], text: str) -> int:
    """Return how many lines of Python `do` runs for `text`."""
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


def seconds(do: Callable[[str], object], text: str) -> float:
    before = time.thread_time()
    do(text)
    return time.thread_time() - before


@pytest.mark.parametrize("name", COUNTED)
def test_four_times_the_text_takes_four_times_the_lines(name: str) -> None:
    do, units = COUNTED[name]
    for unit in units:
        number = 300 // len(unit) + 1
        one, four = (lines(do, unit * times) for times in (number, 4 * number))
        # Quadratic work would be sixteen times as much. What is nested too deep becomes cheaper.
        assert four < 6 * one + 1_000, f"{unit!r} takes {one:,} lines, then {four:,}"


@pytest.mark.parametrize("name", TIMED)
def test_and_no_more_than_its_time(name: str) -> None:
    do, units = TIMED[name]
    for unit in units:
        number = 3_000 // len(unit) + 1
        for _ in range(3):  # a busy machine slows one of them down
            one, four = (seconds(do, unit * times) for times in (number, 4 * number))
            if four < 8 * one + 0.05:
                break
        assert four < 8 * one + 0.05, f"{unit!r} takes {one:.3f} s, then {four:.3f} s"
