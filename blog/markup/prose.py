"""Which tokens of a Markdown text are prose, and which are code or an address."""

import re
from collections import Counter
from collections.abc import Iterable

from markdown_it.token import Token

_VERBATIM = ("code", "kbd", "pre", "samp", "tt", "var")
_TAG = re.compile(r"<(/?)([a-z]{1,4})(?=[\s/>])", re.IGNORECASE)


class Prose:
    """A walk along the tokens of a text, which knows the raw HTML around each.

    :param besides: the names of more elements in which there is no prose.
    """

    def __init__(self, besides: Iterable[str] = ()) -> None:
        self._verbatim = {*_VERBATIM, *besides}
        self._opened: Counter[str] = Counter()
        self._is_linked = "a" in self._verbatim

    def read(self, tokens: Iterable[Token]) -> list[bool]:
        """Tell of each token in a paragraph whether it is prose."""
        links = 0
        flags = []
        for token in tokens:
            if token.nesting and token.tag == "a" and (self._is_linked or token.info == "auto"):
                links += token.nesting
            elif token.type == "html_inline":
                self.pass_by(token)
            flags.append(token.type == "text" and not links and not self._opened.total())
        return flags

    def pass_by(self, token: Token) -> None:
        """Note what raw HTML opens and closes."""
        for tag in _TAG.finditer(token.content):
            name = tag[2].lower()
            if name in self._verbatim and not tag[1]:
                self._opened[name] += 1
            elif self._opened[name]:
                self._opened[name] -= 1
