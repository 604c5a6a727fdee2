"""Search results with the words of the query marked.

Text and query are divided into words by one rule, so that a match is a run of equal words. No query
becomes a regular expression: overlapping repeats in one would let a query of a few bytes run for
hours.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice

from markupsafe import Markup, escape

from blog.models.searchable import UNSPACED

#: The length of an excerpt, and of its part before the first match, in characters.
EXCERPT = 240
BEFORE = 80

#: The part of a text that is searched for an excerpt, in characters.
LOOKED_THROUGH = 200_000

_ACCENTS = "\u0300-\u036f"
# A letter of a script without spaces, or letters and digits of any other; each with its accents.
_WORD = re.compile(
    rf"[{UNSPACED}][{_ACCENTS}]*+|[^\W_{UNSPACED}](?:[^\W_{UNSPACED}]|[{_ACCENTS}])*+"
)
_ACCENT = re.compile(f"[{_ACCENTS}]+")

Place = tuple[int, int]


class Highlighter:
    """Finds the words of a query in a text, by the rule of the index.

    :param words: words and phrases of a query: letters and digits, separated by spaces.
    :param is_open: whether the last word is a prefix.
    """

    def __init__(self, words: Sequence[str], *, is_open: bool) -> None:
        runs = [f" {_words_of(word)} " for word in words]
        if is_open:
            runs[-1] = runs[-1].rstrip()
        self._runs = tuple(dict.fromkeys(runs))

    def places(self, text: str) -> Iterator[Place]:
        """Yield the beginning and end of each match in `text`, in order and without overlaps."""
        words = f" {_words_of(text)} "
        found = merge(*(_occurrences(words, run) for run in self._runs), key=_longest_first)
        unread = _WORD.finditer(text)
        counted = past = 0
        for start, end in found:
            if start < past:
                continue
            # The number of words before the match, and of words in it after its first.
            skipped, more = words.count(" ", counted, start) - 1, words.count(" ", start, end)
            first = next(islice(unread, skipped, None))
            last = next(islice(unread, more - 1, None)) if more else first
            counted, past = end, end
            yield first.start(), last.end()


def _words_of(text: str) -> str:
    """Return the words of `text` without case and accents, separated by single spaces."""
    words = " ".join(_WORD.findall(text))
    if words.isascii():
        return words.lower()
    # Normalising sorts each run of accents, in time quadratic in its length.
    apart = unicodedata.normalize("NFD", _ACCENT.sub("", words).casefold())
    return unicodedata.normalize("NFC", _ACCENT.sub("", apart))


def _occurrences(words: str, run: str) -> Iterator[Place]:
    """Yield the beginning and end of each `run` in `words`, without the spaces around it."""
    length = len(run.rstrip())
    start = words.find(run)
    while start >= 0:
        yield start + 1, start + length
        # The space after one is the space before the next.
        start = words.find(run, start + length)


def _longest_first(place: Place) -> Place:
    return place[0], -place[1]


def marked(text: str, highlighter: Highlighter) -> Markup:
    """Return `text` as HTML, with each match in <mark>."""
    return Markup("").join(_pieces(text, highlighter.places(text)))


def _pieces(text: str, places: Iterable[Place]) -> Iterator[Markup]:
    last = 0
    for start, end in places:
        yield escape(text[last:start])
        yield Markup("<mark>{}</mark>").format(text[start:end])
        last = end
    yield escape(text[last:])


def excerpt(text: str, highlighter: Highlighter) -> Markup:
    """Return the part of `text` around the first match, as HTML with marks."""
    first = next(highlighter.places(text[:LOOKED_THROUGH]), (0, 0))
    start = max(first[0] - BEFORE, 0)
    if start:
        start = text.find(" ", start, start + BEFORE) + 1 or start
    end = start + EXCERPT
    if end < len(text):
        end = max(text.rfind(" ", start + EXCERPT // 2, end), 0) or end
    before, after = "… " if start else "", " …" if end < len(text) else ""
    return Markup("{}{}{}").format(before, marked(text[start:end], highlighter), after)
