"""Slugs of entries and pages: free ones, and those that the blog's own addresses shadow.

These are parts of acts: they run in the caller's transaction, and do not commit.
"""

from string import digits
from urllib.parse import unquote

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from blog.models import Entry
from blog.models.entry import EntryKind
from blog.text.slugs import numbered
from blog.urls import endpoint_at, path_of, url_map

#: Sample values for the other variables in addresses below an entry's.
_SAMPLES = {"receipt": "receipt", "id": 1, "format": "atom"}


def _suspects(place: int, beginning: str) -> tuple[str, ...]:
    """Return the prefixes of slugs that an address of the blog may shadow.

    :param place: the index of the slug among the parts of the address.
    :param beginning: the prefix of the addresses.
    """
    rules = (rule.rule for rule in url_map.iter_rules() if rule.rule.startswith(beginning))
    parts = {rule.split("/")[place] for rule in rules} - {"<slug>"}
    # A part may end in a converter: feed.<any(atom, rss, json):format>. One that is only a
    # converter is a number: <int(fixed_digits=4):year>.
    beginnings = {part.partition("<")[0] for part in parts}
    return (*(beginnings - {""}), *digits)


_SUSPECTS = {"entry": _suspects(2, "/blog/"), "page": _suspects(1, "/")}


def free_slug(db: Session, kind: EntryKind, wanted: str, *, except_id: int | None = None) -> str:
    """Return a free slug for an entry or a page.

    :param kind: an entry and a page may have the same slug, two entries or two pages may not.
    :param wanted: the preferred slug, made by :func:`blog.text.slugs.slugify`; empty for any.
    :param except_id: the id of the entry itself, whose own slug is free for it.
    :return: `wanted`, with a number appended if it is taken, or if the blog itself has a page at
        that address, such as ``/blog/2026``.
    """

    def taken(slug: str) -> bool:
        if is_shadowed(kind, slug):
            return True
        found = db.scalar(select(Entry.id).where(Entry.kind == kind, Entry.slug == slug))
        return found not in {None, except_id}

    return numbered(wanted or kind, taken)


def is_shadowed(kind: EntryKind, slug: str) -> bool:
    """Tell whether an address of the blog itself shadows that of an entry or page, or one below.

    An entry ``archive`` could not be read, and an entry ``tag`` would have no comment feed.
    """
    own = f"reader.{kind}"
    for rule in url_map.iter_rules():
        if rule.endpoint == own or (kind == "entry" and rule.rule.startswith("/blog/<slug>/")):
            values = {name: _SAMPLES.get(name, slug) for name in rule.arguments}
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            path = path_of(rule.endpoint, **values)
            if endpoint_at(unquote(path), method) != rule.endpoint:
                return True
    return False


def shadowed(db: Session) -> list[tuple[int, EntryKind, str]]:
    """Return id, kind and slug of the entries and pages that are shadowed."""
    # Trying the addresses of every entry would take seconds in a large blog.
    return [
        (id_, kind, slug)
        for id_, kind, slug in db.execute(select(Entry.id, Entry.kind, Entry.slug)).all()
        if slug.startswith(_SUSPECTS[kind]) and is_shadowed(kind, slug)
    ]


def give_way(db: Session) -> list[tuple[str, str]]:
    """Rename the shadowed entries and pages, and return pairs of old and new address."""
    moved = []
    for id_, kind, slug in shadowed(db):
        free = free_slug(db, kind, slug)
        db.execute(update(Entry).where(Entry.id == id_).values(slug=free))
        moved.append((address_of(kind, slug), address_of(kind, free)))
    return moved


def address_of(kind: EntryKind, slug: str) -> str:
    """Return the path of an entry or page, not percent-encoded."""
    return f"/blog/{slug}" if kind == "entry" else f"/{slug}"
