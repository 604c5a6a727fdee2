"""Clean HTML as texts and elements that can be changed and serialised again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from blog.markup.sanitising import PHRASES

#: The elements that have no end tag.
VOID = frozenset({"br", "col", "hr", "img", "input", "source", "track", "wbr"})

_TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z-]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')
_INLINE = (PHRASES | {"span", "rp", "rt", "ruby"}) - {"br"}
_ENTITIES = str.maketrans({"&": "&amp;", "\xa0": "&nbsp;", '"': "&quot;", "<": "&lt;", ">": "&gt;"})


@dataclass(slots=True)
class Element:
    """An element, with the places of its two tags among the pieces of its fragment.

    One that is void has its only tag at both; one without a name is written without tags.
    """

    name: str
    attributes: dict[str, str]
    parent: str
    first: int
    last: int
    before: str = ""
    after: str = ""

    def opening(self) -> str:
        if not self.name:
            return self.before
        # nh3 adds attributes in an order that differs between processes, and so would an ETag.
        attributes = sorted(self.attributes.items())
        written = "".join(f' {name}="{escaped(value)}"' for name, value in attributes)
        return f"{self.before}<{self.name}{written}>"

    def closing(self) -> str:
        return f"</{self.name}>{self.after}" if self.name and self.last > self.first else self.after


class Fragment:
    """HTML as its texts and elements.

    :param html: what :mod:`blog.markup.sanitising` wrote. There every tag is closed, every value
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
                parent = opened[-1].name if opened else ""
                element = Element(match[2], _attributes(match[3]), parent, place, place)
                self.elements.append(element)
                if element.name not in VOID:
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


def escaped(value: str) -> str:
    """Escape a text or a value as nh3 writes it, so that a second cleaning changes nothing."""
    return value.translate(_ENTITIES)
