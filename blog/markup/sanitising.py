"""The HTML that is allowed in a body, a comment and a phrase.

The lists name valid HTML only, so that what passes them passes the Nu checker, too.
"""

import re
from collections import Counter
from html import escape, unescape

import nh3

from blog.markup.tags import SOURCE, names, without_unknown

#: The classes of syntax highlighting, one per group of tokens.
CODE_CLASSES = names("c gd gi gp k m na nb nc nd nf nt s")

#: Inline elements.
PHRASES = names(
    "a abbr b br cite code del dfn em i ins kbd mark q s samp small strong sub sup u var wbr"
)
_HEADINGS = names("h1 h2 h3 h4 h5 h6")
_BODY_TAGS = (
    PHRASES
    | _HEADINGS
    | names("""audio blockquote caption col colgroup dd details div dl dt figcaption figure hr img
        input li ol p picture pre rp rt ruby source span summary table tbody td tfoot th thead tr
        track ul video""")
)
_COMMENT_TAGS = PHRASES | names("blockquote li ol p pre ul")
_SPAN = {"colspan", "rowspan"}
_BODY_ATTRIBUTES = {
    "*": {"class", "dir", "id", "lang", "title"},
    "a": {"aria-label", "href", "name"},
    "audio": {"loop", "muted", "preload", "src"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "img": {"alt", "height", "sizes", "src", "srcset", "width"},
    "input": {"checked"},
    "li": {"value"},
    "ol": {"reversed", "start"},
    "source": {"media", "sizes", "src", "srcset", "type"},
    "td": _SPAN,
    "th": _SPAN | {"scope"},
    "track": {"default", "kind", "label", "src", "srclang"},
    "video": {"height", "loop", "muted", "poster", "preload", "src", "width"},
}
_COMMENT_ATTRIBUTES = {"*": {"dir", "lang"}, "a": {"href", "title"}, "abbr": {"title"}}
_SCHEMES = {"http", "https", "mailto", "tel"}

_CLASSES = CODE_CLASSES | names(
    """align-center align-left align-right contains-task-list footnote-backref footnote-item
    footnote-ref footnotes footnotes-list task-list-item task-list-item-checkbox"""
)
_LANGUAGE_CLASS = re.compile(r"language-[\w.+#-]{1,40}")
_BOOLEAN = names("checked default loop muted open reversed")
_ADDRESSES = names("href poster src")
_NOT_IN_A_URL = str.maketrans({c: f"%{ord(c):02X}" for c in ' "<>\\^`{|}'})
_CANDIDATE = re.compile(r"(?:https?://\S+|[^\s:]+)(?: \d+w| \d+(?:\.\d+)?x)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z\d]{2,8})*")
_VALUES = {
    "colspan": re.compile(r"[1-9]\d{0,2}"),
    "dir": re.compile("ltr|rtl|auto"),
    "height": re.compile(r"\d{1,5}"),
    "kind": re.compile("subtitles|captions|descriptions|chapters|metadata"),
    "lang": _LANGUAGE,
    "preload": re.compile("none|metadata|auto"),
    "rowspan": re.compile(r"[1-9]\d{0,3}"),
    "scope": re.compile("row|col|rowgroup|colgroup"),
    "span": re.compile(r"[1-9]\d{0,2}"),
    "srclang": _LANGUAGE,
    "start": re.compile(r"-?\d{1,6}"),
    "value": re.compile(r"-?\d{1,6}"),
    "width": re.compile(r"\d{1,5}"),
}


def _attribute(_tag: str, name: str, value: str) -> str | None:
    if name in _VALUES:
        return value if _VALUES[name].fullmatch(value) else None
    if name in _ADDRESSES:
        return value.strip().translate(_NOT_IN_A_URL)
    if name in _BOOLEAN:
        return ""
    if name == "class":
        return " ".join(filter(_is_our_class, value.split())) or None
    if name == "srcset":
        return _srcset(value)
    if name in ("id", "name"):
        return "-".join(value.split()) or None
    return value


def _is_our_class(name: str) -> bool:
    return name in _CLASSES or _LANGUAGE_CLASS.fullmatch(name) is not None


def _srcset(value: str) -> str | None:
    candidates = (" ".join(candidate.split()) for candidate in re.split(r",\s+", value))
    return ", ".join(filter(_CANDIDATE.fullmatch, candidates)) or None


_BODY = nh3.Cleaner(
    tags=_BODY_TAGS,
    attributes=_BODY_ATTRIBUTES,
    attribute_filter=_attribute,
    link_rel=None,
    tag_attribute_values={
        "input": {"type": {"checkbox"}},
        "ol": {"type": {"1", "a", "A", "i", "I"}},
    },
    set_tag_attribute_values={
        "audio": {"controls": ""},
        "img": {"decoding": "async", "loading": "lazy"},
        "input": {"aria-label": "Task", "disabled": ""},
        "pre": {"tabindex": "0"},  # only focusable elements can be scrolled with the keyboard
        "video": {"controls": ""},
    },
    url_schemes=_SCHEMES,
)
_COMMENT = nh3.Cleaner(
    tags=_COMMENT_TAGS,
    attributes=_COMMENT_ATTRIBUTES,
    attribute_filter=_attribute,
    link_rel=None,
    set_tag_attribute_values={"pre": {"tabindex": "0"}},
    url_schemes=_SCHEMES,
)
_PHRASE = nh3.Cleaner(
    tags=PHRASES - {"br"},
    attributes=_COMMENT_ATTRIBUTES,
    attribute_filter=_attribute,
    link_rel=None,
    url_schemes=_SCHEMES,
)


def clean_body(html: str) -> str:
    """Clean the body of an entry.

    :param html: any text.
    :return: safe HTML that a parser reads back unchanged.
    """
    return _settled(_BODY, _modern(_EMBED.sub(_as_link, html)))


def clean_comment(html: str) -> str:
    """Clean a comment that came as HTML, to few tags.

    :param html: any text.
    :return: safe HTML that a parser reads back unchanged.
    """
    return _settled(_COMMENT, _modern(html))


def clean_phrase(html: str) -> str:
    """Clean HTML to the elements allowed inside a paragraph.

    :param html: any text.
    :return: safe HTML without a block.
    """
    return _settled(_PHRASE, _modern(html))


_EMBED = re.compile(r"<(?:iframe|embed)\s([^<>]*)>(?:[^<]*</iframe\s*>)?", re.IGNORECASE)
_SUCCESSORS = {
    "acronym": "abbr",
    "dir": "ul",
    "menu": "ul",
    "strike": "s",
    "tt": "code",
} | dict.fromkeys(
    names(
        """address article aside center dialog fieldset footer header hgroup main nav search
        section"""
    ),
    "div",
)


def _with_old(tags: frozenset[str]) -> frozenset[str]:
    return tags | {old for old, new in _SUCCESSORS.items() if new in tags}


#: The names of the elements that pass a cleaner, whose content at least stays.
CLEANED = _with_old(_BODY_TAGS)
#: The names of the elements that each kind of Markdown text may have, before it is cleaned.
IN_BODY = CLEANED | {"embed", "iframe"}
IN_COMMENT = _with_old(_COMMENT_TAGS)
IN_PHRASE = _with_old(PHRASES)

_OLD_TAG = re.compile(rf"<(/?)({'|'.join(_SUCCESSORS)})(?=[\s/>])", re.IGNORECASE)
_FORMATTING = re.compile(
    r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/])", re.IGNORECASE
)
_REOPENED = 1_000_000
# A parser looks through all open elements at most tags. Chromium nests no deeper than this.
_DEEPEST = 512
_ANY_TAG = re.compile(r"<(/?)([a-z][a-z0-9-]*)", re.IGNORECASE)
# They need no end tag, and none is left open within another of its kind.
_ENDED_BY_OTHERS = names(
    """area base br col dd dt embed hr img input li link meta optgroup option p param rp rt source
    tbody td tfoot th thead tr track wbr"""
)
# A page may hold none of them; without the surrogates a text has no UTF-8.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
# An end tag in one of them ends nothing outside of it.
_SCOPES = names("applet marquee object table template")
_PASSES = 8


