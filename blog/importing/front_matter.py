"""The front matter of a Markdown file: YAML, TOML, JSON or plain lines, as nested strings.

YAML is read without types: a tag ``3.10`` stays text, and a title ``No`` is not a boolean.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from blog.importing.fences import Block, find

Value = str | list["Value"] | dict[str, "Value"]

#: A file with more lines to repair than this is rejected as YAML.
_REPAIRS = 20

#: In characters. Measured on a stack eight times the size of a thread's on Windows.
_TOO_SHORT_TO_NEST_DEEP = 2_000

_NULLS = {"~", "null", "Null", "NULL"}
#: Fields of plain lines that hold several words.
_LISTS = {"authors", "categories", "category", "tags"}

_KEYED = re.compile(r"(\s*+(?:- ++)*+[^\s:#'\"\[{][^:]*:\s++)(.*)")
_LISTED = re.compile(r"(\s*+(?:- ++)++)(.*)")


class _UnreadableError(ValueError):
    """The message gives the line in the file, if it is known, and the reason."""


@dataclass(frozen=True)
class FrontMatter:
    """A text and its front matter.

    :param fields: the front matter, its keys in lower case; empty if there is none. The last field
        of a repeated name counts; the others are in a list under the empty name.
    :param body: the text.
    :param notes: the repairs, one sentence each.
    :param problem: a clause that says why the front matter cannot be read, or empty. Front matter
        that is not closed is in the body.
    """

    fields: dict[str, Value]
    body: str
    notes: tuple[str, ...] = ()
    problem: str = ""


class _Strings(yaml.constructor.BaseConstructor):
    """Converts each scalar to a string, and null to an empty one (YAML 1.2, section 10.3.2)."""

    def construct_scalar(self, node: yaml.ScalarNode) -> str:
        text: str = super().construct_scalar(node)
        return "" if not node.style and text in _NULLS else text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(mapping) == len(node.value):
            return mapping
        return _by_name((key.value, self.construct_object(each, deep)) for key, each in node.value)


class _Loader(_Strings, yaml.BaseLoader):
    pass


class _FastLoader(_Strings, getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    pass


def split(text: str) -> FrontMatter:
    """Separate the front matter of `text` from its body.

    :param text: the whole file, with ``\\n`` line endings.
    """
    block = find(text)
    if block is None:
        return FrontMatter({}, text)
    if not block.is_closed:
        return FrontMatter({}, text, problem="the front matter has no end")
    try:
        loaded, notes = _load(block)
    except _UnreadableError as error:
        return FrontMatter({}, block.body, problem=f"the front matter cannot be read ({error})")
    if isinstance(loaded, dict):
        fields = _by_name((str(key).strip().lower(), value) for key, value in loaded.items())
        return FrontMatter(fields, block.body, tuple(notes))
    if block.text.startswith("\n"):
        return FrontMatter({}, text)  # a text between two rules
    return FrontMatter({}, text, problem="the front matter has no fields")


def _by_name(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the last field of each name, and the others in a list under the empty name."""
    fields: dict[str, Any] = {}
    others: list[Any] = []
    for name, value in pairs:
        if name in fields:
            others.append({name: fields[name]})
        fields[name] = value
    return {**fields, "": [fields.get("", ""), *others]} if others else fields


def _load(block: Block) -> tuple[Any, list[str]]:
    above = "\n" * (block.first_line - 1)  # so that messages count the lines of the file
    try:
        match block.language:
            case "yaml":
                return _yaml(block.text, block.first_line)
            case "toml":
                return _plain(tomllib.loads(above + block.text)), []
            case "json":
                # Hexo's has no braces: https://hexo.io/docs/front-matter
                text = block.text if block.text.lstrip()[:1] == "{" else f"{{{block.text}}}"
                return _plain(json.loads(above + text, object_pairs_hook=_by_name)), []
            case "lines":
                return _lines(block.text), []
            case "unknown":
                raise _UnreadableError("its format is not supported")
    except RecursionError as error:
        raise _UnreadableError(f"line {block.first_line}: nested too deep") from error
    except ValueError as error:
        raise _UnreadableError(" ".join(str(error).split())) from error


def _yaml(front: str, first_line: int) -> tuple[Any, list[str]]:
    notes: list[str] = []
    while True:
        # The C loader is ten times faster, but some 20,000 levels of nesting crash the process.
        loader = _FastLoader if len(front) < _TOO_SHORT_TO_NEST_DEEP else _Loader
        try:
            return yaml.load(front, Loader=loader) or {}, notes  # noqa: S506 - strings only
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            number = mark.line if mark else 0
            repaired = _repaired(front, number) if len(notes) < _REPAIRS else front
            if repaired == front:
                problem = error.problem or error.context
                raise _UnreadableError(f"line {first_line + number}: {problem}") from error
            front = repaired
            notes.append(
                f"Line {first_line + number} is not valid YAML and was read as plain text."
            )
        except yaml.YAMLError as error:
            raise _UnreadableError(" ".join(str(error).split())) from error


def _lines(front: str) -> dict[str, Value]:
    """Read fields as Pelican, MultiMarkdown and Nikola do: one per line; indented lines follow."""
    texts: dict[str, list[str]] = {}
    name = ""
    for line in front.splitlines():
        if line[:1].isspace() or line.startswith("- "):
            texts[name].append(line.strip().removeprefix("- "))
        else:
            name, _, value = line.removeprefix(".. ").partition(":")
            name = name.strip('" ').lower()
            # If a field comes twice, either may be meant.
            texts.setdefault(name, []).append(value.strip())
    return {name: _field(name, [text for text in found if text]) for name, found in texts.items()}


def _field(name: str, texts: list[str]) -> Value:
    if name in _LISTS:
        parts = (part.strip() for text in texts for part in re.split("[,;]", text))
        return [part for part in parts if part]
    return " ".join(texts)


def _repaired(front: str, number: int) -> str:
    """Repair the line `number`: quote its value as plain text."""
    lines = front.split("\n")
    if number >= len(lines):
        return front
    line = lines[number].rstrip()
    lines[number] = line.expandtabs(4) if "\t" in line else _quoted(line)
    return "\n".join(lines)


def _quoted(line: str) -> str:
    found = _KEYED.fullmatch(line) or _LISTED.fullmatch(line)
    if found is None:
        return line
    before, value = found.groups()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return f"{before}'{value.replace(chr(39), chr(39) * 2)}'"


def _plain(value: object) -> Value:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return json.dumps(value).replace("null", "")
    return str(value)


def leaves(value: Value) -> Iterator[str]:
    """Yield the texts in `value`; of a mapping only its ``name``."""
    waiting, seen = [value], set[int]()
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            yield inner
        elif id(inner) not in seen:
            # With aliases, a few lines of YAML can repeat one list a million times.
            seen.add(id(inner))
            waiting += [inner.get("name", "")] if isinstance(inner, dict) else reversed(inner)
