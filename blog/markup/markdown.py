"""Markdown to HTML, not yet sanitised: CommonMark and common extensions.

Rules of markdown-it and its plug-ins that take time quadratic in the length of the text are
replaced.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby
from operator import itemgetter

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.footnote.index import footnote_ref
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

from blog.markup.addresses import link_addresses
from blog.markup.attributes import take_attributes
from blog.markup.quotes import quotes_of
from blog.markup.sanitising import CLEANED, IN_BODY, IN_COMMENT, IN_PHRASE
from blog.markup.tags import settle
from blog.markup.typography import typeset

_CODE_CLASSES: dict[_TokenType, str] = {
    Comment: "c",
    Generic.Deleted: "gd",
    Generic.Inserted: "gi",
    Generic.Prompt: "gp",
    Keyword: "k",
    Number: "m",
    Name.Attribute: "na",
    Name.Builtin: "nb",
    Name.Class: "nc",
    Name.Decorator: "nd",
    Name.Function: "nf",
    Name.Tag: "nt",
    Operator.Word: "k",
    String: "s",
}
_LONGEST_CODE = 100_000
_SECONDS = 1.0
# The patterns of many lexers take time quadratic in the length of a line or of a blank.
_SLOW_CODE = re.compile(r"[^\n]{1000}|\s{200}")
# The preset stops at 20 levels and drops blocks that are deeper, which is ten nested lists.
_DEEPEST_BLOCK = 100
# Each bracket is examined once per level, and nothing is dropped.
_DEEPEST_PHRASE = 10
# Footnotes with longer labels are text: the parser searches for an end after each "[^".
_LONGEST_LABEL = 100
_SMALL = re.compile(r"([~^])([\w+\u2212-]{1,30})\1")
_TASK = re.compile(r"\[([ xX])\](?=[ \t\n\v\f\r])")


def to_html(text: str, language: str = "en") -> str:
    """Turn Markdown into HTML.

    :param text: any text.
    :param language: a language tag; it has the quotes.
    :return: HTML that still has to be cleaned, because Markdown may contain any.
    """
    html: str = _MARKDOWN.render(text, {"quotes": quotes_of(language)})
    return html


def comment_to_html(text: str, language: str = "en") -> str:
    """Turn the Markdown of a comment into HTML: without tables, footnotes, tasks and code colours,
    of which nothing would be left in a comment.

    :param text: any text.
    :param language: a language tag; it has the quotes.
    :return: HTML that still has to be cleaned.
    """
    html: str = _COMMENT.render(text, {"quotes": quotes_of(language)})
    return html


def phrase_to_html(text: str, language: str = "en") -> str:
    """Turn Markdown into HTML within one paragraph.

    :param text: any text.
    :param language: a language tag; it has the quotes.
    :return: HTML that still has to be cleaned.
    """
    html: str = _PHRASE.renderInline(text, {"quotes": quotes_of(language)})
    return html


def _coloured(code: str, language: str, _attributes: str) -> str:
    if not language or len(code) > _LONGEST_CODE or _SLOW_CODE.search(code):
        return escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return _spans(lexer.get_tokens(code)) or escape(code)


def _spans(tokens: Iterator[tuple[_TokenType, str]]) -> str:
    spans: list[str] = []
    deadline = time.thread_time() + _SECONDS
    classed = ((_code_class(kind), text) for kind, text in tokens)
    for name, group in groupby(classed, key=itemgetter(0)):
        text = escape("".join(part for _, part in group), quote=False)
        spans.append(f'<span class="{name}">{text}</span>' if name else text)
        if time.thread_time() > deadline:
            return ""
    return "".join(spans)


def _code_class(kind: _TokenType) -> str:
    nearest: _TokenType | None = kind
    while nearest is not None and nearest not in _CODE_CLASSES:
        nearest = nearest.parent
    return _CODE_CLASSES[nearest] if nearest is not None else ""


def _align_by_class(state: StateCore) -> None:
    for token in state.tokens:
        if style := token.attrs.pop("style", None):
            token.attrs["class"] = str(style).replace("text-align:", "align-")


def _footnotes_open(*_: object) -> str:
    return '<div class="footnotes">\n<ol class="footnotes-list">\n'


def _footnotes_close(*_: object) -> str:
    return "</ol>\n</div>\n"


def _footnote_ref(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    meta = tokens[index].meta
    number, use = meta["id"] + 1, meta.get("subId", 0)
    place = f"{number}:{use}" if use > 0 else f"{number}"
    return (
        f'<sup class="footnote-ref"><a href="#fn{number}" id="fnref{place}" '
        f'aria-label="Footnote {number}">[{number}]</a></sup>'
    )


def _footnote_back(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    number, use = tokens[index].meta["id"] + 1, tokens[index].meta["subId"]
    place = f"{number}:{use}" if use > 0 else f"{number}"
    label = f"Back to reference {place}"
    # The selector keeps a telephone from showing the arrow as an emoji.
    return (
        f' <a href="#fnref{place}" class="footnote-backref" aria-label="{label}">\u21a9\ufe0e</a>'
    )


def _alternative(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return escape(renderer.renderInlineAsText(tokens[index].children, options, env))


def _short_footnote_ref(state: StateInline, silent: bool) -> bool:
    end = state.src.find("]", state.pos, state.pos + _LONGEST_LABEL)
    return end >= 0 and footnote_ref(state, silent)


def _small(state: StateInline, silent: bool) -> bool:
    """Read ``H~2~O`` and ``x^2^``. Behind anything but a letter, digit or bracket they are text."""
    found = _SMALL.match(state.src, state.pos)
    before = state.src[state.pos - 1 : state.pos]
    if found is None or not (before.isalnum() or before == ")"):
        return False
    if not silent:
        name = "sub" if found[1] == "~" else "sup"
        state.push(f"{name}_open", name, 1)
        state.push("text", "", 0).content = found[2]
        state.push(f"{name}_close", name, -1)
    state.pos = found.end()
    return True


def _task_lists(state: StateCore) -> None:
    lists: list[Token] = []
    for number, token in enumerate(state.tokens):
        if token.type in {"bullet_list_open", "ordered_list_open"}:
            lists.append(token)
        elif token.type in {"bullet_list_close", "ordered_list_close"}:
            lists.pop()
        elif token.type == "inline" and (task := _TASK.match(token.content)):
            above = state.tokens[max(number - 2, 0) : number]
            if [each.type for each in above] == ["list_item_open", "paragraph_open"]:
                lists[-1].attrSet("class", "contains-task-list")
                above[0].attrSet("class", "task-list-item")
                _make_task(token.children or [], is_done=task[1] != " ")


def _make_task(children: list[Token], *, is_done: bool) -> None:
    checked = ' checked="checked"' if is_done else ""
    box = Token("html_inline", "", 0)
    box.content = f'<input class="task-list-item-checkbox"{checked} type="checkbox">'
    children[0].content = children[0].content[3:]
    children.insert(0, box)


def _commonmark(deepest: int, highlight: Callable[..., str] | None = None) -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"highlight": highlight, "maxNesting": deepest})
    markdown.enable("strikethrough")
    markdown.inline.ruler.after("emphasis", "small", _small)
    markdown.core.ruler.before("text_join", "addresses", link_addresses)
    markdown.core.ruler.before("text_join", "typography", typeset)
    return markdown


def _full(deepest: int) -> MarkdownIt:
    markdown = _commonmark(deepest, _coloured).enable("table")
    markdown.use(footnote_plugin).use(deflist_plugin)
    markdown.inline.ruler.at("footnote_ref", _short_footnote_ref)
    markdown.core.ruler.after("inline", "attributes", take_attributes)
    markdown.core.ruler.after("inline", "task_lists", _task_lists)
    markdown.core.ruler.push("align_by_class", _align_by_class)
    markdown.add_render_rule("footnote_block_open", _footnotes_open)
    markdown.add_render_rule("footnote_block_close", _footnotes_close)
    markdown.add_render_rule("footnote_ref", _footnote_ref)
    markdown.add_render_rule("footnote_anchor", _footnote_back)
    return markdown


def _with_phrases(blocks: MarkdownIt, phrases: MarkdownIt) -> MarkdownIt:
    """Let `phrases` parse the text within blocks, with its own limit of nesting."""

    def read(state: StateCore) -> None:
        for token in state.tokens:
            if token.type == "inline":
                token.children = []
                phrases.inline.parse(token.content, phrases, state.env, token.children)

    blocks.core.ruler.at("inline", read)
    return blocks


def _with_html(markdown: MarkdownIt, allowed: frozenset[str]) -> MarkdownIt:
    """Return `markdown`, whose raw HTML is text but for elements that are `allowed`."""

    def settled(state: StateCore) -> None:
        settle(state.tokens, allowed, CLEANED)

    # Where the footnotes are in the text, too.
    markdown.core.ruler.before("addresses", "raw_html", settled)
    return markdown


_PHRASE = _with_html(_commonmark(_DEEPEST_PHRASE), IN_PHRASE)
_COMMENT = _with_html(
    _with_phrases(_commonmark(_DEEPEST_BLOCK), _commonmark(_DEEPEST_PHRASE)), IN_COMMENT
)
_MARKDOWN = _with_html(_with_phrases(_full(_DEEPEST_BLOCK), _full(_DEEPEST_PHRASE)), IN_BODY)
# Neither may have pictures, so their alternative text is shown instead.
_PHRASE.add_render_rule("image", _alternative)
_COMMENT.add_render_rule("image", _alternative)
