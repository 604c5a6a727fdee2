"""Properties of the folding that hold for every text."""

import tracemalloc
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blog.text.folding import WORD, Origins, fold, letters

TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("aßłİıé½ﷺ日がか\u3099\u0301\u0316\u00ad\u200b\u1112\u1161\u11abุ่+#. C"),
    )
)


@given(text=TEXTS)
@example("か\u0316\u3099")
def test_folding_is_idempotent(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(text=TEXTS, other=TEXTS)
def test_folding_is_local(text: str, other: str) -> None:
    assert fold(f"{text} {other}") == f"{fold(text)} {fold(other)}".strip()


@given(text=TEXTS)
def test_folding_ignores_normal_form(text: str) -> None:
    assert fold(unicodedata.normalize("NFC", text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)


@given(text=TEXTS)
def test_folding_ignores_case_and_invisibles(text: str) -> None:
    assert fold(text.casefold()) == fold(text)
    assert fold("\u2060".join(text)) == fold(text)


@given(text=TEXTS)
def test_word_offsets_are_in_the_text(text: str) -> None:
    folded = letters(text)
    origins = Origins(text, folded)
    places = [(match[0], origins.of(*match.span())) for match in WORD.finditer(folded)]

    assert places == sorted(places, key=lambda place: place[1])
    for word, (start, end) in places:
        assert 0 <= start < end <= len(text)
        assert fold(word) in fold(text[start:end]) or not word[0].isalnum()


def test_folding_keeps_no_memory() -> None:
    everything = "".join(chr(code) for code in range(30_000))
    tracemalloc.start()
    fold(everything[:1000])
    before, _ = tracemalloc.get_traced_memory()
    for start in range(0, len(everything), 2000):
        fold(everything[start : start + 2000])
        letters(everything[start : start + 2000])
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 4_000_000


@pytest.mark.parametrize("mark", ["\u0301", "\u3099", "\u0e38\u0e48", "\u1161", "\u094d"])
def test_run_of_marks_is_linear(mark: str) -> None:
    words = fold("a" + mark * 100_000).split()

    assert sum(map(len, words)) <= 100_001
    assert max(map(len, words)) <= 100
