"""Typographic quotes: the rule of markdown-it, in time linear in the length of a paragraph.

markdown-it copies the text for each quote that it replaces, and searches all open quotes for each
closing one: it takes ten seconds for 17,000 times ``'"``.
"""

from collections import Counter
from typing import NamedTuple

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_APOSTROPHE = "\u2019"
_PAIRS = {'"': ("\u201c", "\u201d"), "'": ("\u2018", "\u2019")}


def smartquotes(state: StateCore) -> None:
    """Replace the straight quotes in each paragraph: a rule for markdown-it's core."""
    for token in state.tokens:
        if token.type == "inline" and token.children and _has_quote(token):
            _replace(token.children)


def _has_quote(token: Token) -> bool:
    return "'" in token.content or '"' in token.content


class _Quote(NamedTuple):
    """A quote that may open, in the text of a token."""

    kind: str
    level: int
    text: list[str]
    place: int


class _Opened:
    """The quotes that may open, counted by kind and level."""

    def __init__(self) -> None:
        self._quotes: list[_Quote] = []
        self._count: Counter[tuple[str, int]] = Counter()

    def push(self, quote: _Quote) -> None:
        self._quotes.append(quote)
        self._count[quote.kind, quote.level] += 1

    def pop(self) -> _Quote:
        quote = self._quotes.pop()
        self._count[quote.kind, quote.level] -= 1
        return quote

    def leave(self, level: int) -> None:
        """Forget those in tokens deeper than `level`."""
        while self._quotes and self._quotes[-1].level > level:
            self.pop()

    def match(self, kind: str, level: int) -> _Quote | None:
        """Return the last quote of `kind` at `level`, or None, and forget those after it."""
        if not self._count[kind, level]:
            return None
        while (quote := self.pop()).kind != kind:
            pass
        return quote


def _replace(tokens: list[Token]) -> None:
    opened = _Opened()
    texts: list[tuple[Token, list[str]]] = []
    before, after = _neighbours(tokens, -1), _neighbours(tokens[::-1], 0)[::-1]
    for number, token in enumerate(tokens):
        opened.leave(token.level)
        if token.type == "text" and _has_quote(token):
            text = list(token.content)
            texts.append((token, text))
            _replace_in(text, [before[number], *text, after[number]], token.level, opened)
    for token, text in texts:
        token.content = "".join(text)


def _replace_in(text: list[str], around: list[str], level: int, opened: _Opened) -> None:
    """Replace the quotes in `text`, which is `around` without its first and last character."""
    for place, kind in enumerate(text):
        if kind not in _PAIRS:
            continue
        opens, closes = _sides(around[place], kind, around[place + 2])
        first = opened.match(kind, level) if closes else None
        if first is not None:
            first.text[first.place], text[place] = _PAIRS[kind]
        elif opens:
            opened.push(_Quote(kind, level, text, place))
        elif kind == "'":
            text[place] = _APOSTROPHE


def _sides(before: str, kind: str, after: str) -> tuple[bool, bool]:
    """Tell whether a quote may open, and whether it may close, by the characters next to it."""
    if kind == after == '"' and "0" <= before <= "9":
        return False, False  # 1"" has an inch before its quote
    space_before, space_after = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
    mark_before, mark_after = _is_mark(before), _is_mark(after)
    opens = not space_after and (not mark_after or space_before or mark_before)
    closes = not space_before and (not mark_before or space_after or mark_after)
    # Within a word it is neither; within a row of marks what follows decides.
    return (mark_before, mark_after) if opens and closes else (opens, closes)


def _is_mark(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)


def _neighbours(tokens: list[Token], end: int) -> list[str]:
    """Return for each token the character at the `end` of those before it in its line."""
    found: list[str] = []
    character = " "
    for token in tokens:
        found.append(character)
        if token.type in {"softbreak", "hardbreak"}:
            character = " "
        elif token.content:
            character = token.content[end]
    return found
