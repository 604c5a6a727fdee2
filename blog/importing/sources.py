"""Find the importer for a path, by its content where the name does not tell."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from blog.importing.errors import SourceError
from blog.importing.items import ForeignEntry, Item, Skipped, Source
from blog.importing.markdown import MarkdownFiles, is_markdown, name_below
from blog.importing.wordpress import WordPressExport
from blog.importing.wxr import UnsafeXMLError

#: How much of a file is examined, in bytes: an export begins with advice, then names its format.
_BEGINNING = 1 << 16
_WXR = b"wordpress.org/export/"

_UNSAFE = "declares XML entities, which exports never do and attacks would: nothing was read"
_OTHER_FOLDERS = {"node_modules", "__pycache__"}


class _Sources:
    """Several sources, one after the other."""

    def __init__(self, sources: list[Source], skipped: list[Skipped]) -> None:
        self._sources = sources
        self._skipped = skipped

    def __len__(self) -> int:
        return sum(map(len, self._sources)) + len(self._skipped)

    def __iter__(self) -> Iterator[Item]:
        return chain(*self._sources, self._skipped)

    def holds(self, source: str, key: str) -> bool:
        return any(each.holds(source, key) for each in self._sources)

    def was(self, item: ForeignEntry, source: str, key: str) -> bool:
        return any(each.was(item, source, key) for each in self._sources)


def read(path: Path) -> Source:
    """Return the source at a path.

    :param path: a Markdown file, a WordPress export (WXR), or a folder with some of these at any
        depth. Hidden files in a folder are ignored, and links out of it are skipped.
    :raises SourceError: there is nothing to import.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist.")
    root = path.resolve()
    files, skipped = _files_below(root)
    markdown = [file for file in files if is_markdown(file)]
    sources: list[Source] = [MarkdownFiles(root, markdown)] if markdown else []
    for file in files:
        found = None if is_markdown(file) else _export(file, name_below(root, file))
        if isinstance(found, Skipped):
            skipped.append(found)
        elif found is not None:
            sources.append(found)
    if not sources:
        raise SourceError(_nothing(path, skipped))
    return _Sources(sources, skipped)


def _files_below(root: Path) -> tuple[list[Path], list[Skipped]]:
    """Return the files in a folder, and what is skipped.

    :param root: a file or folder, resolved, so that a path that resolves elsewhere is a link.
    """
    found: list[Path] = []
    skipped: list[Skipped] = []

    def skip(path: Path, reason: str) -> None:
        skipped.append(Skipped(name_below(root, path), reason))

    def failed(error: OSError) -> None:
        skip(Path(error.filename), _unreadable(error))

    if not root.is_dir():
        refusal = _refusal(root, root)
        return ([], [Skipped(root.name, refusal)]) if refusal else ([root], [])
    for place, folders, names in os.walk(root, onerror=failed):
        folders[:] = sorted(f for f in folders if f[0] != "." and f not in _OTHER_FOLDERS)
        for name in [*folders, *sorted(name for name in names if name[0] != ".")]:
            path = Path(place, name)
            if refusal := _refusal(path, root):
                skip(path, refusal)
                # A junction on Windows looks like a folder to os.walk.
                folders[:] = [folder for folder in folders if folder != name]
            elif name not in folders:
                found.append(path)
    return found, skipped


def _unreadable(error: OSError) -> str:
    return f"cannot be read ({error.strerror})"


def _refusal(path: Path, root: Path) -> str:
    """Return why `path` is skipped, or ``""`` for a folder, a file or a link to a file inside."""
    try:
        return _refused_link(path, root) or _refused_kind(path)
    except OSError as error:  # a name that Windows reserves, a folder without access
        return _unreadable(error)


def _refused_kind(path: Path) -> str:
    mode = path.stat().st_mode
    return "" if S_ISREG(mode) or S_ISDIR(mode) else "not a regular file"


def _refused_link(path: Path, root: Path) -> str:
    target = Path(os.path.realpath(path))
    if target == path and not path.is_symlink():  # a link to itself resolves to itself
        return ""
    if not target.is_relative_to(root):
        return "a link out of the folder"
    if not target.exists():
        return "a broken link"
    if target.is_dir():
        return "a link to a folder; these are not followed"
    is_hidden = any(part[0] == "." for part in target.relative_to(root).parts)
    return "a link to a hidden file" if is_hidden else ""


def _export(file: Path, name: str) -> WordPressExport | Skipped:
    try:
        with file.open("rb") as opened:
            # Without the zeros, UTF-16 shows its ASCII too.
            beginning = opened.read(_BEGINNING).replace(b"\0", b"")
        if _WXR in beginning:
            return WordPressExport(file, name)
    except OSError as error:
        return Skipped(name, _unreadable(error))
    except UnsafeXMLError:
        return Skipped(name, _UNSAFE)
    return Skipped(name, "neither Markdown nor a WordPress export")


def _nothing(path: Path, skipped: list[Skipped]) -> str:
    known = "Markdown files (*.md, *.markdown) and WordPress exports (WXR) can be imported"
    reasons = "; ".join(f"{each.name}: {each.reason}" for each in skipped[:3])
    more = f" and {len(skipped) - 3} other files" if len(skipped) > 3 else ""
    return f"Nothing to import in {path}: {known}. {reasons}{more}".rstrip()
