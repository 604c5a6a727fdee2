"""The front matter of a Markdown file: YAML, TOML or JSON, as strings, lists and mappings.

YAML is read without its types, so a tag ``3.10`` stays that and a title ``No`` is no boolean.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml
from frontmatter.default_handlers import BaseHandler, JSONHandler, YAMLHandler

Value = str | list["Value"] | dict[str, "Value"]

#: How many lines of one file are repaired before it counts as not YAML at all.
_REPAIRS = 20

#: In characters. Windows gives a thread an eighth of the stack that it was measured with.
_TOO_SHORT_TO_NEST_DEEP = 2_000

_KEYED = re.compile(r"(\s*+(?:- ++)*+[^\s:#'\"\[{][^:]*:\s++)(.*)")
_LISTED = re.compile(r"(\s*+(?:- ++)++)(.*)")


class FrontMatterError(ValueError):
    """The front matter cannot be read. The message gives the line in the file and the reason."""


class _Yaml(YAMLHandler):
    # The fence is three hyphens exactly: a longer line is a rule within some value.
    FM_BOUNDARY = re.compile(r"^---[ \t]*$", re.MULTILINE)

    def load(self, fm: str, **_: object) -> Any:
        # The C loader is ten times faster, but nesting some 20,000 deep ends the whole process.
        fast = len(fm) < _TOO_SHORT_TO_NEST_DEEP and yaml.__with_libyaml__
        loader = yaml.CBaseLoader if fast else yaml.BaseLoader
        return yaml.load(fm, Loader=loader)  # noqa: S506 - it makes nothing but strings


class _Toml(BaseHandler):
    FM_BOUNDARY = re.compile(r"^\+\+\+[ \t]*$", re.MULTILINE)

    def load(self, fm: str) -> Any:
        return _plain(tomllib.loads(fm))


class _Json(JSONHandler):
    def load(self, fm: str, **kwargs: object) -> Any:
        return _plain(super().load(fm, **kwargs))


def split(text: str) -> tuple[dict[str, Value], str, list[str]]:
    """Separate the front matter of `text` from its body.

    :param text: a whole file, with plain line ends.
    :return: the front matter, its keys in lower case, empty where there is none; the body; and
        what had to be repaired, a sentence each.
    :raises FrontMatterError: there is front matter, and it cannot be read.
    """
    start = text.lstrip("\n")
    handler = next((h for h in (_Yaml(), _Toml(), _Json()) if h.detect(start)), None)
    if handler is None:
        return {}, text, []
    try:
        front, body = handler.split(start)
    except ValueError:
        return {}, text, ["It begins like front matter, but that has no end."]
    # The front matter begins with the end of the line of its fence.
    above = text[: len(text) - len(start)].count("\n")
    loaded, notes = _load(handler, front, above + 1)
    if not isinstance(loaded, dict):
        return {}, text, []  # a text between two rules
    return {key.strip().lower(): value for key, value in loaded.items()}, body, notes


def _load(handler: BaseHandler, front: str, first_line: int) -> tuple[Any, list[str]]:
    notes: list[str] = []
    while True:
        try:
            return handler.load(front) or {}, notes
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            number = mark.line if mark else 0
            repaired = _repaired(front, number) if len(notes) < _REPAIRS else front
            if repaired == front:
                problem = error.problem or error.context
                raise FrontMatterError(f"line {first_line + number}: {problem}") from error
            front = repaired
            notes.append(f"Line {first_line + number} is not YAML, and was read as plain text.")
        except RecursionError as error:
            raise FrontMatterError(f"line {first_line}: it is nested too deep") from error
        except (ValueError, yaml.YAMLError) as error:
            raise FrontMatterError(" ".join(str(error).split())) from error


def _repaired(front: str, number: int) -> str:
    """Make the line `number` what its author meant: a value that is plain text."""
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
    """Yield the texts in `value`, of a mapping only its name."""
    waiting, seen = [value], set[int]()
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            yield inner
        elif id(inner) not in seen:
            # A few lines of YAML can hold one list a million times.
            seen.add(id(inner))
            waiting += [inner.get("name", "")] if isinstance(inner, dict) else reversed(inner)
