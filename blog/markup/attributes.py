"""Attributes in braces, as kramdown, Hugo and Pandoc write them: ``## Head {#id}``, ``{: .class}``.

An id is used, so that links to it work. Everything else is dropped: it is not text.
"""

import re
from itertools import pairwise

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

#: With more characters it is text.
_LONGEST = 300
_ONE = re.compile(
    r"(?:#(?P<id>[^\s{}\"'=#]++)|\.[^\s{}\"'=#.]++"
    r"|[\w:-]++=(?:\"[^\"{}]*+\"|'[^'{}]*+'|[^\s{}\"'#]++))\s*+"
)
_SPANS = frozenset({"code_inline", "em_close", "image", "link_close", "s_close", "strong_close"})


def take_attributes(state: StateCore) -> None:
    """Take attributes out of the text of a body: a rule for markdown-it's core."""
    tokens = state.tokens
    removed: set[int] = set()
    for place, token in enumerate(tokens):
        if token.type != "inline" or not token.children:
            continue
        above = tokens[place - 1]
        _take_from_spans(token.children)
        if above.type == "heading_open":
            _take_from_heading(above, token.children)
        elif above.type == "paragraph_open":
            _take_from_paragraph(above, token.children)
            if not token.children:
                removed |= {place - 1, place, place + 1}
                _give_to_block_before(tokens, place - 1)
    if removed:
        state.tokens = [each for place, each in enumerate(tokens) if place not in removed]


def _ids(text: str, marks: str = "{:") -> list[str] | None:
    """Return the ids among the attributes in braces, or None for another text."""
    text = text.strip(" ")
    if len(text) > _LONGEST or not text.startswith(marks) or not text.endswith("}"):
        return None
    inner = text[1:-1].removeprefix(":").lstrip()
    ids: list[str] = []
    place = 0
    while place < len(inner):
        found = _ONE.match(inner, place)
        if found is None:
            return None
        ids += [found["id"]] if found["id"] else []
        place = found.end()
    return ids if inner else None


def _take(token: Token, ids: list[str]) -> None:
    if ids:
        token.attrs.setdefault("id", ids[0])


def _take_from_spans(children: list[Token]) -> None:
    for before, token in pairwise(children):
        if before.type in _SPANS and token.type == "text" and token.content.startswith("{:"):
            end = token.content.find("}", 0, _LONGEST) + 1
            if _ids(token.content[:end]) is not None:
                token.content = token.content[end:]


def _take_from_heading(heading: Token, children: list[Token]) -> None:
    last = children[-1]
    place = last.content.rfind("{")
    if last.type == "text" and (place > 0 or (place == 0 and len(children) > 1)):
        ids = _ids(last.content[place:], "{")
        if ids is not None:
            _take(heading, ids)
            last.content = last.content[:place].rstrip()


def _take_from_paragraph(paragraph: Token, children: list[Token]) -> None:
    for end, neighbour in ((-1, -2), (0, 1)):
        if not children or children[end].type != "text":
            continue
        is_line = len(children) == 1 or children[neighbour].type == "softbreak"
        ids = _ids(children[end].content) if is_line else None
        if ids is not None:
            _take(paragraph, ids)
            del children[end]
            if children:
                del children[end]


def _give_to_block_before(tokens: list[Token], place: int) -> None:
    """Give the id of the paragraph at `place`, of which nothing is left, to the block before it."""
    wanted, level = tokens[place].attrs.get("id"), tokens[place].level
    before = place - 1
    while wanted and before >= 0 and tokens[before].level >= level:
        if tokens[before].level == level and tokens[before].nesting >= 0:
            tokens[before].attrs.setdefault("id", wanted)
            return
        before -= 1
