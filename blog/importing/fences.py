"""The bounds and the language of the front matter in a Markdown file."""

import json
import re
from dataclasses import dataclass
from typing import Literal

Language = Literal["yaml", "toml", "json", "lines", "unknown"]

#: The opening fence, with the language that gray-matter and Eleventy allow after it.
_FENCE = re.compile(r"(-{3,}+|\+{3,}+|;{3,}+)[ \t]*+(\w*+)[ \t]*+\n")
_LANGUAGES: dict[str, Language] = {
    "-": "yaml", "+": "toml", ";": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml",
    "json": "json",
}  # fmt: skip
#: Characters that may precede the front matter: byte order marks of editors, and white space.
_BLANK = " \t\n\ufeff\u200b\xa0"
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
#: A field of Pelican, MultiMarkdown or Hexo, without a fence, or of Nikola (`.. name: value`).
_FIELD = re.compile(r"(?:\.\.[ ])?\"?([A-Za-z][\w -]{0,40}+)\"?:(?:[ \t]|$)")
_MORE = re.compile(r"[ \t]+\S|- ")
_CLOSING = re.compile(r"(-{3,}+|;{3,}+)[ \t]*+")
#: Without a fence, a title or two of these fields mark front matter.
_USUAL = {
    "author", "authors", "categories", "category", "date", "draft", "layout", "modified",
    "password", "private", "published", "slug", "status", "summary", "tags", "template", "title",
    "type", "visibility",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """The front matter in a text.

    :param language: the format of the front matter.
    :param text: the front matter, without its fences.
    :param body: the text after it.
    :param first_line: the number of its first line.
    :param is_closed: whether its end was found; if not, the beginning of the body is unknown.
    """

    language: Language
    text: str
    body: str
    first_line: int
    is_closed: bool = True


def find(text: str) -> Block | None:
    """Return the front matter of `text`, or None if it has none."""
    start = text.lstrip(_BLANK)
    line = text[: len(text) - len(start)].count("\n") + 1
    if opening := _FENCE.match(start):
        is_indented = text[: len(text) - len(start)].rpartition("\n")[2] != ""
        return _fenced(start, opening, line, is_indented=is_indented)
    if re.match(r"\{\s*+\"", start):
        return _braced(start, line)
    if comment := _COMMENT.match(start):
        inner = find(comment[1].strip() + "\n")
        if inner is None or inner.body.strip():
            return None
        return Block(inner.language, inner.text, start[comment.end() :], line)
    return _unfenced(text.lstrip("\n\ufeff\u200b"), line)


def _fenced(start: str, opening: re.Match[str], line: int, *, is_indented: bool) -> Block | None:
    fence, named = opening.groups()
    language = _LANGUAGES.get(named.lower() or fence[0], "unknown")
    # Three dots end a YAML document, also for Jekyll and Pandoc.
    ends = {fence, "..."} if fence[0] == "-" else {fence}
    lines = start[opening.end() :].split("\n")
    for number, each in enumerate(lines):
        if (each.strip() if is_indented else each.rstrip()) in ends:
            inner = "".join(f"{above}\n" for above in lines[:number])
            return Block(language, inner, "\n".join(lines[number + 1 :]), line + 1)
    is_rule = not lines[0]  # a text that begins with a horizontal rule
    return None if is_rule else Block("unknown", "", start, line, is_closed=False)


def _braced(start: str, line: int) -> Block:
    try:
        _, end = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        found = re.search(r"^\}[ \t]*$", start, re.MULTILINE)
        end = found.end() if found else 0
    return Block("json", start[:end], start[end:], line, is_closed=end > 0)


def _unfenced(start: str, line: int) -> Block | None:
    lines = start.split("\n")
    names: set[str] = set()
    count = 0
    for each in lines:
        if field := _FIELD.match(each):
            names.add(field[1].strip().lower())
        elif not count or not _MORE.match(each):
            break
        count += 1
    if not ("title" in names or len(names & _USUAL) > 1):
        return None
    inner, rest = "\n".join(lines[:count]), lines[count:]
    if rest and (closing := _CLOSING.fullmatch(rest[0])):
        language: Language = "json" if closing[1][0] == ";" else "yaml"
        return Block(language, inner, "\n".join(rest[1:]), line)
    return Block("lines", inner, "\n".join(rest), line)
