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

#: The longest address of a website that the form takes, in characters.
WEBSITE_LENGTH = 200

#: The hidden field, under a name that no browser fills in.
TRAP = "subject"

#: Unicode categories of invisible characters.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})


@dataclass
class CommentForm:
    """A comment as it was typed, and what is wrong with it, by field.

    :param parent: the id of the comment that it replies to; None for the entry itself.
    :param remember: whether the browser shall keep name and website.
    :param trap: the content of the hidden field.
    :param is_preview: whether the visitor only wants to see what the comment will look like.
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
        """Read a posted form; what is wrong with it is in ``errors``, by field.

        :param age: how long ago its page was made.
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
            form.errors["form"] = (
                f"The page with this form was opened more than {MAX_AGE.days} days ago. "
                "Please send it once more."
            )
        if form.website and "://" not in form.website:
            form.website = f"https://{form.website}"
        if form.website and not is_website(form.website):
            form.errors["website"] = (
                f"{form.website[:WEBSITE_LENGTH]!r} is no address of a website. One looks like "
                f"https://example.org, and has {WEBSITE_LENGTH} characters at most."
            )
        if not form.text:
            form.errors["text"] = "Please write a comment before you send it."
        if (length := len(form.text)) > config.comment_length:
            form.errors["text"] = too_long("comment", length, config.comment_length)
        if (length := len(form.name)) > config.comment_name_length:
            form.errors["name"] = too_long("name", length, config.comment_name_length)
        return form

    def submission(self, slug: str, visitor: Visitor, now: datetime) -> Submission:
        """Return what a form without errors submits below the entry at `slug`."""
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
    """Tell whether a link to `address` leads to a website, and nowhere else."""
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
    """Parse the id of a row; return None for anything else, and for more than nine digits."""
    return int(text) if re.fullmatch("[1-9][0-9]{0,8}", text) else None


def clean(text: str) -> str:
    """Return typed text with plain line ends, without control characters and outer space.

    A text of invisible characters (joiners, marks of direction, zero-width spaces) becomes empty.

    Control characters cannot be seen, and XML 1.0, the language of feeds, has no way to write
    most of them (https://www.w3.org/TR/xml/#charsets).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc").strip()
    return text if any(unicodedata.category(c) not in _UNSEEN for c in text) else ""


def too_long(what: str, length: int, limit: int) -> str:
    return f"Your {what} has {length:,} characters; {limit:,} is the limit. Please shorten it."
