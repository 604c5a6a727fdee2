"""Acts on several models: finding a free slug or a tag by its name, redirecting an old address.

They take the session and values, never the request, so the command line can do them too. None
of them commits.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from string import digits
from urllib.parse import unquote, urlsplit

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from blog.database import language_of
from blog.models import Entry, Redirect, Rendering, Series, Tag
from blog.models.entry import EntryKind
from blog.slugs import few, numbered, slugify
from blog.urls import endpoint_at, path_of, url_map

#: Example values for the other variables in an address below an entry's.
_SAMPLES = {"receipt": "receipt", "id": 1, "format": "atom"}


def _suspects(place: int, beginning: str) -> tuple[str, ...]:
    """Return the beginnings of slugs that an address of the blog may shadow.

    :param place: the index of the slug among the parts of its address.
    :param beginning: the beginning of the addresses.
    """
    rules = (rule.rule for rule in url_map.iter_rules() if rule.rule.startswith(beginning))
    parts = {rule.split("/")[place] for rule in rules} - {"<slug>"}
    # A part may end in a converter: feed.<any(atom, rss, json):format>. One without a beginning is
    # a number: <int(fixed_digits=4):year>.
    beginnings = {part.partition("<")[0] for part in parts}
    return (*(beginnings - {""}), *digits)


_SUSPECTS = {"entry": _suspects(2, "/blog/"), "page": _suspects(1, "/")}


def free_slug(db: Session, kind: EntryKind, wanted: str, *, except_id: int | None = None) -> str:
    """Return a free slug for an entry or a page.

    :param kind: an entry and a page may have the same slug, two of a kind may not.
    :param wanted: the preferred slug, made by :func:`blog.slugs.slugify`; empty for any.
    :param except_id: the id of the entry itself, whose own slug is free for it.
    :return: `wanted` with a number behind it if it is taken, or if the blog itself has a page at
        the address, as ``/blog/2026`` is.
    """

    def taken(slug: str) -> bool:
        if is_shadowed(kind, slug):
            return True
        found = db.scalar(select(Entry.id).where(Entry.kind == kind, Entry.slug == slug))
        return found not in {None, except_id}

    return numbered(wanted or kind, taken)


def is_shadowed(kind: EntryKind, slug: str) -> bool:
    """Tell whether the blog itself has a page at the address of an entry, or at one below it.

    An entry ``archive`` could not be read, and one ``tag`` would have no feed of its comments.
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
    """Rename the entries and pages that are shadowed, and return old and new addresses."""
    moved = []
    for id_, kind, slug in shadowed(db):
        free = free_slug(db, kind, slug)
        db.execute(update(Entry).where(Entry.id == id_).values(slug=free))
        moved.append((_address(kind, slug), _address(kind, free)))
    return moved


def render_entry(db: Session, entry: Entry) -> None:
    """Store what the text of `entry` looks like, so that no page has to render it.

    :param entry: an entry in the session, its text as it will be saved.
    """
    # A trigger removes the old rendering.
    db.flush()
    db.execute(delete(Rendering).where(Rendering.entry_id == entry.id))
    language = language_of(db.get_bind())
    db.add(Rendering.of(entry.id, entry.body, entry.format, entry.summary, language))
    db.flush()


def tag_named(db: Session, name: str) -> Tag:
    """Return the tag of that name, a new one if there is none.

    Case, spaces and hyphens make no difference. Other signs do: ``C++`` and ``C`` would have the
    same slug, and are two tags.

    :param name: what readers see; not empty.
    """
    slug = _slug_named(name, "tag", lambda slug: select(Tag.name).where(Tag.slug == slug), db)
    found = Tag.by_slug(db, slug)
    if found is None:
        found = Tag(name=name, slug=slug)
        db.add(found)
    return found


def series_titled(db: Session, title: str) -> Series:
    """Return the series of that title, a new one if there is none. Titles are told apart like tags.

    :param title: what readers see; not empty.
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
    thousand names of punctuation alone would be compared with each other.

    :param default: the slug of a name without letters and digits.
    :param named_at: selects the name of the row with a slug.
    """

    def another(slug: str) -> bool:
        known = db.scalar(named_at(slug))
        return known is not None and _folded(known) != _folded(name)

    wanted = slugify(name) or default
    free = next((slug for slug in few(wanted) if not another(slug)), None)
    return free or f"{wanted}-{sha256(_folded(name).encode()).hexdigest()[:16]}"


def redirect_from(db: Session, entry: Entry, address: str) -> str | None:
    """Let an old address lead to `entry`.

    :param entry: an entry with an id.
    :param address: a path, or a URL of which the path counts; percent-encoded or not. The query
        counts only if it is one of WordPress's, as in ``/?p=12``.
    :return: why the address cannot lead there, in a phrase; None if it does, now or before.
    """
    path = _normal(address)
    if path is None:
        return "it is no address"
    if "?" not in path and _is_of_the_blog(path):
        return "the blog itself has a page there"
    if path == _address(entry.kind, entry.slug):
        return None
    found = db.scalar(select(Redirect).where(Redirect.path == path))
    if found is None:
        db.add(Redirect(path=path, entry_id=entry.id))
    elif found.entry_id != entry.id:
        return "it leads to another entry"
    return None


def _address(kind: EntryKind, slug: str) -> str:
    return f"/blog/{slug}" if kind == "entry" else f"/{slug}"


def _is_of_the_blog(path: str) -> bool:
    return endpoint_at(path) not in {None, "reader.entry", "reader.page"}


def _normal(address: str) -> str | None:
    try:
        parts = urlsplit(address)
    except ValueError:  # an address like http://[x
        return None
    return Redirect.normal(unquote(parts.path), parts.query)


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
