"""What makes clean HTML fit for a page: its outline, its ids, names for all that can be reached."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from html import unescape
from urllib.parse import quote, unquote

from blog.sanitising import PHRASES, clean_body
from blog.slugs import slugify

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z-]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')
_VOID = frozenset({"br", "col", "hr", "img", "input", "source", "track", "wbr"})
_INLINE = (PHRASES | {"span", "rp", "rt", "ruby"}) - {"br"}
_RESERVED = frozenset({"content", "comments", "skip"})
_RESERVED_PREFIXES = ("comment-", "tl-")


@dataclass(slots=True)
class Element:
    """An element, with the places of its two tags among the pieces of its fragment.

    One that is void has its only tag at both; one without a name is written without tags.
    """

    name: str
    attributes: dict[str, str]
    first: int
    last: int
    before: str = ""
    after: str = ""

    def opening(self) -> str:
        if not self.name:
            return self.before
        attributes = (f' {name}="{_escaped(value)}"' for name, value in self.attributes.items())
        return f"{self.before}<{self.name}{''.join(attributes)}>"

    def closing(self) -> str:
        return f"</{self.name}>{self.after}" if self.name and self.last > self.first else self.after


class Fragment:
    """HTML as its texts and elements.

    :param html: what :mod:`blog.sanitising` wrote. There every tag is closed, every value
        quoted and every other ``<`` escaped, so that a pattern reads it rightly.
    """

    def __init__(self, html: str) -> None:
        self.pieces: list[str | Element] = []
        self.elements: list[Element] = []
        self._read(html)

    def _read(self, html: str) -> None:
        opened: list[Element] = []
        end = 0
        for match in _TAG.finditer(html):
            self.pieces.append(html[end : match.start()])
            end = match.end()
            place = len(self.pieces)
            if match[1]:
                element = opened.pop()
                element.last = place
            else:
                element = Element(match[2], _attributes(match[3]), place, place)
                self.elements.append(element)
                if element.name not in _VOID:
                    opened.append(element)
            self.pieces.append(element)
        self.pieces.append(html[end:])

    def __str__(self) -> str:
        return "".join(self._written())

    def _written(self) -> Iterator[str]:
        for place, piece in enumerate(self.pieces):
            if isinstance(piece, str):
                yield piece
                continue
            if place == piece.first:
                yield piece.opening()
            if place == piece.last:
                yield piece.closing()

    def text(self, element: Element | None = None) -> str:
        """Return the text of an element or of everything, without marks of footnotes."""
        place, end = (element.first, element.last) if element else (0, len(self.pieces))
        texts: list[str] = []
        while place < end:
            piece = self.pieces[place]
            if isinstance(piece, str):
                texts.append(piece)
            elif piece.attributes.get("class") in ("footnote-ref", "footnote-backref"):
                place = piece.last
            elif piece.name not in _INLINE:
                texts.append(" ")
            place += 1
        return " ".join(unescape("".join(texts)).split())

    def empty(self) -> Iterator[Element]:
        """Find the elements that have neither text nor a picture with one."""
        shown = [0]
        for piece in self.pieces:
            seen = piece.strip() if isinstance(piece, str) else piece.attributes.get("alt")
            shown.append(shown[-1] + bool(seen))
        return (e for e in self.elements if shown[e.first] == shown[e.last + 1])


def _attributes(written: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in _ATTRIBUTE.findall(written)}


def _escaped(value: str) -> str:
    # As nh3 writes it, so that a second cleaning changes nothing.
    for character, entity in (
        ("&", "amp"),
        ("\xa0", "nbsp"),
        ('"', "quot"),
        ("<", "lt"),
        (">", "gt"),
    ):
        value = value.replace(character, f"&{entity};")
    return value


def finish_body(html: str) -> str:
    """Finish the body of an entry for a page whose title is its only h1.

    :param html: a cleaned body.
    :return: the body, its headings an outline that begins with h2 and skips no level, its ids
        unique and clear of the page's own, its pictures, links and tables named.
    """
    # With a tag gone a parser may read on in another way, so what is left is cleaned again.
    body = Fragment(clean_body(_without_broken(Fragment(html))))
    _outline(body)
    _identify(body)
    _name_links(body)
    _wrap_tables(body)
    return str(body)


def finish_comment(html: str) -> str:
    """Finish a comment: its links get names, and pass on no reputation.

    :param html: a cleaned comment.
    :return: the comment.
    """
    comment = Fragment(html)
    _name_links(comment)
    for element in comment.elements:
        if "href" in element.attributes:
            element.attributes["rel"] = "ugc nofollow noopener"
    return str(comment)


def finish_phrase(html: str) -> str:
    """Finish a phrase: its links get names.

    :param html: a cleaned phrase.
    :return: the phrase.
    """
    phrase = Fragment(html)
    _name_links(phrase)
    return str(phrase)


def _without_broken(body: Fragment) -> str:
    for element in body.elements:
        if element.name == "img":
            _mend_picture(element)
        elif element.name == "input" and "type" not in element.attributes:
            element.name = ""
    for element in body.empty():
        if element.name in _HEADINGS:
            element.name = ""
        elif element.name == "th":
            element.name = "td"
    return str(body).replace("<p></p>", "")


def _mend_picture(picture: Element) -> None:
    alt = picture.attributes.setdefault("alt", "")
    if not picture.attributes.get("src"):
        picture.name, picture.after = "", _escaped(alt)


def _outline(body: Fragment) -> None:
    above: list[int] = []
    for heading in body.elements:
        if heading.name in _HEADINGS:
            level = int(heading.name[1])
            while above and above[-1] >= level:
                above.pop()
            above.append(level)
            heading.name = f"h{min(len(above) + 1, 6)}"


class _Ids:
    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self._taken: set[str] = set()
        self._count: dict[str, int] = {}

    def give(self, wanted: str) -> str:
        found = _unreserved(wanted)
        while found in self._taken:
            self._count[wanted] = self._count.get(wanted, 1) + 1
            found = _unreserved(f"{wanted}-{self._count[wanted]}")
        self._taken.add(found)
        self.given.setdefault(wanted, found)
        return found


def _unreserved(name: str) -> str:
    reserved = name in _RESERVED or name.startswith(_RESERVED_PREFIXES)
    return f"user-{name}" if reserved else name


def _identify(body: Fragment) -> None:
    ids = _Ids()
    for element in body.elements:
        name = element.attributes.pop("name", None)
        wanted = element.attributes.get("id", name)
        if wanted:
            element.attributes["id"] = ids.give(wanted)
    for heading in _outermost(body, _HEADINGS):
        if "id" not in heading.attributes:
            heading.attributes["id"] = ids.give(slugify(body.text(heading), 60) or "section")
    for element in body.elements:
        _follow(element, ids.given)


def _follow(link: Element, given: dict[str, str]) -> None:
    address = link.attributes.get("href", "")
    wanted = unquote(address[1:])
    if address.startswith("#") and given.get(wanted, wanted) != wanted:
        link.attributes["href"] = f"#{quote(given[wanted])}"


def _name_links(fragment: Fragment) -> None:
    for element in fragment.empty():
        address = element.attributes.get("href")
        if address is not None and not element.attributes.get("aria-label"):
            tail = unquote(address).rstrip("/").rpartition("/")[2]
            element.attributes["aria-label"] = tail or "Link"


def _wrap_tables(body: Fragment) -> None:
    # A group and no region: several landmarks with one name would only be in the way.
    for table in _outermost(body, {"table"}):
        table.before = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
        table.after = "</div>"


def _outermost(body: Fragment, names: AbstractSet[str]) -> Iterator[Element]:
    end = -1
    for element in body.elements:
        if element.name in names and element.first > end:
            end = element.last
            yield element
