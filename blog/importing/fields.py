"""The meaning of front matter: the names that many tools use for the same fields."""

import re
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import unquote, urlsplit

from blog.importing.dates import moment
from blog.importing.front_matter import Value, leaves
from blog.importing.texts import is_iri, one_line, readable
from blog.importing.visibility import is_page, speaks_of
from blog.models.entry import EntryKind

_YES = {"true", "yes", "on", "1"}
_NO = {"false", "no", "off", "0"}

_DATES = ("date", "pubdate", "publishdate", "published_at", "created", "created_at", "published")
_CHANGES = ("updated", "lastmod", "modified", "last_modified_at", "updated_at")
#: The plural names come first: only their text is a list of words.
_TAGS = ("tags", "categories", "tag", "category")
_SUMMARIES = ("excerpt", "summary", "description")
_OLD_ADDRESSES = ("aliases", "alias", "redirect_from", "tumblr_url")
#: Hugo sorts everything by `weight`; here it counts only within a series.
_NUMBERS = ("series_number", "series_index", "series_order", "series_part", "part", "weight")
_KNOWN = {
    *_DATES, *_CHANGES, *_TAGS, *_SUMMARIES, *_OLD_ADDRESSES,
    "author", "authors", "comments", "draft", "featured", "guid", "id", "layout", "permalink",
    "series", "slug", "status", "taxonomies", "title", "type", "uid", "url",
}  # fmt: skip

#: Jekyll's named permalink styles, and the placeholders of other patterns.
_NO_ADDRESS = re.compile(r"\A(?:date|none|ordinal|pretty|weekdate|false)\Z|[{}]|(?:\A|/):")
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


class Fields:
    """The fields of one file's front matter.

    :param front: as :func:`blog.importing.front_matter.split` returns it.
    """

    def __init__(self, front: dict[str, Value]) -> None:
        self._front = front

    @property
    def title(self) -> str:
        return one_line(self._text("title"))

    @property
    def date(self) -> datetime | None:
        return self._moment(*_DATES)

    @property
    def updated(self) -> datetime | None:
        return self._moment(*_CHANGES)

    @property
    def kind(self) -> EntryKind:
        return "page" if is_page(self._front) else "entry"

    @property
    def featured(self) -> bool:
        return self._says("featured", _YES)

    @property
    def comments_open(self) -> bool:
        return not self._says("comments", _NO)

    @property
    def summary(self) -> str | None:
        return self._text(*_SUMMARIES) or None

    @property
    def author(self) -> str | None:
        return ", ".join(self._texts("author", "authors")) or None

    @property
    def uid(self) -> str | None:
        return next(filter(is_iri, map(self._text, ("guid", "uid", "id"))), None)

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags and categories, each once."""
        nested = self._front.get("taxonomies")
        places = [self._front, nested] if isinstance(nested, dict) else [self._front]
        values = ((name, place.get(name, "")) for place in places for name in _TAGS)
        found = (one_line(tag) for name, value in values for tag in _tags(name, value))
        return tuple(dict.fromkeys(filter(None, found)))

    @property
    def series(self) -> str:
        """The title of the series, or ``""``; the first of several."""
        return next(iter(self._texts("series")), "") if self.kind == "entry" else ""

    @property
    def series_number(self) -> int | None:
        """The place in the series, or None if it is not a number."""
        found = _NUMBER.fullmatch(self._text(*_NUMBERS)) if self.series else None
        return int(found[0]) if found else None

    @property
    def slug(self) -> str:
        """The last part of the requested address, or ``""``."""
        return self._text("slug") or last_part(self._permalink)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The previous addresses of the text."""
        addresses = [self._permalink, *self._texts(*_OLD_ADDRESSES)]
        return tuple(address for address in addresses if address)

    @property
    def notes(self) -> list[str]:
        """Fields that are not supported and dates that cannot be read, one sentence each."""
        dates = (name for name in _DATES[:-1] + _CHANGES if self._text(name))
        wrong = [
            f"The date in “{name}” cannot be read." for name in dates if not self._moment(name)
        ]
        known = _KNOWN.union(_NUMBERS if self.series else ())
        named = (
            name for name, value in self._front.items() if value and name and not speaks_of(name)
        )
        other = [name for name in named if name not in known]
        other += [name for name in _SUMMARIES if self._text(name) not in {"", self.summary}]
        return wrong + [
            f"The field “{one_line(name)[:40]}” is not supported and was ignored." for name in other
        ]

    @property
    def _permalink(self) -> str:
        # In link blogs, `url` is a page on another site.
        url = self._text("url")
        wanted = [self._text("permalink"), url if url.startswith("/") else ""]
        return next((a for a in wanted if a and not _NO_ADDRESS.search(a)), "")

    def _text(self, *names: str) -> str:
        """Return the first of the fields that holds text, or ``""``."""
        values = (self._front.get(name) for name in names)
        texts = (readable(value).strip() for value in values if isinstance(value, str))
        return next(filter(None, texts), "")

    def _texts(self, *names: str) -> list[str]:
        found = (one_line(text) for name in names for text in leaves(self._front.get(name, "")))
        return list(dict.fromkeys(filter(None, found)))

    def _moment(self, *names: str) -> datetime | None:
        return next((found for name in names if (found := moment(self._text(name)))), None)

    def _says(self, name: str, words: set[str]) -> bool:
        return self._text(name).lower() in words


def _tags(name: str, value: Value) -> Iterator[str]:
    if not isinstance(value, str):
        # Some authors write tags with a number sign.
        yield from (tag.removeprefix("#") for tag in leaves(value))
    elif "," in value or name in {"tag", "category"}:
        yield from value.split(",")
    else:
        # https://jekyllrb.com/docs/posts/#tags: a text is a list of words
        yield from value.split()


def last_part(address: str) -> str:
    """Return the page name in a path or URL: ``about`` in ``/who/about.html``."""
    try:
        path = urlsplit(address).path
    except ValueError:  # an address like http://[x
        return ""
    parts = [part for part in path.split("/") if part]
    if parts and re.fullmatch(r"index\.\w+", parts[-1]):
        parts.pop()
    return re.sub(r"\.(html?|php)$", "", unquote(parts[-1])) if parts else ""
