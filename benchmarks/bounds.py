"""The cost of a byte of hostile input: CPU time for each kind of text that others may write.

    python benchmarks/bounds.py            # a minute; prints a table in Markdown
    python benchmarks/bounds.py --write    # puts it into docs/bounds.md

Each text is a short one, repeated. ``tests/test_bounded_work.py`` reads the same tables and asserts
that four times the text takes four times the work.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Not the directory of this file, where `pool` would be a file in it.
sys.path[0] = str(ROOT)

from werkzeug.datastructures import ImmutableMultiDict  # noqa: E402

from benchmarks import docs  # noqa: E402
from blog import markup  # noqa: E402
from blog.comments import spam  # noqa: E402
from blog.comments.forms import CommentForm  # noqa: E402
from blog.config import Config  # noqa: E402
from blog.importing.fields import Fields, last_part  # noqa: E402
from blog.importing.front_matter import split  # noqa: E402
from blog.importing.markdown import first_heading  # noqa: E402
from blog.importing.paragraphs import paragraphs  # noqa: E402
from blog.importing.texts import is_iri, text_of  # noqa: E402
from blog.importing.visibility import decide, stray_metadata  # noqa: E402
from blog.importing.wxr import _mended_part, _name  # noqa: E402
from blog.markup.contents import contents  # noqa: E402
from blog.markup.markdown import comment_to_html, phrase_to_html, to_html  # noqa: E402
from blog.search.highlights import Highlighter, marked  # noqa: E402
from blog.search.query import Query  # noqa: E402
from blog.text.slugs import slugify  # noqa: E402

PAGE = ROOT / "docs" / "bounds.md"

#: The length of each text, in characters.
LENGTH = 10_000

QUOTES = ["'\" ", "'", "\"'", "a'", "a''b "]
EMPHASIS = ["*a ", "**a", "*a **a ", "_a_b", "a**b", "~~a ", "`a``b", "``` ", "\\\\"]
LINKS = ["[", "![", "[a](", '[a](b "c ', "[a](<", "[a][", "[[a]", "[a][b]", "[a](b) ", "[a]: b\n"]
ATTRIBUTES = ["a\n{: .b}\n\n", "{: .b}\n", "# a {#b}\n", "`a`{:.b}", "{:", "a~b~", "a^b"]
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
    "a\n: b\n\n",
    ": ",
    "a\n: - ",
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
    '<a ="',
    """<a "'""",
    '<a =""="',
    "<script>",
    "</script",
    "<x-y></x-y>",
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
MARKDOWN = [
    *QUOTES,
    *EMPHASIS,
    *LINKS,
    *ATTRIBUTES,
    *NOTES,
    *LISTS,
    *BLOCKS,
    *TYPOGRAPHY,
    *TAGS,
    *TEXTS,
]
HTML = [*TAGS, *TREES, *TEXTS]
SHORT = [*QUOTES, *TEXTS, *PARTS, "[", "a a b", "www.", "http://"]


def read_front_matter(text: str) -> None:
    for fence, end in (("---", "---"), ("+++", "+++"), ("{", "}")):
        front = split(f"{fence}\n{text}\n{end}\nText.")
        fields = Fields(front.fields)
        _ = fields.tags, fields.addresses, fields.notes, fields.slug
        decide(front.fields, front.body, fields.date, doubts=stray_metadata(front.body))


def judge(text: str) -> None:
    links = spam.addresses(text)
    content = spam.read(text, text, [*links, text])
    spam.judge(spam.Signals(content), spam.Learnt(50, 50, {}))


def parse_form(text: str) -> None:
    fields = ImmutableMultiDict(dict.fromkeys(("text", "name", "website", "parent"), text))
    CommentForm.parse(fields, Config(database="sqlite:///none"))


def search(text: str) -> None:
    query = Query.parse(text)
    marked(text, Highlighter(query.words or ("a a b",), is_open=query.is_open))


def mend(text: str) -> None:
    _mended_part(f"<item>{text}</item>")
    _name(text, 1)


#: Pure Python. Its work is the number of lines that run, which is the same each time.
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

#: Everything that is more than Python. Its work is CPU time.
TIMED: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "Markdown": (lambda text: markup.render.__wrapped__(text, "markdown"), MARKDOWN),
    "HTML": (lambda text: contents(markup.render.__wrapped__(text, "html").html), HTML),
    "a text comment": (lambda text: markup._rendered_comment(text, "text"), TEXTS),
    "a Markdown comment": (lambda text: markup._rendered_comment(text, "markdown"), TREES),
    "an HTML comment": (lambda text: markup._rendered_comment(text, "html"), HTML),
    "front matter": (read_front_matter, [*YAML, "/", ".", "-"]),
    **{name: COUNTED[name] for name in ("the spam filter", "the form", "a query and its marks")},
    **{name: COUNTED[name] for name in ("a slug", "a classic text", "a broken item")},
}


def seconds(do: Callable[[str], object], text: str) -> float:
    """Return the CPU time that `do` takes for `text`."""
    before = time.thread_time()
    do(text)
    return time.thread_time() - before


def report(length: int) -> str:
    rows = []
    for name, (do, units) in (COUNTED | TIMED).items():
        texts = {unit: unit * (length // len(unit) + 1) for unit in units}
        per_byte = {
            unit: min(seconds(do, text) for _ in range(3)) / len(text.encode()) * 1e6
            for unit, text in texts.items()
        }
        worst = max(per_byte, key=lambda unit: per_byte[unit])
        shown = ascii(worst).replace("|", "\\|")
        plain = min(seconds(do, "Plain words. " * (length // 13)) for _ in range(3)) / length * 1e6
        rows.append([name, f"`` {shown} ``", docs.digits(per_byte[worst]), docs.digits(plain)])
    head = ["reader", "worst text, repeated", "µs per byte", "plain words, µs per byte"]
    return f"{docs.table(head, rows)}\n{docs.surroundings()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/bounds.md")
    parser.add_argument("--length", type=int, default=LENGTH, help="characters per text")
    arguments = parser.parse_args()
    around = docs.page_around(PAGE) if arguments.write else None
    table = report(arguments.length)
    if around is None:
        print(table)  # noqa: T201
    else:
        docs.put(PAGE, around, table)


if __name__ == "__main__":
    main()
