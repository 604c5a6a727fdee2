"""Parsed search queries, and their scope.

A query is words, ``"phrases"`` and ``-exclusions``; all words must match, the last one as a prefix.
Any text is a valid query.
"""

import re
from dataclasses import dataclass

from blog.text.folding import fold, is_unspaced

#: The most words and phrases of a query that are used.
MOST_WORDS = 20

#: The most characters of a word or phrase that are used.
LONGEST_WORD = 100

#: The shortest prefix, in bytes of UTF-8: three Latin letters, two Cyrillic ones, or one Korean
#: syllable. A single letter would match much of the index.
SHORTEST_BEGINNING = 3

_PART = re.compile(r'(-?)"([^"]*)"?|([^\s"]+)')


@dataclass(frozen=True)
class Query:
    """A parsed query.

    :param words: the words and phrases that must match.
    :param without: the words and phrases that must not match.
    :param is_open: whether the last word is a prefix.
    :param is_cut: whether a part of the query was ignored, because it is too long.
    """

    words: tuple[str, ...]
    without: tuple[str, ...]
    is_open: bool
    is_cut: bool = False

    @classmethod
    def parse(cls, given: str) -> "Query":
        """Parse a query, any text."""
        words: list[str] = []
        without: list[str] = []
        is_open = False
        parts = [m.groups() for m in _PART.finditer(given[: MOST_WORDS * LONGEST_WORD])]
        for minus, phrase, word in parts[:MOST_WORDS]:
            excluded = bool(minus) or (word or "").startswith("-")
            wanted = _words(phrase if word is None else word)
            if wanted:
                (without if excluded else words).append(wanted)
                is_open = word is not None and not excluded and _may_go_on(wanted)
        cut = len(parts) > MOST_WORDS or len(given) > MOST_WORDS * LONGEST_WORD
        return cls(tuple(words), tuple(without), is_open, cut)


def _may_go_on(phrase: str) -> bool:
    """Tell whether the last word may be a prefix: long enough, in a script with spaces."""
    last = phrase.split()[-1]
    return len(last.encode()) >= SHORTEST_BEGINNING and not is_unspaced(last)


def _words(given: str) -> str:
    """Return the folded words of a word or phrase, without a word that the limit truncates."""
    folded = fold(given[:LONGEST_WORD])
    return folded.rpartition(" ")[0] or folded if len(given) > LONGEST_WORD else folded


@dataclass(frozen=True)
class Scope:
    """Which texts to search.

    :param tag: the id of a tag: only entries with it. None for all texts.
    :param year: only texts published in this year. None for all years.
    :param comments: whether to search comments, too.
    """

    tag: int | None = None
    year: int | None = None
    comments: bool = True
