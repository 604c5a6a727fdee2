"""Tell the tags in a text that are HTML from those that are meant as text.

A sanitiser removes what it does not allow, and with some elements all that follows: of "use the
<title> element" a browser shows "use the". So what is not HTML becomes text before, as with GFM's
https://github.github.com/gfm/#disallowed-raw-html-extension-.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from markdown_it.token import Token


def names(words: str) -> frozenset[str]:
    """Return the words of a text, in lower case."""
    return frozenset(words.lower().split())


_VOID = names("area base br col embed hr img input link meta param source track wbr")
#: Without attributes, other void elements show nothing.
_VISIBLE_VOID = frozenset({"br", "hr", "wbr"})
#: The elements that a parser opens again in each block that follows, until they are closed:
#: https://html.spec.whatwg.org/multipage/parsing.html#formatting.
_FORMATTING = names("a b big code em font i nobr s small strike strong tt u")
_EMBEDS = frozenset({"embed", "iframe"})
#: The address of an embedded page.
SOURCE = re.compile(r"""src\s*=\s*["']?((?:https?:)?//[^\s"']+)""", re.IGNORECASE)
#: The elements whose content ends only with their end tag, or is hidden until it does.
_ALWAYS_CLOSED = names(
    """audio button details iframe math noembed noframes noscript object plaintext rp script select
    style svg template textarea title video xmp"""
)
#: The elements whose content is not shown.
_CODE = ("script", "style")
_END_OF_CODE = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _CODE}
#: The elements of HTML, SVG and MathML that no text here may have. Their content stays.
_KNOWN = names(
    """animate animateMotion animateTransform annotation annotation-xml applet area base basefont
    bgsound big blink body button canvas circle clipPath color-profile data datalist defs desc
    ellipse embed feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix
    feDiffuseLighting feDisplacementMap feDistantLight feDropShadow feFlood feFuncA feFuncB
    feFuncG feFuncR feGaussianBlur feImage feMerge feMergeNode feMorphology feOffset fePointLight
    feSpecularLighting feSpotLight feTile feTurbulence filter font font-face foreignObject form
    frame frameset g head html iframe image isindex keygen label legend line linearGradient link
    listing maction maligngroup malignmark map marker marquee mask math menclose menuitem merror
    meta metadata meter mfenced mfrac mglyph mi mlabeledtr mmultiscripts mn mo mover mpadded mpath
    mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr
    multicol munder munderover nextid nobr noembed noframes noscript none object optgroup option
    output param path pattern plaintext polygon polyline progress radialGradient rb rect rtc
    script select selectedcontent semantics set slot spacer stop style svg switch symbol template
    text textPath textarea time title tspan use view xmp"""
)

# A quoted value may have anything in it; a quote elsewhere is a character like others, unless a
# value with a "<" in it is found by pairs of quotes.
_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z][^\s/<>]*+)(?:"
    r"(?P<rest>(?:[^<>=]|=\s*+(?:\"[^\"<]*+\"|'[^'<]*+'|(?![\"'])))*+)>"
    r"|(?P<other>(?:[^<>\"']|\"[^\"]*+\"|'[^']*+')*+)>)"
)


@dataclass(eq=False, slots=True)
class Tag:
    """A tag as it was typed.

    :param rest: what follows the name: attributes, or the slash of ``<br/>``.
    :param paragraph: the number of the paragraph that it is in; None for a block of HTML.
    :param partner: the end tag of a start tag, or the start tag of an end tag.
    """

    name: str
    is_end: bool
    source: str
    rest: str
    paragraph: int | None = None
    partner: "Tag | None" = None

    @property
    def has_attributes(self) -> bool:
        return self.rest.strip(" \t\n\f\r/") != ""

    def as_text(self) -> str:
        """Return HTML that shows the tag as it was typed."""
        return escape(self.source, quote=False)


