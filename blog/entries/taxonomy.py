"""Tags and series by name, created on first use.

These are parts of acts: they run in the caller's transaction, and do not commit.
"""

import re
from collections.abc import Callable
from hashlib import sha256

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from blog.models import Series, Tag
from blog.text.slugs import few, slugify


def tag_named(db: Session, name: str) -> Tag:
    """Return the tag with a name; create it if it does not exist.

    Case, spaces, underscores and hyphens are ignored. Other characters are not: ``C++`` and ``C``
    are two tags, although their names make the same slug.

    :param name: as readers see it; not empty.
    """
    slug = _slug_named(name, "tag", lambda slug: select(Tag.name).where(Tag.slug == slug), db)
    found = Tag.by_slug(db, slug)
    if found is None:
        found = Tag(name=name, slug=slug)
        db.add(found)
    return found


def series_titled(db: Session, title: str) -> Series:
    """Return the series with a title; create it if it does not exist.

    Titles are compared like the names of tags.

    :param title: as readers see it; not empty.
    """
    slug = _slug_named(
        title, "series", lambda slug: select(Series.title).where(Series.slug == slug), db
    )
    found = Series.by_slug(db, slug)
    if found is None:
        found = Series(title=title, slug=slug)
        db.add(found)
        db.flush()
    return found


def _slug_named(
    name: str, default: str, named_at: "Callable[[str], Select[str]]", db: Session
) -> str:
    """Return the slug of the row with this name, or a free slug.

    After twenty other names with the same letters it ends in a hash of the name: otherwise a
    thousand names of only punctuation would be compared with each other.

    :param default: the slug of a name without letters and digits.
    :param named_at: selects the name of the row with a slug.
    """

    def another(slug: str) -> bool:
        known = db.scalar(named_at(slug))
        return known is not None and _folded(known) != _folded(name)

    wanted = slugify(name) or default
    free = next((slug for slug in few(wanted) if not another(slug)), None)
    return free or f"{wanted}-{sha256(_folded(name).encode()).hexdigest()[:16]}"


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
