"""Typographic quotes: the rule of markdown-it, in time linear in the length of a paragraph.

markdown-it copies the text for each quote that it replaces, and searches all open quotes for each
closing one: it takes ten seconds for 17,000 times ``'"``. Beside its rule there are the apostrophes
that begin a word, as in ``'tis the '90s``.
"""

import re
from collections import Counter
from typing import NamedTuple

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.token import Token

_APOSTROPHE = "\u2019"

# Outer and inner quotes according to https://cldr.unicode.org (version 48); French ones with narrow
# no-break spaces, and English ones within.
_ENGLISH = ("“", "”", "‘", "’")
_STYLES: dict[str, tuple[str, str, str, str]] = {
    "am fa fr-ch rm": ("«", "»", "‹", "›"),
    "ar ur": ("”", "“", "’", "‘"),
    "be os ru uk": ("«", "»", "„", "“"),
    "bg lt": ("„", "“", "„", "“"),
    "bs": ("„", "”", "‘", "’"),
    "br ca el eu it pt-pt sc": ("«", "»", "“", "”"),
    "cs de dsb et hr hsb is lb mk nds sk sl": ("„", "“", "‚", "‘"),
    "eo": ("“", "”", "«", "»"),
    "fi he se sv yi": ("”", "”", "’", "’"),
    "fr oc": ("«\u202f", "\u202f»", "“", "”"),
    "fr-ca": ("«\u202f", "\u202f»", "”", "“"),
    "hu": ("„", "”", "»", "«"),
    "hy": ("«", "»", "«", "»"),
    "ja yue zh-hant zh-hk zh-mo zh-tw": ("「", "」", "『", "』"),
    "ka": ("„", "“", "«", "»"),
    "nb nn no": ("«", "»", "‘", "’"),
    "nl": ("‘", "’", "“", "”"),
    "pl ro": ("„", "”", "«", "»"),
    "sr": ("„", "”", "’", "’"),
    "uz": ("“", "”", "’", "‘"),
}
_BY_LANGUAGE = {tag: quotes for tags, quotes in _STYLES.items() for tag in tags.split()}

# Words that begin with an apostrophe in English, Dutch and German, and decades; with a quote behind
# them, all but 'n' are in quotes.
_ELISION = re.compile(
    r"(?:n'|[nst](?=\s)|(?:\d\ds?|tis|tisn|twas|twere|twill|em|til|bout)(?![\w']))", re.IGNORECASE
)


class Quotes(NamedTuple):
    """The quotes of a language: those that double and single straight ones become."""

    double: tuple[str, str]
    single: tuple[str, str]


def quotes_of(language: str) -> Quotes:
    """Return the quotes of a language.

    :param language: a language tag such as ``en`` or ``pt-PT``; an unknown one has the English.
    """
    parts = language.lower().split("-")
    tags = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    found = next((_BY_LANGUAGE[tag] for tag in tags if tag in _BY_LANGUAGE), _ENGLISH)
    return Quotes(found[:2], found[2:])


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


def replace_quotes(tokens: list[Token], flags: list[bool], quotes: Quotes) -> None:
    """Replace the straight quotes in a paragraph.

    :param flags: for each token, whether it is prose.
    """
    pairs = {'"': quotes.double, "'": quotes.single}
    opened = _Opened()
    texts: list[tuple[Token, list[str]]] = []
    before, after = neighbours(tokens, -1), neighbours(tokens[::-1], 0)[::-1]
    for number, (token, is_prose) in enumerate(zip(tokens, flags, strict=True)):
        opened.leave(token.level)
        if is_prose:
            text = list(token.content)
            texts.append((token, text))
            line = f"{before[number]}{token.content}{after[number]}"
            _replace_in(text, line, token.level, opened, pairs)
    for token, text in texts:
        token.content = "".join(text)


def _replace_in(
    text: list[str], line: str, level: int, opened: _Opened, pairs: dict[str, tuple[str, str]]
) -> None:
    """Replace the quotes in `text`, which is `line` without its first and last character."""
    for place, kind in enumerate(text):
        if kind not in pairs:
            continue
        closing = place > 0 and text[place - 1] == pairs['"'][1]
        if kind == "'" and _is_apostrophe(line, place + 1, is_behind=closing):
            text[place] = _APOSTROPHE
            continue
        opens, closes = _sides(line[place], kind, line[place + 2])
        first = opened.match(kind, level) if closes else None
        if first is not None:
            first.text[first.place], text[place] = pairs[kind]
        elif opens:
            opened.push(_Quote(kind, level, text, place))
        elif kind == "'":
            text[place] = _APOSTROPHE


def _is_apostrophe(line: str, place: int, *, is_behind: bool) -> bool:
    """Tell whether a quote that could open one is an apostrophe: ``'tis``, ``f(x)'s``.

    :param is_behind: whether the character before it closes a quote.
    """
    if (is_behind or line[place - 1] in ")]}") and line[place + 1].isalpha():
        return True
    return not line[place - 1].isalnum() and _ELISION.match(line, place + 1) is not None


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


def neighbours(tokens: list[Token], end: int) -> list[str]:
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