def _modern(html: str) -> str:
    html = _flat(without_unknown(_FORBIDDEN.sub("", html), CLEANED))
    html = _OLD_TAG.sub(lambda match: f"<{match[1]}{_SUCCESSORS[match[2].lower()]}", html)
    # Formatting that is never closed is opened again in every block that follows: 100 kB can
    # become 350 MB. A parser keeps three alike, so it is the attributes that have to go.
    if len(_FORMATTING.findall(html)) * html.count("<") > _REOPENED:
        return _FORMATTING.sub(r"<\1><x-\1", html)
    return html


def _flat(html: str) -> str:
    """Return `html`, its tags that would nest too deep made text."""
    if html.count("<") <= _DEEPEST:
        return html
    # The elements that are open in the whole and in each table within it.
    scopes: list[tuple[str, list[str]]] = [("", [])]
    opened: Counter[tuple[int, str]] = Counter()
    depth = 0

    def flat(tag: re.Match[str]) -> str:
        nonlocal depth
        name, (scope, inner), level = tag[2].lower(), scopes[-1], len(scopes)
        if name in _ENDED_BY_OTHERS:
            return tag[0]
        if not tag[1]:
            if depth == _DEEPEST:
                return f"&lt;{tag[2]}"
            depth += 1
            if name in _SCOPES:
                scopes.append((name, []))
            else:
                inner.append(name)
                opened[level, name] += 1
        elif name == scope:
            scopes.pop()
            depth -= 1 + len(inner)
            opened.subtract((level, each) for each in inner)
        elif opened[level, name]:
            end = None
            while end != name:
                end = inner.pop()
                opened[level, end] -= 1
                depth -= 1
        return tag[0]

    return _ANY_TAG.sub(flat, html)


def _as_link(embed: re.Match[str]) -> str:
    found = SOURCE.search(embed[1])
    if found is None:
        return embed[0]
    address = unescape(found[1])
    target = escape(f"https:{address}" if address.startswith("//") else address)
    return f'<p><a href="{target}">{target}</a></p>'


def _settled(cleaner: nh3.Cleaner, html: str) -> str:
    # Mutation attacks rely on HTML that a browser parses differently from the sanitiser.
    for _ in range(_PASSES):
        cleaned = cleaner.clean(_FORBIDDEN.sub("", html))
        if cleaned == html:
            return html
        html = cleaned
    return nh3.clean(html, tags=set())
