"""WordPress exports (WXR 1.0 to 1.2): posts and pages with their comments."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from blog.importing.dates import moment
from blog.importing.front_matter import Value
from blog.importing.items import ForeignEntry, Item, Skipped, digest
from blog.importing.paragraphs import paragraphs
from blog.importing.texts import is_iri, one_line, text_of
from blog.importing.visibility import Visibility, decide
from blog.importing.wordpress_comments import comments, losses_of_comments
from blog.importing.wxr import Part, WXRFile
from blog.models.entry import EntryKind

_KINDS: dict[str, EntryKind] = {"post": "entry", "": "entry", "page": "page"}
_OTHER_TYPES = {
    "attachment": "media files are not imported yet",
    "nav_menu_item": "menus are not imported",
}
#: Reasons not to import a text, unless an earlier import had it.
_NOT_WANTED = {
    "auto-draft": "an automatic draft that was never saved",
    "trash": "in the trash",
}
#: The parts of an item in its digest: a change of one of them is worth an update.
_SAID = (
    "title", "dc:creator", "content:encoded", "excerpt:encoded", "pubDate", "wp:post_date",
    "wp:post_date_gmt", "wp:post_modified_gmt", "wp:comment_status", "wp:post_name", "wp:status",
    "wp:post_type", "wp:is_sticky", "guid",
)  # fmt: skip
#: Custom fields that restrict readers, of Jetpack, Members and PublishPress Future.
_RESTRICTING = {"_jetpack_newsletter_access", "_members_access_role", "_expiration-date"}
_TAXONOMIES = {"category", "post_tag", "tag", ""}
_SHORTCODES = {"audio", "caption", "embed", "gallery", "playlist", "video", "wp_caption"}

_SHORTCODE = re.compile(r"\[([a-z][a-z0-9_-]{0,40})(?:\s[^\[\]<>]*)?\]")
_BEGINNING = 60


class WordPressExport:
    """A WXR file as a source.

    :param path: the file.
    :param name: its name in reports.
    :raises blog.importing.wxr.UnsafeXMLError: it declares entities.
    :raises OSError: it cannot be read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file = WXRFile(path)
        self._name = name
        self._changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def __len__(self) -> int:
        return len(self._file) + (self._file.problem is not None)

    def __iter__(self) -> Iterator[Item]:
        blog = _Blog(self._name, self._changed)
        for part in self._file:
            if isinstance(part, Skipped):
                yield part
            elif part.name == "item":
                yield blog.item(part)
            else:
                blog.learn(part)
        if self._file.problem:
            reason = f"not well-formed XML ({self._file.problem}), so it was read item by item"
            yield Skipped(f"the rest of {self._name}", reason)

    def holds(self, source: str, key: str) -> bool:  # noqa: ARG002 - as every source has it
        """Return False: equal items share id and guid; only the address of the blog differs."""
        return False

    def was(self, item: ForeignEntry, source: str, key: str) -> bool:  # noqa: ARG002
        """Return False: an item keeps its id when it moves."""
        return False


