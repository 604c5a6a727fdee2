"""The XML of a WordPress export (WXR), whole or damaged, one child of the channel at a time.

A well-formed file is read as a stream. Any other file is split where items begin; each item is
repaired and parsed alone, and items beyond repair are reported.
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring, iterparse

from blog.importing.items import Skipped
from blog.importing.texts import WINDOWS, one_line, readable, unicode_encoding

#: The namespaces of WXR, in any version and scheme, and their prefixes.
_NAMESPACES = {
    "wp": re.compile(r"https?://wordpress\.org/export/[\d.]+/"),
    "excerpt": re.compile(r"https?://wordpress\.org/export/[\d.]+/excerpt/"),
    "content": re.compile(r"https?://purl\.org/rss/1\.0/modules/content/"),
    "dc": re.compile(r"https?://purl\.org/dc/elements/1\.1/"),
}
_ASSUMED = {
    "wp": "http://wordpress.org/export/1.2/",
    "excerpt": "http://wordpress.org/export/1.2/excerpt/",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
}

_ITEM = re.compile(r"(?=<item[\s>])")
_END = "</item>"
_ABOUT_THE_BLOG = re.compile(r"<(/?)(wp:author|wp:base_blog_url|link)>", re.IGNORECASE)
_CDATA = re.compile(r"(<!\[CDATA\[.*?(?:\]\]>|\Z))", re.DOTALL)
#: In characters: a longer title is a result of broken XML.
_LONGEST_TITLE = 200
_PREFIX = re.compile(r"[<\s/]([A-Za-z_][\w.-]{0,40}):[A-Za-z_]", re.ASCII)
# An ampersand, with the entity that it may begin; an angle bracket that begins no tag.
_STRAY = re.compile(
    r"&(?:#\d{1,9};|#x[0-9a-f]{1,9};|[a-z][a-z0-9]{1,40};)?|<(?![a-z/!?])", re.IGNORECASE
)
_RESERVED = {"xml", "xmlns"}
_XML_KNOWS = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"}


class UnsafeXMLError(Exception):
    """The file declares entities. Exports never do; attacks on XML parsers do."""


class Part:
    """An element of a WXR file.

    :param element: the parsed element.
    :param depth: how many levels below it are read; WXR has at most two in an item.
    :param mended: whether its XML was repaired.
    :param is_whole: whether its end was in the file.
    """

    def __init__(
        self, element: Element, *, depth: int = 2, mended: bool = False, is_whole: bool = True
    ) -> None:
        self.name = _known(element.tag)
        self.mended = mended
        self.is_whole = is_whole
        self._element = element
        self._parts: defaultdict[str, list[Part]] = defaultdict(list)
        for child in element if depth else ():
            self._parts[_known(child.tag)].append(Part(child, depth=depth - 1))

    @property
    def value(self) -> str:
        """The text, including that of inner elements, which an exporter forgot to escape."""
        inner = ((child.text or "") + (child.tail or "") for child in self._element)
        return readable((self._element.text or "") + "".join(inner))

    def text(self, name: str) -> str:
        """Return the text of the first part called `name`, without outer space, or ``""``."""
        return next((part.value.strip() for part in self.all(name)), "")

    def all(self, name: str) -> "list[Part]":
        """Return the parts called `name`, as in ``wp:comment``."""
        return self._parts.get(name, [])

    def attribute(self, name: str) -> str:
        return self._element.get(name, "")


@lru_cache(maxsize=256)
def _known(tag: str) -> str:
    uri, brace, name = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    if not brace:
        return name
    return next((f"{p}:{name}" for p, known in _NAMESPACES.items() if known.fullmatch(uri)), tag)


class WXRFile:
    """A WXR file.

    :param path: the file. It is read once, to check whether it is well-formed.
    :raises UnsafeXMLError: it declares entities.
    :raises OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        try:
            self._items = sum(part.name == "item" for part in _streamed(path))
        except DefusedXmlException as error:
            raise UnsafeXMLError from error
        except (ParseError, ValueError) as error:
            self.problem = one_line(str(error))
            pieces = _pieces(path)
            if "<!ENTITY" in next(pieces):
                raise UnsafeXMLError from error
            self._items = sum(1 for _ in pieces)

    def __len__(self) -> int:
        """Return the number of items."""
        return self._items

    def __iter__(self) -> Iterator[Part | Skipped]:
        """Yield the children of the channel in order, and the items that cannot be read."""
        return _streamed(self.path) if self.problem is None else _mended(self.path)


