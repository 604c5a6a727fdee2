"""Lookups by the slug in an address, or 404."""

from werkzeug.exceptions import NotFound

from blog.models import Entry, Tag
from blog.request import Request


def find_entry(request: Request, slug: str) -> Entry:
    """Return the entry at `slug`.

    :raises NotFound: there is none, or it is not public yet.
    """
    found = Entry.by_slug(request.db, slug, request.now)
    if found is None:
        raise NotFound("There is no entry at this address.")
    return found


def find_tag(request: Request, slug: str) -> Tag:
    """Return the tag at `slug`.

    :raises NotFound: there is none, or it has no public entry yet.
    """
    found = Tag.shown(request.db, slug, request.now)
    if found is None:
        raise NotFound("There is no tag at this address.")
    return found
