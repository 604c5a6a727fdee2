"""What becomes of typed dots, hyphens and quotes in prose: a short list of safe cases.

Three dots at the end of a word become an ellipsis, two hyphens between spaces a dash, three a long
one, and straight quotes those of the language. Everything else stays as it was typed, and so do
code and addresses: ``(c)``, ``--force``, ``../README``, ``x+-y``.
"""

import re

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from blog.markup.prose import Prose
from blog.markup.quotes import neighbours, replace_quotes

_ELLIPSIS = re.compile(r"(?<![./\\])\.\.\.(?![\w./\\])")
_DASH = re.compile(r"(?<=\s)--(?=\s)")
_NEIGHBOUR = re.compile("[.-]")
_LONG_DASH = re.compile(r"(?<![-+|<>=#*/\\])---(?![-+|<>=#*/\\])")


def typeset(state: StateCore) -> None:
    """Set the prose of a text: a rule for markdown-it's core.

    ``env["quotes"]`` has the quotes of the language, as :func:`blog.markup.quotes.quotes_of`
    returns them.
    """
    prose = Prose()
    for block in state.tokens:
        if block.type == "html_block":
            prose.pass_by(block)
        elif block.type == "inline" and block.children:
            flags = prose.read(block.children)
            _replace_dots_and_hyphens(block.children, flags)
            if "'" in block.content or '"' in block.content:
                replace_quotes(block.children, flags, state.env["quotes"])


def _replace_dots_and_hyphens(tokens: list[Token], flags: list[bool]) -> None:
    around = zip(neighbours(tokens, -1), neighbours(tokens[::-1], 0)[::-1], strict=True)
    for token, is_prose, (before, after) in zip(tokens, flags, around, strict=True):
        if is_prose and ("--" in token.content or "..." in token.content):
            # Nothing outside of this token may be replaced: a slash prevents it as they do.
            text = f"{_NEIGHBOUR.sub('/', before)}{token.content}{_NEIGHBOUR.sub('/', after)}"
            text = _ELLIPSIS.sub("…", text)
            text = _LONG_DASH.sub("—", text)
            token.content = _DASH.sub("–", text)[1:-1]