def _streamed(path: Path) -> Iterator[Part]:
    ancestors: list[Element] = []
    with path.open("rb") as file:
        for event, element in iterparse(file, events=("start", "end")):
            if event == "start":
                ancestors.append(element)
                continue
            ancestors.pop()
            if len(ancestors) == 2:
                yield Part(element)
                ancestors[-1].clear()  # otherwise the parsed items would fill the memory


def _pieces(path: Path) -> Iterator[str]:
    """Yield the text before the first item, then each item with the text after it."""
    pending: list[str] = []
    with path.open("rb") as file:
        encoding = unicode_encoding(file.read(4))
    errors = WINDOWS if encoding == "utf-8-sig" else "replace"
    with path.open(encoding=encoding, errors=errors) as lines:
        for line in lines:
            before, *items = _ITEM.split(line)
            pending.append(before)
            for item in items:
                yield "".join(pending)
                pending = [item]
    yield "".join(pending)


def _mended(path: Path) -> Iterator[Part | Skipped]:
    pieces = _pieces(path)
    for about in _about_the_blog(next(pieces)):
        part = _mended_part(about)
        if isinstance(part, Part):
            yield part
    for number, piece in zip(count(1), pieces):
        item, end, _ = piece.rpartition(_END)
        part = _mended_part((item if end else piece) + _END, is_whole=bool(end))
        yield part if isinstance(part, Part) else Skipped(_name(piece, number), part)


def _about_the_blog(text: str) -> Iterator[str]:
    """Yield the elements in `text` that describe the blog, each from its last opening tag."""
    begun: dict[str, int] = {}
    for tag in _ABOUT_THE_BLOG.finditer(text):
        if not tag[1]:
            begun[tag[2].lower()] = tag.start()
        elif (start := begun.pop(tag[2].lower(), None)) is not None:
            yield text[start : tag.end()]


def _mended_part(text: str, *, is_whole: bool = True) -> Part | str:
    """Return the one element in `text`, or the reason why it cannot be read."""
    written = _CDATA.split(readable(text))
    mended = [
        piece if number % 2 else _STRAY.sub(_xml, piece) for number, piece in enumerate(written)
    ]
    used = {prefix for piece in mended[::2] for prefix in _PREFIX.findall(piece)}
    names = ((prefix, _ASSUMED.get(prefix, f"urn:{prefix}")) for prefix in used - _RESERVED)
    declared = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in names)
    try:
        (element,) = fromstring(f"<channel {declared}>{''.join(mended)}</channel>")
    except ParseError as error:
        return f"its XML is broken ({str(error).partition(':')[0]})"
    except ValueError:
        return "its XML is broken (it ends somewhere else)"
    return Part(element, mended="".join(mended) != text, is_whole=is_whole)


def _xml(stray: re.Match[str]) -> str:
    """Return the XML for a character reference or a stray character of HTML."""
    text = stray[0]
    if text in _XML_KNOWS:
        return text
    meant = html.unescape(text) if text.endswith(";") else text
    return escape(readable(meant))


def _name(piece: str, number: int) -> str:
    _, _, rest = piece.partition("<title>")
    inner, end, _ = rest.partition("</title>")
    title = one_line(inner.strip().removeprefix("<![CDATA[").removesuffix("]]>"))
    is_title = end and 0 < len(title) <= _LONGEST_TITLE
    return f"“{title}” (item {number})" if is_title else f"item {number}"
