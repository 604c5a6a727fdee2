"""The comments in a WordPress export."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from blog.importing.dates import moment
from blog.importing.items import ForeignComment
from blog.importing.paragraphs import paragraphs
from blog.importing.texts import one_line, text_of
from blog.importing.wxr import Part
from blog.models.comment import CommentState

_STATES: dict[str, CommentState] = {
    "1": "published",
    "approve": "published",
    "approved": "published",
    "spam": "spam",
    "trash": "trash",
    "post-trashed": "trash",
}
#: Shops and other plug-ins store private data as comments of their own types.
_TYPES = {"", "comment", "pingback", "trackback"}
_PERSONAL = ("wp:comment_author_email", "wp:comment_author_IP")


def comments(item: Part, entry_key: str) -> Iterator[ForeignComment]:
    """Yield the comments on an item, including pingbacks, without e-mail and IP addresses.

    :param item: the item.
    :param entry_key: the item's key in the ledger, the prefix of the keys of its comments.
    """
    for number, part in enumerate(item.all("wp:comment"), 1):
        if part.text("wp:comment_type") in _TYPES:
            id_ = one_line(part.text("wp:comment_id")) or f"#{number}"
            yield _comment(part, f"{entry_key} comment ", id_)


def _comment(part: Part, prefix: str, id_: str) -> ForeignComment:
    parent = one_line(part.text("wp:comment_parent"))
    return ForeignComment(
        key=prefix + id_,
        text=paragraphs(part.text("wp:comment_content")),
        format="html",
        name=text_of(part.text("wp:comment_author")) or None,
        created=moment(part.text("wp:comment_date_gmt")) or moment(part.text("wp:comment_date")),
        state=_STATES.get(part.text("wp:comment_approved"), "held"),
        parent=prefix + parent if parent not in {"", "0"} else None,
        website=_website(part.text("wp:comment_author_url")),
    )


def losses_of_comments(item: Part) -> list[str]:
    """Return what is lost from the comments on `item`, one sentence each."""
    parts = item.all("wp:comment")
    types = {one_line(part.text("wp:comment_type")) for part in parts} - _TYPES
    lost = [f"Comments of type “{name}” were not imported." for name in sorted(types)]
    if any(part.text(name) for part in parts for name in _PERSONAL):
        lost.append("E-mail and IP addresses of commenters were not imported.")
    return lost


def _website(address: str) -> str | None:
    try:
        parts = urlsplit(one_line(address))
    except ValueError:  # an address like http://[x
        return None
    return parts.geturl() if parts.scheme in {"http", "https"} and parts.hostname else None
