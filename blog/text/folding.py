"""Text folding for search: one rule for the index, for queries, and for the marks in results.

Words are equal if they differ only in case, in accents and vowel points, in invisible characters,
or in the form of their letters (NFKC; ``o`` for ``ø``). Folding is done here and not by a database:
SQLite and PostgreSQL fold differently, and PostgreSQL by the locale of its server.
"""

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate

#: Raise it with each change of the folding or of the text of a title: `threadleaf upgrade` then
#: rebuilds the search index.
VERSION = 1

# Scripts without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana, and ideographs
# with their iteration marks. Each of their letters is a word, so that a word is found as a phrase.
_UNSPACED = (
    r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)

# Letters that do not decompose, besides those with a name "... WITH ...".
_LETTERS: dict[str, str] = {
    **dict(zip("æœðþıȷŋəɛɔ", ["ae", "oe", "d", "th", *"ijneeo"], strict=True)),
    # Persian keyboards have other forms of Arabic letters, and Arabic spelling varies in the rest:
    # https://lucene.apache.org/core/9_0_0/analysis/common/org/apache/lucene/analysis/ar/ArabicNormalizer.html
    **dict(zip("یکٱىةـ", ["ي", "ك", "ا", "ي", "ه", ""], strict=True)),
    # Modifier letters in use as apostrophes; fillers and joiners without a glyph.
    **dict.fromkeys("\u02bb\u02bc", " "),
    **dict.fromkeys("\u034f\u115f\u1160\u17b4\u17b5", ""),
    # Vowels that NFKC would take apart, with a mark for the letter before.
    **{vowel: vowel for vowel in "\u0e33\u0eb3"},
    # The official sign of F#, and what NFKC would append to a word.
    "♯": "#",
    **dict.fromkeys("™℠", " "),
    # Signs of the names C++, C# and .NET.
    **{sign: sign for sign in "+#."},
}

# Combining classes of marks that a word can be written without: overlays, nuktas, the points of
# Hebrew, Arabic and Syriac, accents. Viramas, the voicing marks of kana, vowels and tones of Indic
# scripts and Thai are as significant as letters.
# https://www.unicode.org/reports/tr44/#Canonical_Combining_Class_Values
_POINTS = {1, 7, *range(10, 37), *range(200, 241)}
_VARIATION_SELECTORS = {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}

#: A word of folded letters: a letter with the signs of a name, a letter of a script without spaces
#: with its marks, or a run of other letters. `.net` is the one name with a dot in front: .bashrc is
#: found without it. After 100 characters a new word begins: PostgreSQL has a limit of 2 kB for one.
WORD = re.compile(
    rf"[^\W\d_](?:\+\+|#)|(?<![^ +#])\.net(?![^ +#.])"
    rf"|[{_UNSPACED}][^\w +#.]*+|[^{_UNSPACED} +#.]{{1,100}}+"
)
_LETTER_OF_ITS_OWN = re.compile(f"[{_UNSPACED}]")
# Neither a mark nor the rest of a Korean syllable, both of which NFC may join to what is before.
_BASE = re.compile(r"[^\W\u1160-\u11ff]|[ +#.]")
# Normalising sorts each run of marks, in time quadratic in its length.
_MARKS = re.compile(r"([^\w +#.]{16})[^\w +#.]+")


# More than the different characters of a text, and some 2 MB. A visitor can send a million.
_CACHED = 10_000


class _Characters(dict[int, str]):
    """The folding of each character, cached."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _CACHED:
            self.clear()
        self[code] = folded = _fold_character(chr(code))
        return folded


def _fold_character(character: str) -> str:
    if character in _LETTERS:
        return _LETTERS[character]
    if unicodedata.category(character) == "Cf":
        return ""
    # Once more after folding case, which can compose and decompose.
    for _ in range(2):
        apart = unicodedata.normalize("NFKD", character).casefold()
        character = "".join(map(_fold_letter, apart))
    return unicodedata.normalize("NFC", character)


def _fold_letter(letter: str) -> str:
    if letter in _LETTERS:
        return _LETTERS[letter]
    category = unicodedata.category(letter)
    if category == "Nd":
        return str(unicodedata.decimal(letter))
    if category[0] in "LN":
        base = _base(letter)
        return _LETTERS.get(base, base)
    if category[0] != "M":
        return " "
    can_be_missing = (
        category == "Me"
        or unicodedata.combining(letter) in _POINTS
        or ord(letter) in _VARIATION_SELECTORS
    )
    return "" if can_be_missing else letter


def _base(letter: str) -> str:
    """Return the base letter of one that does not decompose: ``l`` for ``ł``, ``г`` for ``ґ``."""
    name, _, addition = unicodedata.name(letter, "").partition(" WITH ")
    if not addition or not name.startswith(("LATIN ", "CYRILLIC ")):
        return letter
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return letter


class _Bases(dict[int, int]):
    """The number of bases in the folding of each character, cached."""

    def __missing__(self, code: int) -> int:
        if len(self) >= _CACHED:
            self.clear()
        self[code] = number = len(_BASE.findall(_CHARACTERS[code]))
        return number


_CHARACTERS = _Characters()
_BASES = _Bases()


def letters(text: str) -> str:
    """Return `text` folded, with spaces for characters outside any :data:`WORD`."""
    if text.isascii():
        return text.translate(_CHARACTERS)
    return unicodedata.normalize("NFC", _MARKS.sub(r"\1", text.translate(_CHARACTERS)))


def joined(folded: str) -> str:
    """Return the words of :func:`letters`, separated by single spaces."""
    return " ".join(WORD.findall(folded))


def fold(text: str) -> str:
    """Return the folded words of `text`, separated by single spaces.

    The signs ``+``, ``#`` and ``.`` are part of ``c++``, ``c#`` and ``.net``; all else is letters,
    digits and marks.
    """
    return joined(letters(text))


def is_unspaced(word: str) -> bool:
    """Tell whether a folded word is a single letter of a script without spaces."""
    return _LETTER_OF_ITS_OWN.match(word) is not None


def order(name: str) -> tuple[str, str]:
    """Return the sort key of a name: the same order on all databases, Ö beside O."""
    return fold(name), name


class Origins:
    """Finds the characters of a text that its folded letters come from, from left to right.

    :param text: the original.
    :param folded: its :func:`letters`.
    """

    def __init__(self, text: str, folded: str) -> None:
        self._folded = folded
        # In most texts each letter stays in its place.
        self._is_aligned = len(text) == len(folded) and all(
            len(_CHARACTERS[ord(character)]) == 1 for character in set(text)
        )
        codes = map(ord, "" if self._is_aligned else text)
        self._bases = list(accumulate(map(_BASES.__getitem__, codes)))
        self._read = self._counted = 0

    def of(self, start: int, end: int) -> tuple[int, int]:
        """Return where the letters from `start` up to `end` begin and end in the original.

        :param start: at or behind the end of the last call.
        """
        if self._is_aligned:
            return start, end
        first, last = self._number(start), self._number(end)
        begin = bisect_right(self._bases, first)
        # With the marks behind; or the whole of a character that has other words, too.
        finish = max(bisect_right(self._bases, last), bisect_right(self._bases, last - 1) + 1)
        return min(begin, finish - 1), finish

    def _number(self, place: int) -> int:
        """Return how many characters before `place` are bases."""
        self._counted += len(_BASE.findall(self._folded, self._read, place))
        self._read = place
        return self._counted
