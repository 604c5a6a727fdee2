"""Redirects from former addresses of entries and pages.

A part of acts: it runs in the caller's transaction, and does not commit.
"""

from urllib.parse import unquote, urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from blog.entries.slugs import address_of
from blog.models import Entry, Redirect
from blog.urls import endpoint_at


def redirect_from(db: Session, entry: Entry, address: str) -> str | None:
    """Redirect a former address to `entry`.

    :param entry: an entry with an id.
    :param address: a path, or a URL of which only the path is used; percent-encoded or not. A query
        is used only if it is one of WordPress's, as in ``/?p=12``.
    :return: why the address cannot be redirected, in a phrase; None if it is, now or already.
    """
    path = _normal(address)
    if path is None:
        return "it is not a valid address"
    if "?" not in path and _is_of_the_blog(path):
        return "the blog has a page of its own there"
    if path == address_of(entry.kind, entry.slug):
        return None
    found = db.scalar(select(Redirect).where(Redirect.path == path))
    if found is None:
        db.add(Redirect(path=path, entry_id=entry.id))
    elif found.entry_id != entry.id:
        return "it leads to another entry"
    return None


def _is_of_the_blog(path: str) -> bool:
    return endpoint_at(path) not in {None, "reader.entry", "reader.page"}


def _normal(address: str) -> str | None:
    try:
        parts = urlsplit(address)
    except ValueError:  # an address like http://[x
        return None
    return Redirect.normal(unquote(parts.path), parts.query)
