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
from blog.importing.front_matter import FrontMatter, split
from blog.importing.items import ForeignEntry, Item, Skipped, digest
from blog.importing.texts import WINDOWS, one_line, readable, unicode_encoding
from blog.importing.visibility import Visibility, decide, stray_metadata

_SCHEME = "markdown"
_DATED_NAME = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})(?:-(.*))?", re.DOTALL)
#: Files with these names are named after their folder.
_NAMELESS = {"index", "_index"}
#: Metadata files beside a text, which can hide it: of Nikola and Eleventy.
_METADATA = (".meta", ".11tydata.json", ".11tydata.js", ".11tydata.cjs", ".11tydata.mjs")


class MarkdownFiles:
    """Markdown files as a source.

    A file is identified by its folder and name, whether it is imported alone, with its folder or
    with a folder above.

    :param root: the names in messages are relative to it.
    :param paths: the files, absolute.
    """

    def __init__(self, root: Path, paths: list[Path]) -> None:
        self._root = root
        self._paths = paths
        self._top = root.name if root.is_dir() else root.parent.name
        self._identities = {identity(path) for path in paths}

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Item]:
        for path in self._paths:
            yield read_file(path, name_below(self._root, path), self._top)

    def holds(self, source: str, key: str) -> bool:
        return (source, key) in self._identities

    def was(self, item: ForeignEntry, source: str, key: str) -> bool:
        scheme, _, folder = source.partition(":")
        # Path.exists raises for a folder that this user may not read.
        if scheme != _SCHEME or os.path.exists(f"{folder}/{key}"):  # noqa: PTH110
            return False
        return _undated(source, key) == _undated(item.source, item.key)


def is_markdown(path: Path) -> bool:
    return path.suffix.lower() in {".md", ".markdown"}


def identity(path: Path) -> tuple[str, str]:
    """Return the source and key of a file."""
    return f"{_SCHEME}:{_text(path.parent.as_posix())}", _text(path.name)


def _undated(source: str, key: str) -> tuple[str, str]:
    """Return the name of a file without folder and date: Jekyll's drafts have no date."""
    _, name = _dated(Path(source.partition(":")[2], key))
    return name, Path(key).suffix


def name_below(root: Path, path: Path) -> str:
    """Return the name of `path` in messages, relative to the `root` that was imported."""
    return _text(path.relative_to(root).as_posix() if path != root else path.name)


def _text(name: str) -> str:
    # Python decodes a name that is not UTF-8 to surrogates, which databases refuse.
    return one_line(os.fsencode(name).decode("utf-8", "replace"))


def read_file(path: Path, name: str, top: str = "") -> Item:
    """Read a Markdown file.

    :param path: the file.
    :param name: its name in messages: its path in the imported folder.
    :param top: the name of that folder.
    :return: the entry, or why it is skipped.
    """
    try:
        content = path.read_bytes()
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        return Skipped(name, f"cannot be read ({error.strerror})")
    text, guesses = decoded(content)
    if not text.strip():
        return Skipped(name, "empty file")
    # Folders above the imported one are not part of the blog, but “_drafts” is unambiguous.
    folders = [top, *Path(name).parts[:-1], *(part for part in path.parts if part[0] == "_")]
    front = split(text)
    visibility = decide(
        front.fields,
        front.body,
        Fields(front.fields).date or moment(_dated(path)[0]),
        folders=folders,
        doubts=_doubts(path, front),
    )
    return _entry(path, name, changed, digest("markdown", content), front, visibility, guesses)


def decoded(content: bytes) -> tuple[str, list[str]]:
    """Return the text in `content`, and notes on a guessed encoding."""
    encoding = unicode_encoding(content)
    try:
        return readable(content.decode(encoding)), []
    except UnicodeDecodeError:
        if encoding != "utf-8-sig":
            note = f"Not valid {encoding.upper()}: invalid characters were replaced."
            return readable(content.decode(encoding, "replace")), [note]
        text = readable(content.decode(encoding, WINDOWS))
        return text, ["Not valid UTF-8: invalid characters were read as Windows-1252."]


def _entry(
    path: Path,
    name: str,
    changed: datetime,
    fingerprint: str,
    front: FrontMatter,
    visibility: Visibility,
    guesses: list[str],
) -> ForeignEntry:
    source, key = identity(path)
    fields, body = Fields(front.fields), front.body
    date, stem = _dated(path)
    notes = [*guesses, *front.notes, *visibility.notes]
    if "{%" in body or "{{" in body:
        notes.append("Template code ({{ … }} or {% … %}) was imported as text.")
    return ForeignEntry(
        source=source,
        key=key,
        digest=fingerprint,
        name=name,
        title=fields.title or first_heading(body) or _words(stem or date),
        body=body.strip("\n"),
        format="markdown",
        kind=fields.kind,
        state=visibility.state,
        timestamp=visibility.timestamp or changed,
        is_dated=visibility.timestamp is not None,
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


def _doubts(path: Path, front: FrontMatter) -> Iterator[str]:
    """Yield reasons against publishing, other than fields and text, one clause each."""
    if front.problem:
        yield front.problem
    yield from stray_metadata(front.body)
    if path.name[0] == "_" and path.stem.partition(".")[0] not in _NAMELESS:
        yield "the file name begins with “_”"
    for suffix in _METADATA:
        if path.with_suffix(suffix).is_file():
            yield f"the metadata file {path.with_suffix(suffix).name} is not supported"


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
