"""Slugs: the part of an address made from a title."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator

# Other letters keep their marks: й without its breve is another letter.
_MARKED_LATIN = re.compile("(^|[\\W_A-Za-z0-9])[\u0300-\u036f]+")
# What turns ❤ into its emoji and 1 into a keycap: marks by category, invisible in an address.
_SYMBOL_MARKS = re.compile("[\u20d0-\u20ff\ufe00-\ufe0f\U000e0100-\U000e01ef]")

# Normalising sorts each run of accents, in time quadratic in its length.
_LOOKED_AT = 1_000
_FEW = 20


def slugify(text: str, max_length: int = 80) -> str:
    """Make the slug of a title: letters and digits of every script, joined by hyphens.

    :param text: what an author typed, of which the first 1,000 characters count.
    :param max_length: characters at most; a longer slug is cut at a hyphen if there is one.
    :return: the slug, or ``""`` for a text without letters or digits.
    """
    apart = _SYMBOL_MARKS.sub("", unicodedata.normalize("NFKD", text[:_LOOKED_AT]))
    letters = unicodedata.normalize("NFC", _MARKED_LATIN.sub(r"\1", apart).lower())
    return _cut("-".join(_words(letters)), max_length)


def _words(text: str) -> list[str]:
    kept: list[str] = []
    for character in text:
        kind = unicodedata.category(character)[0]
        belongs = kind in "LN" or (kind == "M" and kept[-1:] not in ([], [" "]))
        kept.append(character if belongs else " ")
    return "".join(kept).split()


def _cut(slug: str, max_length: int) -> str:
    if len(slug) <= max_length:
        return slug
    head, hyphen, _ = slug[: max_length + 1].rpartition("-")
    return head if hyphen else slug[:max_length]


def few(wanted: str) -> Iterator[str]:
    """Yield `wanted`, ``wanted-2`` and so on to ``wanted-20``."""
    yield wanted
    yield from (f"{wanted}-{number}" for number in range(2, _FEW + 1))


def numbered(wanted: str, taken: Callable[[str], bool]) -> str:
    """Return `wanted`, or the first of ``wanted-2``, ``wanted-3``, … that is not `taken`.

    Beyond ``wanted-20`` the numbers are not tried one by one: where some have become free again,
    it may be a later one.
    """
    free = next((slug for slug in few(wanted) if not taken(slug)), None)
    if free is not None:
        return free
    low, high = _FEW, 2 * _FEW
    while taken(f"{wanted}-{high}"):
        low, high = high, 2 * high
    between = range(low + 1, high)
    place = bisect_left(between, True, key=lambda number: not taken(f"{wanted}-{number}"))
    return f"{wanted}-{low + 1 + place}"
