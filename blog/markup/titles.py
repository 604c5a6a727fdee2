"""Titles: plain text, in which authors of other blogs have emphasised a word with HTML."""

import re

from markupsafe import Markup, escape

from blog.markup.sanitising import PHRASES

_EMPHASIS = PHRASES - {"a", "br", "wbr"}
_TAG = re.compile(r"<(/?)([a-z]{1,6})(\s[^<>]{0,300})?/?>", re.IGNORECASE)
_REMOVED = PHRASES | {"font", "span"}


def title_html(title: str) -> Markup:
    """Return a title as HTML without links, its emphasis as the author wrote it.

    :param title: any text; tags without their partner are text.
    """
    if "<" not in title:
        return escape(title)
    html, start = Markup(), 0
    for tag in _tags(title):
        name = tag[2].lower()
        html += escape(title[start : tag.start()])
        if name in _EMPHASIS:
            html += Markup(f"<{tag[1]}{name}>")  # noqa: S704 - one of ours, without attributes
        start = tag.end()
    return html + title[start:]


def title_text(title: str) -> str:
    """Return the text of a title, for places that take no HTML."""
    if "<" not in title:
        return title
    return str(title_html(title).striptags())


def _tags(title: str) -> "list[re.Match[str]]":
    """Return the tags in a title that are HTML: those with a partner, each within another."""
    opened: list[re.Match[str]] = []
    found: list[re.Match[str]] = []
    for tag in _TAG.finditer(title):
        name = tag[2].lower()
        if not tag[1] and name in _REMOVED:
            opened.append(tag)
        elif opened and opened[-1][2].lower() == name:
            found += [opened.pop(), tag]
    return sorted(found, key=re.Match.start)
