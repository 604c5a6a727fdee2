"""Slugs are readable in every script and safe in a URL."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blog.text.slugs import few, numbered, slugify


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Hello, World!", "hello-world"),
        ("  --What's   new?-- ", "what-s-new"),
        ("Crème brûlée à l'été", "creme-brulee-a-l-ete"),
        ("C++ & C#: 10% faster", "c-c-10-faster"),
        ("Straße", "straße"),
        ("Новый год", "новый-год"),
        ("ΛΌΓΟΣ", "λόγος"),
        ("हिन्दी में", "हिन्दी-में"),
        ("日本語のブログ", "日本語のブログ"),
        ("한국어 블로그", "한국어-블로그"),
        ("ﬁve ½ ＡＢＣ", "five-1-2-abc"),
        ("a_b/c\\d", "a-b-c-d"),
        ("I ❤️ keycaps 1️⃣", "i-keycaps-1"),
        ("´", ""),
        ("❤️", ""),
        ("?!…", ""),
        ("", ""),
    ],
)
def test_slug_of_title(title: str, slug: str) -> None:
    assert slugify(title) == slug


def test_long_slug_is_cut_between_words() -> None:
    assert slugify("one two three", max_length=9) == "one-two"
    assert slugify("one two three", max_length=7) == "one-two"


def test_long_word_is_cut() -> None:
    assert slugify("a" * 100) == "a" * 80


def test_slug_ignores_normal_form() -> None:
    title = "Ålesund, Й, が"
    assert slugify(unicodedata.normalize("NFD", title)) == slugify(title)


@given(st.text())
@example("İ ŉ ǰ ΐ ᾳ ẖ")
@example("a_\u0301b \u0345 \u05bf\u0301")
def test_slug_is_idempotent(title: str) -> None:
    slug = slugify(title)
    assert slugify(slug) == slug
    assert len(slug) <= 80
    assert slug == slug.lower()
    assert all(
        word and unicodedata.category(word[0])[0] in "LN" for word in slug.split("-") if slug
    )
    assert all(unicodedata.category(c)[0] in "LNM" for c in slug.replace("-", ""))


@given(st.sets(st.integers(1, 100)))
def test_slug_numbers(numbers: set[int]) -> None:
    taken = {"a" if number == 1 else f"a-{number}" for number in numbers}
    found = numbered("a", taken.__contains__)

    assert found not in taken
    if len(taken) < 20:
        assert found == next(slug for slug in few("a") if slug not in taken)


def test_free_slug_is_found_in_few_steps() -> None:
    taken = {"a", *(f"a-{number}" for number in range(2, 1_001))}
    asked: list[str] = []

    def is_taken(slug: str) -> bool:
        asked.append(slug)
        return slug in taken

    assert numbered("a", is_taken) == "a-1001"
    assert len(asked) < 50
