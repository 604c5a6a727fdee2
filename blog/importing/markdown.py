"""Folders of Markdown files, as Jekyll, Hugo, Pelican, Zola and Eleventy read them."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from blog.importing.dates import moment
from blog.importing.fields import Fields
from blog.importing.front_matter import FrontMatterError, split
from blog.importing.items import ForeignEntry, Item, Skipped, digest
from blog.importing.texts import WINDOWS, one_line, readable

_DATED_NAME = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})(?:-(.*))?", re.DOTALL)
#: Names that say nothing: what has a name is the folder around such a file.
_NAMELESS = {"index", "_index"}


class MarkdownFiles:
    """Markdown files as a source.

    A file is known by its own folder and its name, so it is the same one whether it was imported
    alone, with its folder, or with the folder above.

    :param root: what their names are told from.
    :param paths: the files, absolute.
    """

    def __init__(self, root: Path, paths: list[Path]) -> None:
        self._root = root
        self._paths = paths
        self._identities = {identity(path) for path in paths}

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Item]:
        for path in self._paths:
            yield read_file(path, name_below(self._root, path))

    def holds(self, source: str, key: str) -> bool:
        return (source, key) in self._identities


def is_markdown(path: Path) -> bool:
    return path.suffix.lower() in {".md", ".markdown"}


def identity(path: Path) -> tuple[str, str]:
    """Return source and key of a file."""
    return f"markdown:{_text(path.parent.as_posix())}", _text(path.name)


def name_below(root: Path, path: Path) -> str:
    """Return what a person calls `path` who has named `root`."""
    return _text(path.relative_to(root).as_posix() if path != root else path.name)


def _text(name: str) -> str:
    # A name that is not UTF-8 reaches Python with half characters, which no database stores.
    return one_line(os.fsencode(name).decode("utf-8", "replace"))


def read_file(path: Path, name: str) -> Item:
    """Return what a Markdown file says.

    :param path: the file.
    :param name: what a person calls it.
    :return: the entry, or why there is none.
    """
    try:
        content = path.read_bytes()
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        return Skipped(name, f"it cannot be read ({error.strerror})")
    text, guesses = decoded(content)
    if not text.strip():
        return Skipped(name, "it is empty")
    try:
        front, body, repairs = split(text)
    except FrontMatterError as error:
        return Skipped(name, f"its front matter cannot be read ({error})")
    notes = [*guesses, *repairs]
    return _entry(path, name, changed, digest("markdown", content), Fields(front), body, notes)


def decoded(content: bytes) -> tuple[str, list[str]]:
    """Return the text in `content`, and what had to be guessed to read it."""
    try:
        return readable(content.decode("utf-8-sig")), []
    except UnicodeDecodeError:
        text = readable(content.decode("utf-8-sig", WINDOWS))
        return text, ["It is not all UTF-8: the rest was read as Windows-1252."]


def _entry(
    path: Path,
    name: str,
    changed: datetime,
    fingerprint: str,
    fields: Fields,
    body: str,
    notes: list[str],
) -> ForeignEntry:
    source, key = identity(path)
    date, stem = _dated(path)
    timestamp = fields.date or moment(date)
    # Pages are seldom dated, but a text that is a page says so, and is meant to be read.
    is_unfinished = timestamp is None and fields.kind == "entry"
    if is_unfinished:
        notes = [*notes, "It has no date that can be read: it is a draft, dated as its file is."]
    if "{%" in body or "{{" in body:
        notes = [*notes, "It has template code ({{ … }} or {% … %}), which stays as text."]
    return ForeignEntry(
        source=source,
        key=key,
        digest=fingerprint,
        name=name,
        title=fields.title or first_heading(body) or _words(stem or date),
        body=body.strip("\n"),
        format="markdown",
        kind=fields.kind,
        state="draft" if is_unfinished or "_drafts" in path.parts else fields.state,
        timestamp=timestamp or changed,
        slug=fields.slug or stem,
        uid=fields.uid,
        updated=fields.updated,
        summary=fields.summary,
        author=fields.author,
        featured=fields.featured,
        comments_open=fields.comments_open,
        tags=fields.tags,
        series=fields.series,
        series_number=fields.series_number,
        addresses=fields.addresses,
        notes=tuple(notes + fields.notes),
    )


def _dated(path: Path) -> tuple[str, str]:
    """Return the date in the name of a file, and the rest of the name; each may be empty."""
    stem = path.parent.name if path.stem in _NAMELESS else path.stem
    found = _DATED_NAME.fullmatch(_text(stem))
    return (found[1], found[2] or "") if found else ("", _text(stem))


def _words(stem: str) -> str:
    words = re.sub(r"[-_\s]+", " ", stem).strip()
    return words[:1].upper() + words[1:] or "Untitled"


def first_heading(body: str) -> str:
    """Return the text of the first heading of a Markdown text, or ``""``."""
    tokens = iter(MarkdownIt("commonmark").parse(body))
    for token in tokens:
        if token.type == "heading_open":
            parts = next(tokens).children or []
            return one_line("".join(map(_shown, parts)))
    return ""


def _shown(part: Token) -> str:
    if part.type.endswith("break"):
        return "\n"
    return part.content if part.type in {"text", "code_inline"} else ""
