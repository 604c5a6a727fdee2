"""Every regular expression of the blog and the pool takes linear time on any text."""

import ast
import importlib
import re
import time
from collections.abc import Iterator

import pytest

from tests.ambiguity import ambiguity
from tests.test_layers import MODULES

SEARCHES = {"finditer", "findall", "search", "split", "sub", "subn"}

#: The modules that use regular expressions.
USERS = sorted(
    module
    for module, path in MODULES.items()
    if module.startswith(("blog", "pool")) and "\nimport re\n" in path.read_text(encoding="utf-8")
)

# Known patterns

SLOW = [
    r"(a+)+b",
    r"(a*)*b",
    r"(?:a|a)*b",
    r"(?:a|b|ab)*c",
    r"(?:a?b?)*c",
    r"(x+x+)+y",
    r"(?i:(?:Ax|ax)*b)",
    r"(a{1,20}){1,20}b",
    r"\s*\s*x",
    r"a*b?a*c",
    r"a*a*+b",
    r"a{0,50}a{0,50}b",
    r"\d+\.?\d+x",
    r".*x.*y",
    r"a[\u0300-\u036f]*[\W_]*a[\u0300-\u036f]*[\W_]*b",
    r"(?:(\s|é)+|\w)*x",
]
SLOW_SEARCHES = [
    r"\s+$",
    r"\s*+x",
    r"(?>a+)b",
    r"<!--.*?-->",
    r"<!--(?:(?!-->).)*-->",
    r"<title>\s*(.{1,200}?)\s*</title>",
    r'<h([23]) (?:[^>]* )?id="([^"]*)"[^>]*>',
    r"(?:ab)+c",
]
QUICK = [
    r"a*+a*+b",
    r"(?>a+)a*b",
    r"-?\d{1,6}",
    r"\d+(?:\.\d+)*",
    r"[a-z]+:[0-9]+x",
    r"(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+>",
    r"(\s*+(?:- ++)++)(.*)",
]
QUICK_SEARCHES = [
    r"[^\s\"]+",
    r'"([^"]*)"x',
    r"\w{1,9}x",
    r"\bx\s*",
    r"(?s:<!--.*?(?:-->|\Z))",
    r"<a(?: [a-z]+=\"[^\"<]*\")*+>",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_overlapping_repeats_are_noticed(pattern: str) -> None:
    assert ambiguity(re.compile(pattern), is_searched=False) is not None


@pytest.mark.parametrize("pattern", SLOW + SLOW_SEARCHES)
def test_quadratic_search_is_noticed(pattern: str) -> None:
    assert ambiguity(re.compile(pattern)) is not None


@pytest.mark.parametrize("pattern", QUICK + SLOW_SEARCHES[:1] + QUICK_SEARCHES)
def test_unambiguous_pattern_passes(pattern: str) -> None:
    assert ambiguity(re.compile(pattern), is_searched=False) is None


@pytest.mark.parametrize("pattern", QUICK_SEARCHES)
def test_linear_search_passes(pattern: str) -> None:
    assert ambiguity(re.compile(pattern)) is None


def test_noticed_pattern_is_slow() -> None:
    text = ambiguity(re.compile(r"\s+$"))
    assert text is not None

    def seconds(number: int) -> float:
        before = time.thread_time()
        assert re.search(r"\s+$", text * number + "\x00") is None
        return time.thread_time() - before

    # Four times the text takes about sixteen times as long, not four times.
    # Other processes may disturb a measurement.
    assert any(seconds(2_000) > 7 * seconds(500) for _ in range(5))


# Patterns of the project


def compiled(value: object) -> Iterator["re.Pattern[str]"]:
    """Yield the patterns in a value: itself, or in a container or a class."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from compiled(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from compiled(each)
    elif isinstance(value, type):
        yield from compiled([each for each in vars(value).values() if isinstance(each, re.Pattern)])


def patterns(module: str) -> Iterator[tuple["re.Pattern[str]", bool]]:
    """Yield the patterns of a module, and whether they may search or only match.

    A private pattern may search only if its module does so; a public one always may.
    """
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    searched = {
        ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SEARCHES
    }
    for name, value in vars(importlib.import_module(module)).items():
        if isinstance(value, type) and value.__module__ != module:
            continue
        only_matches = name.startswith("_") and name not in searched
        yield from ((pattern, not only_matches) for pattern in compiled(value))
    for call in calls_of_re(tree):
        if call.args and isinstance(call.args[0], ast.Constant):
            assert isinstance(call.func, ast.Attribute)
            yield re.compile(str(call.args[0].value)), call.func.attr in SEARCHES


def calls_of_re(node: ast.AST) -> Iterator[ast.Call]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and re.fullmatch(r"re\.\w+", ast.unparse(call.func)):
            yield call


@pytest.mark.parametrize("module", USERS)
def test_every_pattern_is_linear(module: str) -> None:
    for pattern, is_searched in patterns(module):
        text = ambiguity(pattern, is_searched=is_searched)
        assert text is None, f"{pattern.pattern!r} is slow on repetitions of {text!r}"


def test_patterns_are_found() -> None:
    assert sum(1 for module in USERS for _ in patterns(module)) > 60


@pytest.mark.parametrize("module", USERS)
def test_patterns_are_constants(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))

    for call in (call for function in functions for call in calls_of_re(function)):
        assert isinstance(call.args[0], ast.Constant), f"{MODULES[module]}:{call.lineno}"
