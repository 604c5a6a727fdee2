"""The part of an address that is made from a title."""

import re
import unicodedata
from collections.abc import Callable
from itertools import chain, count

# After any other letter the mark stays: й without its breve is another letter.
_MARKED_LATIN = re.compile("(^|[\\W_A-Za-z0-9])[\u0300-\u036f]+")
# What turns ❤ into its emoji and 1 into a keycap: marks by category, invisible in an address.
_SYMBOL_MARKS = re.compile("[\u20d0-\u20ff\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def slugify(text: str, max_length: int = 80) -> str:
    """Make the slug of a title: letters and digits of every script, joined by hyphens.

    :param text: what an author typed.
    :param max_length: characters at most; a longer slug is cut at a hyphen if there is one.
    :return: the slug, or ``""`` for a text without letters or digits.
    """
    apart = _SYMBOL_MARKS.sub("", unicodedata.normalize("NFKD", text))
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


def numbered(wanted: str, taken: Callable[[str], bool]) -> str:
    """Return `wanted`, or the first of ``wanted-2``, ``wanted-3``, … that is not `taken`."""
    candidates = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    return next(slug for slug in candidates if not taken(slug))
