"""Search results with the words of the query marked.

Text and query are divided into words by the same rule, so that a match is a run of equal words. No
query becomes a regular expression: overlapping repeats would let one of a few bytes run for hours.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice

from markupsafe import Markup, escape

from blog.text.folding import WORD, Origins, joined, letters

#: The length of an excerpt, and of its part before the first match, in characters.
EXCERPT = 240
BEFORE = 80

#: The part of a text that is searched for an excerpt, in characters.
LOOKED_THROUGH = 200_000

Place = tuple[int, int]


class Highlighter:
    """Finds the words of a query in a text, by the rule of the index.

    :param words: words and phrases of a query: letters and digits, separated by spaces.
    :param is_open: whether the last word is a prefix.
    """

    def __init__(self, words: Sequence[str], *, is_open: bool) -> None:
        runs = [f" {word} " for word in words]
        if is_open:
            runs[-1] = runs[-1].rstrip()
        self._runs = tuple(dict.fromkeys(runs))

    def places(self, text: str) -> Iterator[Place]:
        """Yield the beginning and end of each match in `text`, in order and without overlaps."""
        folded = letters(text)
        words = f" {joined(folded)} "
        found = merge(*(_occurrences(words, run) for run in self._runs), key=_longest_first)
        unread, origins = WORD.finditer(folded), Origins(text, folded)
        counted = past = shown = 0
        for start, end in found:
            if start < past:
                continue
            # The number of words before the match, and of words in it after its first.
            skipped, more = words.count(" ", counted, start) - 1, words.count(" ", start, end)
            first = next(islice(unread, skipped, None))
            last = next(islice(unread, more - 1, None)) if more else first
            counted, past = end, end
            begin, finish = origins.of(first.start(), last.end())
            # One character can contain several words: ½.
            if begin >= shown:
                yield begin, finish
                shown = finish


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
