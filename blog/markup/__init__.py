"""Render texts of authors and readers to safe HTML.

Everything here is a function of its text alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from html import unescape
from itertools import groupby, takewhile
from sys import getsizeof
from typing import Literal
from urllib.parse import urljoin
from zlib import crc32

from markupsafe import Markup, escape

from blog import urls
from blog.caches import Cache
from blog.markup.finishing import finish_body, finish_comment, finish_phrase
from blog.markup.fragments import Element, Fragment
from blog.markup.markdown import comment_to_html, phrase_to_html, to_html
from blog.markup.quotes import quotes_of
from blog.markup.sanitising import clean_body, clean_comment, clean_phrase

Format = Literal["markdown", "html"]
CommentFormat = Literal["text", "markdown", "html"]

#: The version of the output of :func:`render`: raise it with every visible change.
_RENDERER = 3

_EXCERPT = 280
_LONGEST_WORD = 40
_WORDS_A_MINUTE = 230
_CHARACTERS_A_MINUTE = 500
# Kana and ideographs, which have no spaces between words.
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_MORE = re.compile(r"<!--\s{0,9}more\b[^<>]{0,200}-->", re.IGNORECASE)
_RELATIVE = re.compile(r"""\s(?:srcset|(?:href|poster|src)="(?!https?:|mailto:))""")
_FROM_THE_ROOT = re.compile(r"""\s(?:srcset|(?:href|poster|src)="/)""")
_PICTURE = re.compile(r'<img [^<>]*?\bsrc="([^"]+)"')
_BLOCK = re.compile(r"<(?:p|br|pre|ul|ol|div|blockquote)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Rendered:
    """The body of an entry, ready to be shown.

    :param html: safe HTML; its headings begin with h2.
    :param excerpt: plain text: up to a ``<!-- more -->``, otherwise the beginning.
    :param minutes: the reading time, at least 1.
    :param text: its words, as plain text on one line.
    """

    html: Markup
    excerpt: str
    minutes: int
    text: str


@dataclass(frozen=True)
class Seen:
    """A comment as readers see it.

    :param text: all of its text, on one line.
    :param links: the address of each link.
    :param beside: the text outside of links.
    """

    text: str
    links: tuple[str, ...]
    beside: str


@cache
def renderer(language: str) -> int:
    """Return the version of renderings by this code, with the quotes of a language.

    :param language: a language tag such as ``pt-BR``.
    :return: a number of 31 bits.
    """
    return crc32(f"{_RENDERER} {quotes_of(language)}".encode()) >> 1


@lru_cache(maxsize=128)
def render(text: str, format: Format, language: str = "en") -> Rendered:
    """Render the body of an entry.

    :param text: what the author wrote, or what an import brought; any text.
    :param format: the markup language it is written in.
    :param language: the language tag of the blog, which decides the quotes in Markdown.
    :return: the body, its excerpt and its length in minutes.
    """
    raw = to_html(text, language) if format == "markdown" else text
    html = finish_body(clean_body(raw))
    whole = Fragment(html)
    more = _MORE.search(raw)
    teaser = _prose(Fragment(clean_body(raw[: more.start()]))) if more else ""
    text = whole.text()
    excerpt = teaser or shorten(_prose(whole), _EXCERPT)
    return Rendered(_safe(html), excerpt, _minutes(text), text)


@lru_cache(maxsize=128)
def render_summary(text: str, language: str = "en") -> Markup:
    """Render an author's summary: Markdown within one paragraph, links allowed.

    :param text: any text.
    :param language: the language tag of the blog.
    :return: safe HTML without a block.
    """
    return _safe(finish_phrase(clean_phrase(phrase_to_html(text, language))))


#: Comments as they were rendered, previews among them: 4 MiB.
_comments: Cache[tuple[str, str, str], Markup] = Cache(4 * 1024 * 1024)
#: The memory per comment in it besides the texts, in bytes.
_OVERHEAD = 600


def render_comment(text: str, format: CommentFormat, language: str = "en") -> Markup:
    """Render a comment: paragraphs and lines of plain text, or Markdown or HTML with few tags.

    :param text: any text.
    :param format: ``"text"`` is shown as typed, the others are cleaned.
    :return: safe HTML; its links pass on no reputation.
    """
    key = text, format, language
    html = _comments.get(key)
    if html is None:
        html = _rendered_comment(text, format, language)
        _comments.put(key, html, getsizeof(text) + getsizeof(html) + _OVERHEAD)
    return html


def _rendered_comment(text: str, format: CommentFormat, language: str = "en") -> Markup:
    if format == "text":
        return _safe(clean_comment(_paragraphs(escape(text))))
    if format == "markdown":
        return _safe(finish_comment(clean_comment(comment_to_html(text, language))))
    # Other blogs store line ends, and make paragraphs of them when they show a comment.
    html = text if _BLOCK.search(text) else _paragraphs(text)
    return _safe(finish_comment(clean_comment(html)))


def seen(text: str, format: CommentFormat) -> Seen:
    """Return a comment as readers see it, which may differ from the typed text: ``&#104;ttp://``.

    :param text: any text.
    :param format: the language it is written in.
    """
    comment = Fragment(render_comment(text, format))
    shown = comment.text()
    links = [element for element in comment.elements if "href" in element.attributes]
    for link in links:
        comment.pieces[link.first + 1 : link.last] = [" "] * (link.last - link.first - 1)
    addresses = tuple(link.attributes["href"] for link in links)
    return Seen(shown, addresses, comment.text())


def plain(html: str) -> str:
    """Return the text of HTML, on one line.

    :param html: any text.
    :return: its words, without marks of footnotes; not escaped.
    """
    return Fragment(clean_body(html)).text()


def shorten(text: str, length: int) -> str:
    """Return `text`, or its beginning with a “…” if it has more than `length` characters."""
    if len(text) <= length:
        return text
    # Far from the end a space divides no words: Chinese may have one in a paragraph.
    end = text.rfind(" ", length - _LONGEST_WORD, length + 1)
    return f"{text[: end if end > 0 else length].rstrip('.,;:!?…–— ')}…"


def absolute_links(html: str, base_url: str, mount: str = "") -> str:
    """Make a body readable elsewhere: in a feed, or in a mail.

    :param html: what :func:`render` returned.
    :param base_url: the absolute address of the entry.
    :param mount: the path that the blog is mounted under there, as ``/journal``.
    :return: the body, every relative address in it and every ``#fragment`` absolute.
    """
    if not _RELATIVE.search(html):
        return html
    return _with_addresses(html, lambda address: _joined(base_url, urls.mounted(address, mount)))


def mounted(html: str, mount: str) -> Markup:
    """Point links and pictures within the blog below its mount, which the stored text leaves out.

    :param html: what :func:`render`, :func:`render_summary` or :func:`render_comment` returned.
    :param mount: the path, as ``/journal``; empty for none.
    """
    if not mount or not _FROM_THE_ROOT.search(html):
        return _safe(html)
    return _safe(_with_addresses(html, lambda address: urls.mounted(address, mount)))


def first_picture(html: str, base_url: str, mount: str = "") -> str | None:
    """Return the absolute address of the first picture in a body.

    See :func:`absolute_links` for the parameters.
    """
    found = _PICTURE.search(html)
    return _joined(base_url, urls.mounted(unescape(found[1]), mount)) if found else None


def _with_addresses(html: str, changed: Callable[[str], str]) -> str:
    body = Fragment(html)
    for element in body.elements:
        _change_addresses(element, changed)
    return str(body)


def _change_addresses(element: Element, changed: Callable[[str], str]) -> None:
    for name in ("href", "poster", "src"):
        if name in element.attributes:
            element.attributes[name] = changed(element.attributes[name])
    if srcset := element.attributes.get("srcset"):
        # As the cleaner writes it: no address contains a space, and each list is divided by ", ".
        element.attributes["srcset"] = ", ".join(changed(each) for each in srcset.split(", "))


def _joined(base_url: str, address: str) -> str:
    try:
        return urljoin(base_url, address)
    except ValueError:  # an address like http://[x
        return address


def _safe(html: str) -> Markup:
    return Markup(html)  # noqa: S704 - only the output of a cleaner comes here


def _paragraphs(html: str) -> str:
    blocks = groupby(html.splitlines(), key=lambda line: bool(line.strip()))
    paragraphs = ("<br>\n".join(block) for filled, block in blocks if filled)
    return "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)


def _prose(body: Fragment) -> str:
    above = takewhile(lambda e: e.attributes.get("class") != "footnotes", body.elements)
    paragraphs = (body.text(e) for e in above if e.name == "p")
    return " ".join(filter(None, paragraphs)) or body.text()


def _minutes(text: str) -> int:
    characters = len(_CJK.findall(text))
    words = len(_CJK.sub(" ", text).split())
    return max(1, round(words / _WORDS_A_MINUTE + characters / _CHARACTERS_A_MINUTE))