class _Scanner:
    """What divides HTML into tags and what is between them, in time linear in its length."""

    def __init__(self, html: str, *, is_foreign: bool) -> None:
        self._html = html
        self._is_foreign = is_foreign
        #: What does not occur again in the rest of the text, and is not searched for.
        self._missing: set[str] = set()

    def pieces(self) -> Iterator[str | Tag]:
        start = 0
        while (place := self._html.find("<", start)) >= 0:
            yield self._html[start:place]
            piece, start = self._piece(place)
            yield piece
        yield self._html[start:]

    def _piece(self, place: int) -> tuple[str | Tag, int]:
        """Return what begins with the ``<`` at `place`, and where the next piece begins."""
        html = self._html
        if html.startswith("<!--", place) and (end := self._behind("-->", place + 2)):
            return html[place:end], end
        if self._is_foreign and html.startswith(("<!", "<?"), place):
            if end := self._behind(">", place):
                return "", end
        elif (match := _TAG.match(html, place)) is not None:
            rest = match["other"] if match["rest"] is None else match["rest"]
            tag = Tag(match["name"].lower(), bool(match["end"]), match[0], rest)
            if self._is_foreign and (end := self._behind_code(tag, match.end())):
                return "", end
            return tag, match.end()
        return "&lt;", place + 1

    def _behind(self, closing: str, place: int) -> int:
        """Return the place behind the next `closing`, or 0 if there is none."""
        found = -1 if closing in self._missing else self._html.find(closing, place)
        if found < 0:
            self._missing.add(closing)
            return 0
        return found + len(closing)

    def _behind_code(self, tag: Tag, place: int) -> int:
        """Return the place behind the script or style sheet that `tag` begins, or 0."""
        if tag.is_end or tag.name not in _END_OF_CODE or tag.name in self._missing:
            return 0
        found = _END_OF_CODE[tag.name].search(self._html, place)
        behind = self._behind(">", found.end()) if found else 0
        if not behind:
            self._missing.add(tag.name)
        return behind


def _pair(tags: Iterable[Tag]) -> None:
    """Give start and end tags their partners. A start tag in a paragraph is closed there."""
    opened: defaultdict[str, list[Tag]] = defaultdict(list)
    for tag in tags:
        if not tag.is_end:
            opened[tag.name].append(tag)
            continue
        above = opened[tag.name]
        while above and above[-1].paragraph not in {None, tag.paragraph}:
            above.pop()
        if above:
            tag.partner = above.pop()
            tag.partner.partner = tag


def without_unknown(html: str, allowed: frozenset[str]) -> str:
    """Prepare HTML from elsewhere for a sanitiser, so that nothing readable is lost in it.

    :param html: any text.
    :param allowed: the names of the elements that stay.
    :return: `html` without the tags of other elements, and without scripts and style sheets. A tag
        that is none of HTML, like ``<branch>``, becomes text, and so does one that would hide all
        that follows, because it is never closed.
    """
    if "<" not in html:
        return html
    found = list(_Scanner(html, is_foreign=True).pieces())
    _pair(piece for piece in found if isinstance(piece, Tag))
    return "".join(piece if isinstance(piece, str) else _foreign(piece, allowed) for piece in found)


def _foreign(tag: Tag, allowed: frozenset[str]) -> str:
    if tag.partner is None and tag.name in _ALWAYS_CLOSED and not tag.is_end:
        return tag.as_text()
    if tag.name in allowed:
        return tag.source
    # Word and widgets have names with a colon.
    is_word = tag.partner is None and tag.name not in _KNOWN and ":" not in tag.name
    return tag.as_text() if is_word else ""


def settle(tokens: Iterable[Token], allowed: frozenset[str], unwrapped: frozenset[str]) -> None:
    """Make text of what is not HTML in the tokens of a Markdown text: of declarations, of tags that
    no text may have, and of tags without their partner.

    :param allowed: the names of the elements that this kind of text may have.
    :param unwrapped: the names of those that other kinds may have. Their content stays, without
        the tags.
    """
    raw: list[tuple[Token, list[str | Tag]]] = []
    for number, block in enumerate(tokens):
        for token in (block, *(block.children or ())):
            if token.type in {"html_block", "html_inline"}:
                raw.append((token, list(_Scanner(token.content, is_foreign=False).pieces())))
                for piece in raw[-1][1]:
                    if isinstance(piece, Tag) and token is not block:
                        piece.paragraph = number
    _pair(piece for _, found in raw for piece in found if isinstance(piece, Tag))
    for token, found in raw:
        token.content = "".join(
            piece if isinstance(piece, str) else _settled(piece, allowed, unwrapped)
            for piece in found
        )


def _settled(tag: Tag, allowed: frozenset[str], unwrapped: frozenset[str]) -> str:
    if tag.name in _EMBEDS & allowed:
        start = tag.partner if tag.is_end else tag
        is_html = start is not None and SOURCE.search(start.rest) is not None
    elif tag.name == "input":
        is_html = tag.name in allowed and "checkbox" in tag.rest
    elif tag.name in _VOID:
        is_html = tag.name in allowed and (tag.name in _VISIBLE_VOID or tag.has_attributes)
    elif tag.partner is not None:
        is_html = tag.name in allowed | unwrapped
    elif tag.name in allowed and tag.rest.endswith("/") and tag.has_attributes:
        return f"{tag.source[:-2]}></{tag.name}>"  # as <a id="x"/> is meant
    else:
        # In a block of HTML the end is optional, or its author has forgotten it.
        can_be_open = tag.name in allowed - _FORMATTING - _ALWAYS_CLOSED
        is_html = tag.paragraph is None and can_be_open
    return tag.source if is_html else tag.as_text()
