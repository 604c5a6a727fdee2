"""The order of search results, the same on all databases.

FTS5 and PostgreSQL rank differently, and FTS5 counts each phrase in all texts for it.
"""

from collections.abc import Sequence

#: What an occurrence of a word in a title, and in a tag or the name of a comment's author, counts
#: for, compared with one in the text.
TITLE = 10
TAGS = 5

#: How much of a text is ranked by, in characters.
LOOKED_THROUGH = 10_000

# The usual parameters of Okapi BM25: how soon more occurrences count for less, and how much longer
# texts are expected to have more of them (https://nlp.stanford.edu/IR-book/html/htmledition/okapi-bm25-a-non-binary-model-1.html).
_SATURATION = 1.2
_LENGTH = 0.75

#: Title, tags and the beginning of the text, folded.
Texts = tuple[str, str, str]


def scores(texts: Sequence[Texts], words: Sequence[str], *, is_open: bool) -> list[float]:
    """Return how well each of `texts` matches: the more, the better.

    A score is that of BM25 without the rarity of a word, which is the same for texts that have all
    words.

    :param texts: all matches: they are compared with their average length.
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
