"""Automatic paragraphs, as WordPress adds them when it shows a classic text.

A blank line ends a paragraph, and any other line ending is a ``<br>``; block elements are not
wrapped, and ``<pre>`` is not changed.
"""

import re

#: Elements that are copied unchanged.
_VERBATIM = ("pre", "script", "style", "svg", "textarea")
#: Elements without text of their own.
_LISTS = ("colgroup", "dl", "map", "menu", "ol", "table", "tbody", "tfoot", "thead", "tr", "ul")
#: Elements with text, but without paragraphs.
_LINES = ("caption", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "legend", "p", "summary")
#: Elements with paragraphs only if they contain a blank line.
_LOOSE = (
    "address", "center", "dd", "details", "div", "fieldset", "figcaption", "figure", "form", "li",
    "nav", "td", "th",
)  # fmt: skip
#: Elements with paragraphs, like the text itself.
_FLOW = ("article", "aside", "blockquote", "footer", "header", "hgroup", "main", "section")
_EMPTY = ("area", "col", "hr")

_ATTRIBUTES = r"(?:[^<>\"']|\"[^\"]*\"|'[^']*')*+"
_BLOCK = re.compile(
    rf"<(?P<verbatim>{'|'.join(_VERBATIM)})(?![\w-]).*?(?:</(?P=verbatim)\s*>|\Z)"
    rf"|<(?P<end>/)?(?P<name>{'|'.join(_LISTS + _LINES + _LOOSE + _FLOW + _EMPTY)})(?![\w-])"
    rf"{_ATTRIBUTES}>",
    re.DOTALL | re.IGNORECASE,
)
_INLINE = re.compile(rf"<!--.*?(?:-->|\Z)|</?[a-z]{_ATTRIBUTES}>", re.DOTALL | re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_BREAK = re.compile(r"<br\s*/?>\Z", re.IGNORECASE)

#: Deeper nesting is never intended, and searching a deeper stack is slow.
_DEEPEST = 100


def paragraphs(html: str) -> str:
    """Return `html` with its line endings converted to paragraphs and ``<br>``.

    :param html: any text, with ``\\n`` line endings.
    """
    written: list[str] = []
    around: list[str] = []
    position = 0
    for block in _BLOCK.finditer(html):
        written += [_text(html[position : block.start()], around), block[0]]
        _step(block, around)
        position = block.end()
    written.append(_text(html[position:], around))
    return "".join(written).strip()


def _step(block: re.Match[str], around: list[str]) -> None:
    """Update `around`, the open elements, for `block`."""
    name = (block["name"] or block["verbatim"]).lower()
    if block["end"]:
        if name in around:
            while around.pop() != name:
                pass
        return
    if around[-1:] == ["p"]:
        around.pop()  # a block ends a paragraph that has no end tag
    if block["name"] and name not in _EMPTY and len(around) < _DEEPEST:
        around.append(name)


def _text(text: str, around: list[str]) -> str:
    inner = text.strip()
    holder = around[-1] if around else ""
    if not inner or holder in _LISTS:
        return text
    parts = _BLANK_LINE.split(_INLINE.sub(lambda tag: tag[0].replace("\n", " "), inner))
    if holder in _LINES:
        between = "</p>\n<p>" if holder == "p" else "<br>\n<br>\n"
        return text.replace(inner, between.join(map(_lines, parts)))
    if holder in _LOOSE and not _BLANK_LINE.search(text):
        return text.replace(inner, _lines(inner))
    return "\n".join(["", *map(_paragraph, parts), ""])


def _paragraph(text: str) -> str:
    if not _COMMENT.sub("", text).strip():
        return text  # <!--more-->
    return f"<p>{_lines(text)}</p>"


def _lines(text: str) -> str:
    *lines, last = (line.strip() for line in text.split("\n"))
    return "".join(f"{_BREAK.sub('', line)}<br>\n" for line in lines) + last
