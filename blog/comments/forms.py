"""Posted forms: one class per form, with its rules and its error messages."""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import urlsplit

from werkzeug.datastructures import ImmutableMultiDict

from blog.comments.commenter import Person, Visitor
from blog.comments.submission import Submission
from blog.config import Config

#: The oldest form that is accepted. A person just submits an older one again; a bot replaying an
#: old token is stopped.
MAX_AGE = timedelta(days=7)

#: The longest website address that the form accepts, in characters.
WEBSITE_LENGTH = 200

#: The hidden field, under a name that no browser fills in.
TRAP = "subject"

#: Unicode categories of invisible characters.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})


@dataclass
class CommentForm:
    """A comment as it was typed, and its errors by field.

    :param parent: the id of the comment that it replies to; None for the entry itself.
    :param remember: whether the visitor chose to be remembered.
    :param trap: the content of the hidden field.
    :param is_preview: whether the visitor only requested a preview.
    """

    text: str = ""
    name: str = ""
    website: str = ""
    parent: int | None = None
    remember: bool = False
    trap: str = ""
    is_preview: bool = False
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def blank(cls, person: Person) -> Self:
        """Return the form for a new comment, with the name and website of a remembered visitor."""
        return cls(name=person.name, website=person.website, remember=person.id != "")

    @classmethod
    def parse(
        cls, fields: ImmutableMultiDict[str, str], config: Config, age: timedelta = timedelta()
    ) -> Self:
        """Parse a posted form; its errors are in ``errors``, by field.

        :param age: how long ago its page was rendered.
        """
        form = cls(
            clean(fields.get("text", "")),
            clean(fields.get("name", "")).replace("\n", " "),
            clean(fields.get("website", "")),
            parse_id(fields.get("parent", "")),
            "remember" in fields,
            fields.get(TRAP, ""),
            "preview" in fields,
        )
        if age > MAX_AGE:
            form.errors["form"] = "This form has expired. Please submit it again."
        if form.website and "://" not in form.website:
            form.website = f"https://{form.website}"
        if form.website and not is_website(form.website):
            form.errors["website"] = (
                f"{form.website[:WEBSITE_LENGTH]!r} is not a valid website address. "
                f"Example: https://example.org ({WEBSITE_LENGTH} characters at most)."
            )
        if not form.text:
            form.errors["text"] = "Please enter a comment."
        if (length := len(form.text)) > config.comment_length:
            form.errors["text"] = too_long("comment", length, config.comment_length)
        if (length := len(form.name)) > config.comment_name_length:
            form.errors["name"] = too_long("name", length, config.comment_name_length)
        return form

    def submission(self, slug: str, visitor: Visitor, now: datetime) -> Submission:
        """Return the submission of a form without errors, for the entry at `slug`."""
        return Submission(
            slug=slug,
            text=self.text,
            name=self.name,
            website=self.website,
            parent_id=self.parent,
            trap=self.trap,
            network=visitor.network,
            person=visitor.person,
            now=now,
        )


def is_website(address: str) -> bool:
    """Tell whether `address` is a valid http or https address of a website."""
    # First, because urlsplit() caches its arguments.
    if len(address) > WEBSITE_LENGTH:
        return False
    try:
        parts = urlsplit(address)
    except ValueError:  # such as a bracket that is not closed
        return False
    return (
        parts.scheme in {"http", "https"}
        and "." in (parts.hostname or "")
        and "@" not in parts.netloc
        and not any(character.isspace() for character in address)
    )


def parse_id(text: str) -> int | None:
    """Parse the id of a row; return None if it is not one of at most nine digits."""
    return int(text) if re.fullmatch("[1-9][0-9]{0,8}", text) else None


def clean(text: str) -> str:
    r"""Return typed text stripped, with ``\n`` line ends and without control characters.

    A text of only invisible characters (joiners, direction marks, zero-width spaces) becomes empty.

    XML 1.0, which the feeds use, cannot represent most control characters
    (https://www.w3.org/TR/xml/#charsets).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()
    return text if any(unicodedata.category(c) not in _UNSEEN for c in text) else ""


def too_long(what: str, length: int, limit: int) -> str:
    return f"Your {what} has {length:,} characters; the limit is {limit:,}. Please shorten it."
