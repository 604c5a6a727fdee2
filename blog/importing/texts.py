"""Cleaning of foreign texts, so that they can be stored, shown and sent in feeds."""

import codecs
import re
from html import unescape

#: The name of an error handler: bytes that are not UTF-8 were most likely typed on Windows.
WINDOWS = "windows-1252"

#: Characters that XML 1.0 forbids or discourages (https://www.w3.org/TR/xml/#charsets): they are
#: invisible, feeds cannot contain them, and neither PostgreSQL nor SQLite stores all of them.
_UNWRITABLE = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MARKUP = re.compile(r"<!--.*?(?:-->|\Z)|</?[a-zA-Z][^<>]*>", re.DOTALL)


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(WINDOWS, _as_windows_1252)


def unicode_encoding(content: bytes) -> str:
    """Return the encoding given by the byte order mark of `content`, or UTF-8."""
    # UTF-32 first: its mark begins with the mark of UTF-16.
    return next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8-sig")


def readable(text: str) -> str:
    """Return `text` with ``\\n`` line endings and without unstorable characters."""
    return _UNWRITABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """Return `text` with each run of white space replaced by a single space."""
    return " ".join(readable(text).split())


def text_of(html: str) -> str:
    """Return the visible text of HTML, on one line."""
    return one_line(unescape(_MARKUP.sub("", html)))


def is_iri(text: str) -> bool:
    """Tell whether `text` can be the id of a feed entry (RFC 4287, 4.2.6)."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+", text) is not None
