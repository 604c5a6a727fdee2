"""The spam filter: which comments are published at once, and which are held for moderation.

It weighs the words by the author's own decisions, and counts links, copies of the text and recent
comments. It uses no other service. A held comment comes with the reasons, in words.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Decision = Literal["publish", "hold"]

#: A comment with more links is held.
LINKS = 2
#: The same for a person whose comment the author has approved.
TRUSTED_LINKS = 10
#: After more comments within an hour, on the whole blog, the next ones are held.
COMMENTS_AN_HOUR = 60
#: A comment whose words have this probability of spam, or more, is held.
SUSPICIOUS = 0.93
#: With fewer decisions of either kind, the words are not judged.
DECISIONS = 10
#: Shorter texts, in characters, are often repeated innocently: “Thank you!”
REPEATED = 60

# The weight of the prior for a rare word, and the prior itself
# (G. Robinson, "A Statistical Approach to the Spam Problem", Linux Journal 107, 2003).
_STRENGTH = 1.0
_UNKNOWN = 0.5
# The most words of a comment that are read, and that are weighed.
_TOKENS = 1_000
_WEIGHED = 25
# The least probability of a word that is named as a reason, and the most such words.
_TELLING = 0.6
_NAMED = 5
# Normalising can turn one character into eighteen.
_CHARACTERS = 50_000
_LONGEST_LINK = 200

# Normalising takes time quadratic in the length of a run of accents.
_PIECE = re.compile(r"\S{1,100}\s*")
# Invisible characters neither divide words nor hide addresses.
_UNSEEN = re.compile("[\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s/<>\"'?#]{3}[^\s<>\"']*+", re.IGNORECASE)
# Browsers accept any number of slashes, and backslashes (https://url.spec.whatwg.org).
_HOST = re.compile(r"(?:[a-z][a-z0-9+.-]{0,20}:)?[/\\]*+([^/\\?#]{1,100})")
_WORD = re.compile(r"[^\W_]{2,30}")
# Shorter ones ("on", "my") are in every comment, and after few decisions in those of one kind only.
_SHORTEST = 3


@dataclass(frozen=True)
class Content:
    """A comment as the filter reads it. :func:`read` makes it.

    :param text: its text as readers see it.
    :param links: the targets of its links, its author's website, and the addresses in its text.
    :param words: see :func:`tokens`.
    """

    text: str
    links: Sequence[str]
    words: frozenset[str]


@dataclass(frozen=True)
class Signals:
    """The signals of a new comment.

    :param copies: the number of stored comments with the same text.
    :param within_an_hour: the number of comments on the whole blog within the last hour.
    :param is_trusted: whether the author has approved this person before.
    """

    content: Content
    copies: int = 0
    within_an_hour: int = 0
    is_trusted: bool = False


@dataclass(frozen=True)
class Learnt:
    """The author's decisions, counted for some words.

    :param spam: the number of comments marked as spam.
    :param real: the number of approved comments.
    :param words: for each word, the number of spam and of approved comments with it.
    """

    spam: int
    real: int
    words: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Verdict:
    """The decision on a comment, and the reasons in phrases."""

    decision: Decision
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join(self.reasons)


def addresses(text: str) -> list[str]:
    """Return the addresses of websites in a text without links."""
    return _ADDRESS.findall(_plain(text))


def read(text: str, name: str = "", links: Sequence[str] = ()) -> Content:
    """Read a comment, in time linear in its length.

    :param text: see :class:`Content`, also for `links`.
    """
    return Content(text, links, tokens(text, name, links))


def tokens(text: str, name: str = "", links: Sequence[str] = ()) -> frozenset[str]:
    """Return the words of a comment's text, name and links, as the filter counts them.

    :param text: its text as readers see it.
    :param links: see :class:`Content`.
    :return: at most 1,000 different words of up to 110 characters.
    """
    found = dict.fromkeys(_tokens(text, name, links))
    return frozenset(list(found)[:_TOKENS])


def judge(signals: Signals, learnt: Learnt) -> Verdict:
    """Decide whether to publish or hold a comment; the filter never rejects one.

    :param learnt: the decisions for at least the words of the comment.
    """
    if signals.is_trusted:
        reasons = tuple(_many_links(signals, TRUSTED_LINKS))
    else:
        reasons = tuple(_reasons(signals, learnt))
    return Verdict("hold" if reasons else "publish", reasons)


def probability(words: Iterable[str], learnt: Learnt) -> float:
    """Return the probability that a comment with `words` is spam, given the decisions so far.

    Fisher's method on the probabilities of the words, as in the article above: 0.5 is neutral.
    """
    weights = [weight for _, weight in _strongest(words, learnt)]
    if not weights:
        return _UNKNOWN
    spam = _chi_square(-2 * sum(math.log(weight) for weight in weights), 2 * len(weights))
    real = _chi_square(-2 * sum(math.log(1 - weight) for weight in weights), 2 * len(weights))
    return (1 + spam - real) / 2


def _many_links(signals: Signals, most: int) -> Iterator[str]:
    if (links := len(signals.content.links)) > most:
        yield f"{links} links"


def _reasons(signals: Signals, learnt: Learnt) -> Iterator[str]:
    yield from _many_links(signals, LINKS)
    if signals.copies and len(signals.content.text) >= REPEATED:
        yield f"the same text was sent {_times(signals.copies)} before"
    if signals.within_an_hour > COMMENTS_AN_HOUR:
        yield f"{signals.within_an_hour} comments within an hour"
    words = signals.content.words
    if probability(words, learnt) >= SUSPICIOUS:
        suspicious = [word for word, weight in _strongest(words, learnt) if weight >= _TELLING]
        yield f"words: {', '.join(_explained(word, learnt) for word in suspicious[:_NAMED])}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _explained(word: str, learnt: Learnt) -> str:
    spam, real = _counts(word, learnt)
    return f"“{word}” (in {spam} of {learnt.spam} spam, {real} of {learnt.real} real)"


def _strongest(words: Iterable[str], learnt: Learnt) -> list[tuple[str, float]]:
    """Return the words farthest from neutral, with the probability that each means spam."""
    if min(learnt.spam, learnt.real) < DECISIONS:
        return []
    known = [(word, _weight(word, learnt)) for word in words if word in learnt.words]
    return sorted(known, key=lambda each: (-abs(each[1] - _UNKNOWN), each[0]))[:_WEIGHED]


def _weight(word: str, learnt: Learnt) -> float:
    spam, real = _counts(word, learnt)
    often, seldom = spam / learnt.spam, real / learnt.real
    if not often + seldom:
        return _UNKNOWN
    number = spam + real
    return (_STRENGTH * _UNKNOWN + number * often / (often + seldom)) / (_STRENGTH + number)


def _counts(word: str, learnt: Learnt) -> tuple[int, int]:
    # A Python with other Unicode tables may subtract words that were never added.
    spam, real = learnt.words[word]
    return max(0, spam), max(0, real)


def _chi_square(value: float, degrees: int) -> float:
    """Return the probability of a chi-square above `value`; `degrees` of freedom are even."""
    term = total = math.exp(-value / 2)
    for number in range(1, degrees // 2):
        term *= value / 2 / number
        total += term
    return min(total, 1.0)


def _tokens(text: str, name: str, links: Sequence[str]) -> Iterator[str]:
    for link in links[:_TOKENS]:
        if host := _HOST.match(_plain(link[:_LONGEST_LINK])):
            yield f"link {host[1].rpartition('@')[2].removeprefix('www.')}"[:110]
    if links:
        yield "a link"
    yield from (f"named {word}" for word in _WORD.findall(_plain(name))[:20])
    words = _WORD.findall(_ADDRESS.sub(" ", _plain(text)))
    yield from (word for word in words if len(word) >= _SHORTEST)
    yield from map(" ".join, pairwise(words))


def _plain(text: str) -> str:
    """Return `text` casefolded, with compatibility characters replaced: they can hide words."""
    seen = _UNSEEN.sub("", text[:_CHARACTERS])
    pieces = (unicodedata.normalize("NFKC", piece) for piece in _PIECE.findall(seen))
    return "".join(pieces)[:_CHARACTERS].casefold()
