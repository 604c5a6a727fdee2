"""The ranking of search results, the same on all databases.

FTS5 and PostgreSQL rank differently, and FTS5 counts each phrase in all texts to do so.
"""

from collections.abc import Sequence

#: The weight of a word in a title, and in a tag or the name of a comment's author, relative to the
#: text.
TITLE = 10
TAGS = 5

#: The part of a text that is used for ranking, in characters.
LOOKED_THROUGH = 10_000

# The usual parameters k1 and b of Okapi BM25: how soon further occurrences count less, and how
# strongly scores are normalised by the length of the text (https://nlp.stanford.edu/IR-book/html/htmledition/okapi-bm25-a-non-binary-model-1.html).
_SATURATION = 1.2
_LENGTH = 0.75

#: Title, tags and the beginning of the text, folded.
Texts = tuple[str, str, str]


def scores(texts: Sequence[Texts], words: Sequence[str], *, is_open: bool) -> list[float]:
    """Return a score per text; higher is better.

    It is that of BM25 without the rarity of a word, which is the same for all texts, because each
    contains all words.

    :param texts: all matches; their average length is part of the score.
    :param words: folded words and phrases.
    :param is_open: whether the last word is a prefix.
    """
    wanted = [f" {word} " for word in words]
    if is_open:
        wanted[-1] = wanted[-1].rstrip()
    average = sum(map(_length, texts)) / len(texts) if texts else 0
    return [_score(each, wanted, average or 1) for each in texts]


def _length(texts: Texts) -> int:
    return sum(map(len, texts))


def _score(texts: Texts, wanted: Sequence[str], average: float) -> float:
    title, tags, text = (f" {each} " for each in texts)
    half = _SATURATION * (1 - _LENGTH + _LENGTH * _length(texts) / average)
    numbers = (
        TITLE * title.count(word) + TAGS * tags.count(word) + text.count(word) for word in wanted
    )
    return sum(number / (number + half) for number in numbers)
