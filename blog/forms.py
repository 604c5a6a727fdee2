"""What visitors send: one class a form, with its rules and what it says when one is broken."""

import unicodedata
from dataclasses import dataclass, field
from typing import Self

from werkzeug.datastructures import ImmutableMultiDict

from blog.config import Config


@dataclass
class CommentForm:
    """A comment as it was typed, and what is wrong with it, by field."""

    text: str = ""
    name: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, fields: ImmutableMultiDict[str, str], config: Config) -> Self:
        form = cls(clean(fields.get("text", "")), clean(fields.get("name", "")).replace("\n", " "))
        if not form.text:
            form.errors["text"] = "Please write a comment before you send it."
        if (length := len(form.text)) > config.comment_length:
            form.errors["text"] = too_long("comment", length, config.comment_length)
        if (length := len(form.name)) > config.comment_name_length:
            form.errors["name"] = too_long("name", length, config.comment_name_length)
        return form


def clean(text: str) -> str:
    """Return typed text with plain line ends, without control characters and outer space.

    Control characters cannot be seen, and XML 1.0, the language of feeds, has no way to write
    most of them (https://www.w3.org/TR/xml/#charsets).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()


def too_long(what: str, length: int, limit: int) -> str:
    return f"Your {what} has {length:,} characters; {limit:,} is the limit. Please shorten it."