class _Blog:
    """The blog of an export, as far as the file has been read."""

    def __init__(self, name: str, changed: datetime) -> None:
        self._changed = changed
        self._authors: dict[str, str] = {}
        self._host = name
        self._path = ""

    def learn(self, part: Part) -> None:
        """Store the channel's information about the blog itself."""
        if part.name == "wp:author":
            name = text_of(part.text("wp:author_display_name"))
            self._authors[part.text("wp:author_login")] = name
        elif part.name in {"link", "wp:base_blog_url"}:
            # The second comes later, and is the more exact address.
            address = _split(part.value)
            self._host = _host(address) or self._host
            self._path = address.path.rstrip("/")

    def item(self, part: Part) -> Item:
        """Return the entry in an item, or the reason why there is none."""
        type_, status = part.text("wp:post_type"), part.text("wp:status")
        title = text_of(part.text("title"))
        name = title or f"post {part.text('wp:post_id')}".strip()
        if type_ not in _KINDS:
            other = f"items of type “{one_line(type_)}” are not supported"
            return Skipped(name, _OTHER_TYPES.get(type_, other))
        return self._entry(part, name, title, _NOT_WANTED.get(status, ""))

    def _entry(self, part: Part, name: str, title: str, unwanted: str) -> ForeignEntry:
        content, guid = part.text("content:encoded"), part.text("guid")
        kind = _KINDS[part.text("wp:post_type")]
        link = _local(_split(part.text("link")))
        key = one_line(f"{part.text('wp:post_id')} {guid or link}") or title
        tags = sorted((c.attribute("domain"), text_of(c.value)) for c in part.all("category"))
        addresses = dict.fromkeys(filter(None, self._addresses_of(part, kind)))
        visibility = _visibility(part, content)
        # The day of a scheduled text changes nothing in the export.
        said = "published" if part.text("wp:status") == "future" else visibility.state
        return ForeignEntry(
            # The same before and after a move to HTTPS.
            source=f"wordpress:{self._host}{self._path}",
            key=key,
            digest=digest("wordpress", key, link, tags, said, [part.text(n) for n in _SAID]),
            name=name,
            title=title or _beginning(content),
            # Blocks bring their own paragraphs.
            body=content if "<!-- wp:" in content else paragraphs(content),
            format="html",
            kind=kind,
            state=visibility.state,
            timestamp=visibility.timestamp or self._changed,
            is_dated=visibility.timestamp is not None,
            slug=unquote(part.text("wp:post_name")),
            uid=guid if is_iri(guid) else None,
            updated=moment(part.text("wp:post_modified_gmt")),
            summary=part.text("excerpt:encoded") or None,
            author=self._author(part.text("dc:creator")),
            featured=part.text("wp:is_sticky") == "1",
            comments_open=part.text("wp:comment_status") != "closed",
            tags=tuple(dict.fromkeys(name for domain, name in tags if _is_tag(domain, name))),
            addresses=tuple(addresses),
            comments=tuple(comments(part, key)),
            unwanted=unwanted,
            notes=(*visibility.notes, *_losses(part, content), *losses_of_comments(part)),
        )

    def _author(self, login: str) -> str | None:
        return self._authors.get(login) or one_line(login) or None

    def _addresses_of(self, part: Part, kind: EntryKind) -> Iterator[str]:
        """Yield the addresses of an item as paths, which stay the same when the blog moves."""
        link, guid = _split(part.text("link")), _split(part.text("guid"))
        yield _local(link)
        if _host(guid) == self._host:
            yield _local(guid)
        if number := part.text("wp:post_id"):
            yield f"{self._path}/?{'page_id' if kind == 'page' else 'p'}={number}"
        for meta in part.all("wp:postmeta"):
            slug = one_line(meta.text("wp:meta_value"))
            above, _, last = link.path.rstrip("/").rpartition("/")
            if meta.text("wp:meta_key") == "_wp_old_slug" and slug and last and not link.query:
                yield f"{above}/{slug}/"


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(one_line(address))
    except ValueError:  # an address like http://[x
        return SplitResult("", "", "", "", "")


def _host(address: SplitResult) -> str:
    return address.netloc.lower().removeprefix("www.")


def _local(address: SplitResult) -> str:
    return f"{address.path}?{address.query}" if address.query else address.path


def _visibility(part: Part, body: str) -> Visibility:
    passwords = (each.value for each in part.all("wp:post_password"))
    said: dict[str, Value] = {
        "status": [one_line(each.value) for each in part.all("wp:status")],
        # A blank is a password, but the line ends of an indented export are not.
        "password": [each for each in passwords if each.strip() or "\n" not in each],
    }
    metas = [(m.text("wp:meta_key"), m.text("wp:meta_value")) for m in part.all("wp:postmeta")]
    said |= {name: [value for key, value in metas if key == name] for name in _RESTRICTING}
    return decide(said, body, _published(part), doubts=_doubts(part))


def _doubts(part: Part) -> Iterator[str]:
    if not part.is_whole:
        yield "the export is broken before the end of the item"
    for name in ("wp:status", "wp:post_type"):
        if not part.text(name):
            yield f"the export lacks its {name.removeprefix('wp:').replace('_', ' ')}"
        elif len(part.all(name)) > 1:
            yield f"several values of {name}"


def _published(part: Part) -> datetime | None:
    names = ("wp:post_date_gmt", "pubDate", "wp:post_date")
    return next((found for name in names if (found := moment(part.text(name)))), None)


def _is_tag(domain: str, name: str) -> bool:
    return domain in _TAXONOMIES and name not in {"", "Uncategorized"}


def _beginning(content: str) -> str:
    text = text_of(content)
    if len(text) <= _BEGINNING:
        return text or "Untitled"
    return (text[: _BEGINNING + 1].rpartition(" ")[0] or text[:_BEGINNING]) + "…"


def _losses(part: Part, content: str) -> Iterator[str]:
    """Yield what is lost from an item, one sentence each."""
    if part.mended:
        yield "Broken XML was repaired."
    domains = {one_line(category.attribute("domain")) for category in part.all("category")}
    for domain in sorted(domains - _TAXONOMIES - {"post_format"}):
        yield f"The taxonomy “{domain}” is not supported and was ignored."
    fields = {meta.text("wp:meta_key") for meta in part.all("wp:postmeta")}
    if "_thumbnail_id" in fields:
        yield "The featured image was not imported."
    if any(not field.startswith("_") for field in fields):
        yield "Custom fields were not imported."
    codes = {found[1] for found in _SHORTCODE.finditer(content) if _is_shortcode(found)}
    for code in sorted(codes):
        yield f"The shortcode [{code}] was imported as text."


def _is_shortcode(found: re.Match[str]) -> bool:
    return found[1] in _SHORTCODES or "=" in found[0]
