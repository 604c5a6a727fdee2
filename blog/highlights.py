"""The words that were found, marked in the text that they were found in."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from blog.models.searchable import UNSPACED

#: How much of a text is shown, in characters, and how much of that before the first word found.
EXCERPT = 240
BEFORE = 80

#: How much of a text is looked through, in characters.
LOOKED_THROUGH = 200_000

_MARKS = "[\u0300-\u036f]*"
_NO_LETTER = r"(?![^\W_])"
_UNSPACED = re.compile(f"[{UNSPACED}]")


def _bare(letter: str) -> str:
    return unicodedata.normalize("NFD", letter)[0]


#: Letters without their accents, one for one, so that places in the text stay what they are.
_BARE = {code: bare for code in range(0xC0, 0x1F00) if (bare := _bare(chr(code))) != chr(code)}


def highlighter(words: Sequence[str], *, is_open: bool) -> "re.Pattern[str]":
    """Return what finds `words` in a text, as the index does.

    :param words: words and phrases of a query: of letters and digits, with spaces between.
    :param is_open: the last one may go on.
    """
    last = len(words) - 1
    patterns = [_pattern(word, is_open and n == last) for n, word in enumerate(words)]
    return re.compile("|".join(patterns), re.IGNORECASE)


def _pattern(phrase: str, is_open: bool) -> str:
    words = phrase.split()
    patterns = [_word(word) for word in words]
    if is_open and not _UNSPACED.match(words[-1]):
        patterns[-1] = patterns[-1].removesuffix(_NO_LETTER) + r"[\w\u0300-\u036f]*"
    return r"[\W_]*".join(patterns)


def _word(word: str) -> str:
    bare = "".join(c for c in unicodedata.normalize("NFD", word) if not "\u0300" <= c <= "\u036f")
    letters = "".join(re.escape(letter) + _MARKS for letter in unicodedata.normalize("NFC", bare))
    if _UNSPACED.match(word):
        return letters
    return rf"(?<![^\W_]){letters}{_NO_LETTER}"


def marked(text: str, pattern: "re.Pattern[str]") -> Markup:
    """Return `text` as HTML, with what `pattern` finds in <mark>."""
    return Markup("").join(_pieces(text, pattern))


def _pieces(text: str, pattern: "re.Pattern[str]") -> Iterator[Markup]:
    end = 0
    for match in pattern.finditer(text.translate(_BARE)):
        yield escape(text[end : match.start()])
        end = match.end()
        yield Markup("<mark>{}</mark>").format(text[match.start() : end])
    yield escape(text[end:])


def excerpt(text: str, pattern: "re.Pattern[str]") -> Markup:
    """Return the part of `text` around the first word that `pattern` finds, as HTML with marks."""
    first = pattern.search(text[:LOOKED_THROUGH].translate(_BARE))
    start = max(first.start() - BEFORE, 0) if first else 0
    if start:
        start = text.find(" ", start, start + BEFORE) + 1 or start
    end = start + EXCERPT
    if end < len(text):
        end = max(text.rfind(" ", start + EXCERPT // 2, end), 0) or end
    before, after = "… " if start else "", " …" if end < len(text) else ""
    return Markup("{}{}{}").format(before, marked(text[start:end], pattern), after)
