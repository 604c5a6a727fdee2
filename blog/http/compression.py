"""Content encodings: negotiation and compression."""

import gzip
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

from werkzeug.http import parse_accept_header

#: Smaller bodies, in bytes, fit into one packet anyway.
WORTH_IT = 1_000

#: The longest Accept-Encoding that is parsed, in characters. Browsers send about thirty.
LONGEST = 200

#: The types that compress well: pages, feeds, style sheets, SVG.
TYPES = ("text/", "application/json", "application/feed+json", "application/xml", "image/svg+xml")


def _encoders() -> Mapping[str, Callable[[bytes], bytes]]:
    """Return the available encoders, best first: Brotli and Zstandard are optional packages."""
    found: dict[str, Callable[[bytes], bytes]] = {}
    if brotli := _module("brotli"):
        found["br"] = partial(brotli.compress, quality=5)
    if zstandard := _module("compression.zstd") or _module("zstandard"):
        found["zstd"] = zstandard.compress
    # Without a time in the header, so that the same page has the same bytes.
    found["gzip"] = partial(gzip.compress, compresslevel=6, mtime=0)
    return found


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


ENCODERS = _encoders()


def choose(accept_encoding: str) -> str:
    """Return the best encoding that a client accepts; "" for none, or if the header is too long.

    :param accept_encoding: the header, https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
    """
    return _choose(accept_encoding) if len(accept_encoding) <= LONGEST else ""


@lru_cache(maxsize=256)
def _choose(accept_encoding: str) -> str:
    accepted = {name.lower(): quality for name, quality in parse_accept_header(accept_encoding)}
    others = accepted.get("*", 0)
    good = {name: accepted.get(name, others) for name in ENCODERS}
    best = max(good, key=lambda name: good[name])  # the first among equals
    return best if good[best] > 0 and good[best] >= accepted.get("identity", 0) else ""


def compress(encoding: str, body: bytes) -> bytes:
    """Return `body` in one of :data:`ENCODERS`."""
    return ENCODERS[encoding](body)


def is_worth_it(mimetype: str, size: int) -> bool:
    """Tell whether compressing a body of `size` bytes saves a noticeable part."""
    return size >= WORTH_IT and (mimetype.startswith(TYPES) or mimetype.endswith("+xml"))
