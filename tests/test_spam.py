"""The filter: which comments it holds, and the reasons it gives."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.spam import judged, learn, medians, run
from blog.comments.spam import (
    COMMENTS_AN_HOUR,
    DECISIONS,
    LINKS,
    REPEATED,
    TRUSTED_LINKS,
    Learnt,
    Signals,
    addresses,
    judge,
    probability,
    read,
    tokens,
)

NOTHING = Learnt(0, 0, {})
# Negative counts: words learnt by one version of Python may be unlearnt by another.
COUNTS = st.tuples(st.integers(-2, 40), st.integers(-2, 40))
LEARNT = st.dictionaries(st.sampled_from(["pills", "rain", "a link", "buy now"]), COUNTS).map(
    lambda words: Learnt(40, 40, words)
)


def test_plain_comment_is_published() -> None:
    verdict = judge(Signals(read("Thank you, I did not know that.")), NOTHING)

    assert (verdict.decision, verdict.reasons) == ("publish", ())


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        (Signals(read("see", links=["https://a.example/x"] * 4)), "4 links"),
        (Signals(read("x" * REPEATED), copies=1), "the same text was sent once before"),
        (Signals(read("x" * REPEATED), copies=7), "the same text was sent 7 times before"),
        (Signals(read("x"), within_an_hour=COMMENTS_AN_HOUR + 1), "61 comments within an hour"),
        (
            Signals(read("", links=["https://a.example"] * (TRUSTED_LINKS + 1)), is_trusted=True),
            "11 links",
        ),
    ],
)
def test_signals_that_hold_comment(signals: Signals, reason: str) -> None:
    verdict = judge(signals, NOTHING)

    assert (verdict.decision, str(verdict)) == ("hold", reason)


@pytest.mark.parametrize(
    "signals",
    [
        Signals(read("", links=["https://a.example"] * LINKS)),
        Signals(read("Thank you!"), copies=20),
        Signals(read("x"), within_an_hour=COMMENTS_AN_HOUR),
        Signals(read("x" * REPEATED), copies=9, within_an_hour=999, is_trusted=True),
        Signals(read("", links=["https://a.example"] * TRUSTED_LINKS), is_trusted=True),
    ],
)
def test_signals_that_do_not_hold(signals: Signals) -> None:
    assert judge(signals, NOTHING).decision == "publish"


def test_words_are_explained_with_numbers() -> None:
    learnt = Learnt(20, 25, {"pills": (18, 0), "cheap": (15, 1), "the": (18, 22)})
    verdict = judge(Signals(read("The cheap PILLS")), learnt)

    assert verdict.decision == "hold"
    assert str(verdict) == (
        "words: “pills” (in 18 of 20 spam, 0 of 25 real), “cheap” (in 15 of 20 spam, 1 of 25 real)"
    )


def test_few_decisions_decide_nothing() -> None:
    words = {"pills": (DECISIONS - 1, 0)}

    assert judge(Signals(read("pills")), Learnt(DECISIONS - 1, 500, words)).decision == "publish"


def test_lookalike_letters_are_folded() -> None:
    assert {"pills", "named bob", "link a.example", "a link"} <= tokens(
        "ＰＩＬＬＳ", "Bob", ["https://www.A.example/x"]
    )


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("http://a.example/x?y, https://b.example.", ["a.example", "b.example."]),
        ("WWW.A.example and HTTPS://b.example", ["a.example", "b.example"]),
        ("ｈｔｔｐ：／／a.example", ["a.example"]),
        ("ht\u200btp://a.exa\u00admple", ["a.example"]),
        ("http://me@a.example", ["a.example"]),
        ("http: //a.example, example.org, https://", []),
    ],
)
def test_visible_addresses_are_counted(text: str, hosts: list[str]) -> None:
    links = addresses(text)

    assert len(links) == len(hosts)
    assert {f"link {host}" for host in hosts} <= tokens(text, links=links)


@pytest.mark.parametrize(
    "link",
    [
        "//a.example/",
        "HTTPS:a.example",
        "https:\\\\a.example",
        "https:///a.example?x",
        "mailto:b@a.example",
    ],
)
def test_link_host_as_browser_sees_it(link: str) -> None:
    assert "link a.example" in tokens("", links=[link])


@given(st.text(max_size=300), st.text(max_size=40), st.lists(st.text(max_size=60)), LEARNT)
def test_any_comment_is_judged(text: str, name: str, links: list[str], learnt: Learnt) -> None:
    verdict = judge(Signals(read(text, name, links)), learnt)

    assert verdict.decision in {"publish", "hold"}
    assert (verdict.decision == "hold") == (verdict.reasons != ())
    assert 0 <= probability(tokens(text, name, links), learnt) <= 1


@given(st.lists(COUNTS, min_size=1, max_size=60), st.integers(DECISIONS, 40))
def test_words_that_hold_comment_are_named(counts: list[tuple[int, int]], total: int) -> None:
    words = {f"word{number}": count for number, count in enumerate(counts)}
    verdict = judge(Signals(read(" ".join(words))), Learnt(total, total, words))

    assert verdict.decision == "publish" or str(verdict).startswith("words: “word")


@given(st.lists(st.sampled_from(["pills", "rain", "a", "buy now", "x"])), LEARNT)
def test_word_order_does_not_matter(words: list[str], learnt: Learnt) -> None:
    other = random.Random(1).sample(words, len(words))

    assert probability(words, learnt) == probability(other, learnt)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 50_000,
        "http://" * 8_000,
        "www." * 12_000,
        "a " * 25_000,
        "\u0301" * 50_000,
        "\u0316\u0301" * 25_000,
        "\ufdfa" * 50_000,
        "@" * 50_000,
    ],
    ids=["word", "schemes", "hosts", "words", "marks", "mixed marks", "ligatures", "signs"],
)
@pytest.mark.timeout(60)
def test_filter_work_is_bounded(text: str) -> None:
    links = [*addresses(text), text]
    found = tokens(text, text, links)

    assert len(found) <= 1_000
    assert all(len(token) <= 110 for token in found)
    judge(Signals(read(text, text, links)), Learnt(50, 50, dict.fromkeys(found, (40, 1))))


@pytest.mark.parametrize(
    ("decisions", "real_that_wait", "spam_that_passes"),
    [(50, 0.02, 0.45), (200, 0.02, 0.25), (500, 0.025, 0.18)],
)
def test_filter_is_as_good_as_documented(
    decisions: int, real_that_wait: float, spam_that_passes: float
) -> None:
    waiting, passing = medians(decisions, 7)

    assert waiting <= real_that_wait
    assert passing <= spam_that_passes


def test_held_comment_has_a_reason() -> None:
    held = run(judged(), 50, 1).held

    assert len(held) > 300
    assert all(str(verdict) for _, verdict in held)
    assert learn(judged()).spam == learn(judged()).real == 1_000
