"""Prepare clean HTML for a page: outline, ids, accessible names."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from urllib.parse import quote, unquote

from blog.markup.fragments import VOID, Element, Fragment, escaped
from blog.markup.sanitising import clean_body
from blog.text.slugs import slugify

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LISTS = frozenset({"ol", "ul"})
# What a body may lack: without its parent an element is invalid, and a list item unannounced.
_PARENTS = {
    "dd": {"div", "dl"},
    "dt": {"div", "dl"},
    "figcaption": {"figure"},
    "li": _LISTS,
    "source": {"audio", "picture", "video"},
    "summary": {"details"},
    "track": {"audio", "video"},
}
#: In characters. Links from elsewhere have the whole heading in them.
_LONGEST_ID = 1_000
_RESERVED = frozenset({"content", "comments", "skip"})
_RESERVED_PREFIXES = ("comment-", "tl-")


def finish_body(html: str) -> str:
    """Finish the body of an entry for a page whose title is its only h1.

    :param html: a cleaned body.
    :return: the body, its headings an outline that begins with h2 and skips no level, its ids
        unique and clear of the page's own, its pictures, links and tables named.
    """
    # Without a tag, a browser may parse the rest differently, so it is cleaned again.
    body = Fragment(clean_body(_without_broken(Fragment(html))))
    _outline(body)
    _identify(body)
    _name_links(body)
    _wrap_tables(body)
    return str(body)


def finish_comment(html: str) -> str:
    """Finish a comment: its links get names, and pass on no reputation.

    :param html: a cleaned comment.
    :return: the comment.
    """
    comment = Fragment(html)
    _name_links(comment)
    for element in comment.elements:
        if "href" in element.attributes:
            element.attributes["rel"] = "ugc nofollow noopener"
    return str(comment)


def finish_phrase(html: str) -> str:
    """Finish a phrase: its links get names.

    :param html: a cleaned phrase.
    :return: the phrase.
    """
    phrase = Fragment(html)
    _name_links(phrase)
    return str(phrase)


def _without_broken(body: Fragment) -> str:
    for element in body.elements:
        _mend_place(element)
        if element.name == "img":
            _mend_picture(element)
        elif element.name == "input" and "type" not in element.attributes:
            element.name = ""
    for element in body.empty():
        if element.name in _HEADINGS:
            element.name = ""
        elif element.name == "th":
            element.name = "td"
    return str(body).replace("<p></p>", "")


def _mend_place(element: Element) -> None:
    if element.parent not in _PARENTS.get(element.name, {element.parent}):
        element.name = "" if element.name in VOID else "div"
    elif element.parent in _LISTS and element.name != "li":
        element.before, element.after = "<li>", "</li>"


def _mend_picture(picture: Element) -> None:
    alt = picture.attributes.setdefault("alt", "")
    if not picture.attributes.get("src"):
        picture.name, picture.after = "", escaped(alt) + picture.after


def _outline(body: Fragment) -> None:
    above: list[int] = []
    for heading in body.elements:
        if heading.name in _HEADINGS:
            level = int(heading.name[1])
            while above and above[-1] >= level:
                above.pop()
            above.append(level)
            heading.name = f"h{min(len(above) + 1, 6)}"


class _Ids:
    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self._taken: set[str] = set()
        self._count: dict[str, int] = {}

    def give(self, wanted: str) -> str:
        found = _unreserved(wanted)
        while found in self._taken:
            self._count[wanted] = self._count.get(wanted, 1) + 1
            found = _unreserved(f"{wanted}-{self._count[wanted]}")
        self._taken.add(found)
        self.given.setdefault(wanted, found)
        return found


def _unreserved(name: str) -> str:
    reserved = name in _RESERVED or name.startswith(_RESERVED_PREFIXES)
    return f"user-{name}" if reserved else name


def _identify(body: Fragment) -> None:
    ids = _Ids()
    for element in body.elements:
        name = element.attributes.pop("name", None)
        wanted = element.attributes.get("id", name)
        if wanted:
            element.attributes["id"] = ids.give(wanted)
    for heading in _outermost(body, _HEADINGS):
        if "id" not in heading.attributes:
            heading.attributes["id"] = ids.give(
                slugify(body.text(heading), _LONGEST_ID) or "section"
            )
    for element in body.elements:
        _follow(element, ids.given)


def _follow(link: Element, given: dict[str, str]) -> None:
    address = link.attributes.get("href", "")
    wanted = unquote(address[1:])
    if address.startswith("#") and given.get(wanted, wanted) != wanted:
        link.attributes["href"] = f"#{quote(given[wanted])}"


def _name_links(fragment: Fragment) -> None:
    for element in fragment.empty():
        address = element.attributes.get("href")
        if address is not None and not element.attributes.get("aria-label"):
            tail = unquote(address).rstrip("/").rpartition("/")[2]
            element.attributes["aria-label"] = tail or "Link"


def _wrap_tables(body: Fragment) -> None:
    # A group, not a region: several landmarks with the same name are only a hindrance.
    for table in _outermost(body, {"table"}):
        table.before = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
        table.after = "</div>"


def _outermost(body: Fragment, names: AbstractSet[str]) -> Iterator[Element]:
    end = -1
    for element in body.elements:
        if element.name in names and element.first > end:
            end = element.last
            yield element
