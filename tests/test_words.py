"""Wordings that readers stumble over stay out of everything that people read."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: A pattern, a sentence that it finds, and the sentence as it should be.
WORDS = [
    (r"somebody", "It waits for somebody else.", "It waits for another writer."),
    (r"whoever", "Whoever runs the server decides.", "The operator decides."),
    (r"anew", "The page is rendered anew.", "The page is rendered again."),
    (r"short ago", "However short ago that was.", "However recently that was."),
    (
        r"(?<!there )(?:is|are) no (?!longer|more|less|better|worse|(?:quick|slow|fast|old|new)er)",
        "'x' is no address.",
        "There is no comment 3, and 'x' is no longer a valid address.",
    ),
    (
        r"(?:stands?|stood) (?:in|at|on|beside|around|below|here|there)",
        "The first entry will stand in this place.",
        "The first entry will appear here. HEAD stands for both.",
    ),
    (
        r"(?:pages?|responses?|answers?) (?:that )?(?:is|are) kept",
        "The page is kept for a day.",
        "The page is cached for a day. A connection is kept open.",
    ),
    (r"kept with", "Kept with Threadleaf.", "Powered by Threadleaf."),
    (r"been noted", "It has been noted.", "The error has been logged."),
    (r"tak(?:es?|ing|en) away", "The comment is taken away.", "The comment is removed."),
    (r"(?:is|are) there already", "a.toml is there already.", "a.toml already exists."),
    (r"no place here", "The field has no place here.", "The field is not supported."),
    (r"no comments any more", "It takes no comments any more.", "Comments are closed."),
    (r"looked for", "The words that are looked for.", "The query."),
    (
        r"one (?:module|class|file|form|function|test|item|step) an? ",
        "The views, one module an audience.",
        "The views, one module per audience.",
    ),
]

FILES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("pool/*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("templates/**/*.html")),
    *sorted(ROOT.glob("blog/**/*.py")),
    *sorted(ROOT.glob("pool/**/*.py")),
]


def faults(text: str) -> Iterator[tuple[str, str]]:
    """Yield each wording found in a text, and a sentence with a better one."""
    joined = " ".join(text.split())
    for pattern, _, better in WORDS:
        for found in re.finditer(rf"\b{pattern}", joined, re.IGNORECASE):
            yield joined[max(0, found.start() - 30) : found.end() + 30], better


def readable(path: Path) -> str:
    """Return what people read of a file: of Python, its strings and comments."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        # The tables of results quote comments by other people.
        return re.sub("<!-- benchmark -->.*?<!-- /benchmark -->", "", source, flags=re.DOTALL)
    kinds = {"STRING", "FSTRING_MIDDLE", "COMMENT"}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "\n".join(
        # A sentence may be continued in the next comment or string.
        token.string.strip("#:\"' \n")
        for token in tokens
        if tokenize.tok_name[token.type] in kinds
    )


@pytest.mark.parametrize(("pattern", "fault", "better"), WORDS)
def test_each_word_is_found(pattern: str, fault: str, better: str) -> None:
    assert re.search(pattern, fault, re.IGNORECASE)
    assert list(faults(fault))
    assert not list(faults(better))


def test_continued_sentences_are_read(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('# It waits for\n# somebody.\nERROR = f"{1} is " "no address"\n')
    assert len(list(faults(readable(path)))) == 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_words(path: Path) -> None:
    assert not list(faults(readable(path)))
