"""Bare web addresses in Markdown, as links: https://github.github.com/gfm/#autolinks-extension-.

A bare e-mail address stays text, because bots harvest linked ones.
"""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from blog.markup.prose import Prose

_ADDRESS = re.compile(
    r"(?<![\w/@.:-])(?:https?://|www\.(?=[^\s<>.]{1,63}\.))[^\s<>\"]{1,2000}", re.IGNORECASE
)
_NO_END = "?!.,:;*_~'\"’”"
_OPENING = {")": "(", "]": "["}


def link_addresses(state: StateCore) -> None:
    """Make links of the addresses in text: a rule for markdown-it's core."""
    prose = Prose(besides=("a",))
    for block in state.tokens:
        if block.type == "inline" and block.children:
            flags = prose.read(block.children)
            block.children = [
                part
                for token, is_prose in zip(block.children, flags, strict=True)
                for part in (_linked(token, state.md) if is_prose else [token])
            ]
        elif block.type == "html_block":
            prose.pass_by(block)


def _linked(token: Token, markdown: MarkdownIt) -> Iterator[Token]:
    text = token.content
    position = 0
    for found in _ADDRESS.finditer(text):
        address = _trimmed(found[0])
        target = address if "://" in address else f"http://{address}"
        target = markdown.normalizeLink(target)
        if address.endswith("//") or not markdown.validateLink(target):
            continue
        yield _text(text[position : found.start()], token.level)
        start = Token("link_open", "a", 1, level=token.level, markup="autolink", info="auto")
        start.attrs["href"] = target
        yield start
        yield _text(address, token.level + 1)
        yield Token("link_close", "a", -1, level=token.level, markup="autolink", info="auto")
        position = found.start() + len(address)
    if position == 0:
        yield token
    else:
        yield _text(text[position:], token.level)


def _text(content: str, level: int) -> Token:
    return Token("text", "", 0, content=content, level=level)


def _trimmed(address: str) -> str:
    """Return an address without the punctuation of the sentence that it ends."""
    excess = {end: address.count(end) - address.count(start) for end, start in _OPENING.items()}
    end = len(address)
    while end:
        last = address[end - 1]
        if excess.get(last, 0) > 0:
            excess[last] -= 1
        elif last not in _NO_END:
            break
        end -= 1
    return address[:end]
