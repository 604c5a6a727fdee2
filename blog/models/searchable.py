"""Views of the searchable texts.

One view has the unfolded texts of published entries, another those of comments. Whether an entry is
visible at the moment is decided by the search. Triggers note the ids of changed texts in
``search_stale`` (:data:`blog.models.triggers.SEARCHED`), after any write;
:mod:`blog.database.search_index` does the rest.
"""

from collections.abc import Iterator

from blog.database.search_index import BELOW, LENGTH
from blog.models.base import sql
from blog.models.comment import Comment
from blog.models.entry import Entry
from blog.text import folding

_PUBLISHED, _VISIBLE = sql(Entry.is_published(), "entry"), sql(Comment.is_visible(), "comment")
_ALL = (
    f"INSERT INTO search_stale SELECT id FROM entry WHERE {_PUBLISHED}",  # noqa: S608 - rules of ours
    f"INSERT INTO search_stale SELECT id - {BELOW} FROM comment WHERE {_VISIBLE}",  # noqa: S608
)

# The SQL comment makes the views differ between versions of the folding.
_ENTRIES = """
    CREATE VIEW searchable_entry AS /* folding {folding} */
    SELECT entry.id, substr(title, 1, 2000) AS title,
        substr(coalesce(({tags}), ''), 1, 5000) AS tags,
        substr(coalesce(rendering.text, body), 1, {length}) AS text,
        coalesce('year' || {year}, '') || coalesce(({marks}), '') AS marks
    FROM entry LEFT JOIN rendering ON rendering.entry_id = entry.id
    WHERE {published}"""
_COMMENTS = """
    CREATE VIEW searchable_comment AS /* folding {folding} */
    SELECT id, '' AS title, substr(coalesce(name, ''), 1, 2000) AS tags,
        substr(text, 1, {length}) AS text, coalesce('year' || {created}, '') AS marks
    FROM comment WHERE {visible}"""
_CARRIED = "entry_tag JOIN tag ON tag.id = tag_id WHERE entry_tag.entry_id = entry.id"
_NAMES = f"SELECT name FROM {_CARRIED}"  # noqa: S608 - names of ours
_WRITTEN = {
    "sqlite": {
        "tags": f"SELECT group_concat(name, ' ') FROM ({_NAMES} ORDER BY tag.id)",  # noqa: S608
        "marks": f"SELECT group_concat(' tag' || tag.id, '') FROM {_CARRIED}",  # noqa: S608
        "year": "strftime('%Y', timestamp)",
        "created": "strftime('%Y', created)",
    },
    "postgresql": {
        "tags": f"SELECT string_agg(name, ' ' ORDER BY tag.id) FROM {_CARRIED}",  # noqa: S608
        "marks": f"SELECT string_agg(' tag' || tag.id, '') FROM {_CARRIED}",  # noqa: S608
        "year": "to_char(timestamp, 'YYYY')",
        "created": "to_char(created, 'YYYY')",
    },
}


def definitions(dialect: str) -> Iterator[str]:
    """Yield the statements that create the views on `dialect`.

    They differ from those of a database whose index has another version of the folding.
    """
    for view in (_ENTRIES, _COMMENTS):
        rules = {"published": _PUBLISHED, "visible": _VISIBLE}
        yield view.format(folding=folding.VERSION, length=LENGTH, **rules, **_WRITTEN[dialect])


def drop(dialect: str) -> Iterator[str]:
    """Yield the statements that drop the views, which would block a migration."""
    # Dependent objects are dropped with them, or created again.
    cascade = " CASCADE" if dialect == "postgresql" else ""
    for what in ("entry", "comment"):
        yield f"DROP VIEW IF EXISTS searchable_{what}{cascade}"


def empty() -> Iterator[str]:
    """Yield the statements that empty the index and note all texts as stale."""
    yield from ("DELETE FROM search_index", "DELETE FROM search_stale", *_ALL)
