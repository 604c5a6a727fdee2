"""Feed documents: Atom (RFC 4287), RSS 2.0 and JSON Feed 1.1, from the same items."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from xml.etree import ElementTree as ET

ATOM = "http://www.w3.org/2005/Atom"
CONTENT = "http://purl.org/rss/1.0/modules/content/"
DC = "http://purl.org/dc/elements/1.1/"
XML = "http://www.w3.org/XML/1998/namespace"

ET.register_namespace("atom", ATOM)
ET.register_namespace("content", CONTENT)
ET.register_namespace("dc", DC)

#: Characters that XML 1.0 cannot represent, not even as a reference (https://www.w3.org/TR/xml/#charsets).
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry or comment. ``html`` is its full content, and every link in it is absolute."""

    id: str
    title: str
    url: str
    published: datetime
    updated: datetime
    author: str
    html: str
    summary: str = ""
    tags: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A list of items, newest first. ``url`` is that of its page, ``address`` the feed's own."""

    id: str
    title: str
    description: str
    url: str
    address: str
    language: str
    author: str
    updated: datetime
    items: Sequence[Item]


def atom(feed: Feed) -> str:
    """Return the feed as an Atom document, https://www.rfc-editor.org/rfc/rfc4287."""
    root = ET.Element("feed", {"xmlns": ATOM, f"{{{XML}}}lang": feed.language})
    _add(root, "id", feed.id)
    _add(root, "title", feed.title)
    if feed.description:
        _add(root, "subtitle", feed.description)
    _add(root, "updated", rfc3339(feed.updated))
    _add(_add(root, "author"), "name", feed.author)
    _add(root, "link", rel="self", type="application/atom+xml", href=feed.address)
    _add(root, "link", rel="alternate", type="text/html", href=feed.url)
    _add(root, "generator", "Threadleaf")
    for item in feed.items:
        entry = _add(root, "entry")
        _add(entry, "id", item.id)
        _add(entry, "title", item.title)
        _add(entry, "link", rel="alternate", type="text/html", href=item.url)
        _add(entry, "published", rfc3339(item.published))
        _add(entry, "updated", rfc3339(item.updated))
        _add(_add(entry, "author"), "name", item.author)
        for tag in item.tags:
            _add(entry, "category", term=tag)
        if item.summary:
            _add(entry, "summary", item.summary)
        _add(entry, "content", item.html, type="html")
    return _document(root)


def rss(feed: Feed) -> str:
    """Return the feed as an RSS document, https://www.rssboard.org/rss-specification."""
    root = ET.Element("rss", {"version": "2.0"})
    channel = _add(root, "channel")
    _add(channel, "title", feed.title)
    _add(channel, "link", feed.url)
    _add(channel, "description", feed.description or feed.title)
    _add(channel, "language", feed.language)
    _add(channel, "lastBuildDate", format_datetime(feed.updated, usegmt=True))
    _add(channel, f"{{{ATOM}}}link", rel="self", type="application/rss+xml", href=feed.address)
    for each in feed.items:
        item = _add(channel, "item")
        if each.title:
            _add(item, "title", each.title)
        _add(item, "link", each.url)
        _add(item, "guid", each.id, isPermaLink="false")
        _add(item, "pubDate", format_datetime(each.published, usegmt=True))
        _add(item, f"{{{DC}}}creator", each.author)
        for tag in each.tags:
            _add(item, "category", tag)
        # RSS requires a title or a description, and some readers show only the description.
        _add(item, "description", each.summary or each.html)
        _add(item, f"{{{CONTENT}}}encoded", each.html)
    return _document(root)


def json_feed(feed: Feed) -> str:
    """Return the feed as a JSON document, https://www.jsonfeed.org/version/1.1/."""
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        **({"description": feed.description} if feed.description else {}),
        "home_page_url": feed.url,
        "feed_url": feed.address,
        "language": feed.language,
        "authors": [{"name": feed.author}],
        "items": [
            {
                "id": item.id,
                "url": item.url,
                **({"title": item.title} if item.title else {}),
                **({"summary": item.summary} if item.summary else {}),
                "content_html": item.html,
                "date_published": rfc3339(item.published),
                "date_modified": rfc3339(item.updated),
                "authors": [{"name": item.author}],
                "tags": list(item.tags),
            }
            for item in feed.items
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


#: The function that writes each format, and its media type.
FORMATS: dict[str, tuple[Callable[[Feed], str], str]] = {
    "atom": (atom, "application/atom+xml"),
    "rss": (rss, "application/rss+xml"),
    "json": (json_feed, "application/feed+json"),
}


def rfc3339(moment: datetime) -> str:
    """Format a time in UTC for Atom and JSON Feed: ``2026-11-22T18:51:31Z``."""
    # Not strftime(), which writes the year 1 with one digit on Linux.
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, name, {k: _xml(v) for k, v in attributes.items()})
    child.text = None if text is None else _xml(text)
    return child


def _xml(text: str) -> str:
    return NOT_XML.sub("", text)


def _document(root: ET.Element) -> str:
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode")
