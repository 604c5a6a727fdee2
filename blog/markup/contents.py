"""The table of contents of a body, from the headings in it."""

import re
from dataclasses import dataclass, field
from html import unescape

from blog.markup.fragments import Fragment

#: A text with fewer headings needs no table of contents.
FEWEST = 3

# As blog.markup.finishing writes them: each with an id and an end, values without a "<".
_HEADING = re.compile(r'<h([23])((?: [a-z-]+="[^"<]*")*)>')
_ID = re.compile(r' id="([^"<]*)"')


@dataclass(frozen=True)
class Heading:
    """A heading, and the headings of the parts of its section.

    :param id: what a link to it ends in.
    :param text: plain text.
    """

    id: str
    text: str
    below: "list[Heading]" = field(default_factory=list)


def contents(html: str) -> list[Heading]:
    """Return the headings of a body, two levels deep, or none if they are few.

    :param html: a body that :func:`blog.markup.render` returned.
    """
    found = [
        (tag, id_[1]) for tag in _HEADING.finditer(html) if (id_ := _ID.search(tag[2])) is not None
    ]
    if len(found) < FEWEST:
        return []
    top: list[Heading] = []
    for tag, name in found:
        inner = html[tag.end() : html.index(f"</h{tag[1]}>", tag.end())]
        siblings = top[-1].below if tag[1] == "3" and top else top
        siblings.append(Heading(unescape(name), Fragment(inner).text()))
    return top
