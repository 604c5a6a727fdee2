"""The search index, and its update after changes of texts.

Triggers note each changed text in ``search_stale``, whichever program changed it
(:mod:`blog.models.searchable`), because SQL cannot fold it. A session of the blog indexes its own
changes in their transaction, and a search first indexes all others. A stale text is never found.

On SQLite ``search_index`` is an FTS5 table (https://sqlite.org/fts5.html), on PostgreSQL a table
with a tsvector. Both have one row per text, in folded words (:mod:`blog.text.folding`): FTS5
splits them at spaces, and PostgreSQL's parser is not used.
"""

from typing import Any

from sqlalchemy import Connection, Executable, bindparam, text

from blog.markup.titles import title_text
from blog.text.folding import fold

#: An entry has its own id in the index, and a comment its id minus this. In descending order,
#: entries come first, newest first, then comments, newest first.
BELOW = 2**40

#: The number of texts indexed per transaction, for which other writers wait.
PORTION = 250

#: The length of the indexed part of a text, in characters. A tsvector holds 1 MiB.
LENGTH = 200_000

_STALE = text("SELECT DISTINCT id FROM search_stale ORDER BY id DESC LIMIT :most")
_NUMBER = text("SELECT count(DISTINCT id) FROM search_stale")
_INDEXED = text("DELETE FROM search_stale WHERE id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)


def _selection(columns: str) -> Executable:
    statement = text(
        f"""SELECT id, {columns} FROM searchable_entry WHERE id IN :entries
            UNION ALL
            SELECT id - {BELOW}, {columns} FROM searchable_comment WHERE id IN :comments
            ORDER BY 1"""  # noqa: S608 - names of ours
    )
    return statement.bindparams(
        bindparam("entries", expanding=True), bindparam("comments", expanding=True)
    )


_CHANGED = {
    # A text in SQLite can have any bytes; an undecodable row must not prevent indexing others.
    "sqlite": _selection(
        "CAST(title AS BLOB), CAST(tags AS BLOB), CAST(text AS BLOB), CAST(marks AS BLOB)"
    ),
    "postgresql": _selection("title, tags, text, marks"),
}


def _removal(number: str) -> Executable:
    statement = text(f"DELETE FROM search_index WHERE {number} IN :ids")  # noqa: S608 - a name of ours
    return statement.bindparams(bindparam("ids", expanding=True))


_REMOVE = {"sqlite": _removal("rowid"), "postgresql": _removal("id")}
_ADD = {
    "sqlite": text(
        "INSERT INTO search_index (rowid, title, tags, text, marks)"
        " VALUES (:id, :title, :tags, :text, :marks)"
    ),
    "postgresql": text(
        "INSERT INTO search_index (id, title, tags, text, words)"
        " VALUES (:id, :title, :tags, :text, array_to_tsvector(CAST(:words AS text[])))"
    ),
}


def stale(connection: Connection) -> int:
    """Return the number of texts whose index is outdated."""
    return int(connection.execute(_NUMBER).scalar_one())


def refresh(connection: Connection) -> int:
    """Index up to :data:`PORTION` stale texts, the newest first, and return their number.

    :param connection: in a transaction that writes, unless there is nothing to index.
    """
    ids = connection.execute(_STALE, {"most": PORTION}).scalars().all()
    if not ids:
        return 0
    # Before the texts are read. On PostgreSQL another transaction may be changing one of them: its
    # note is not visible yet, and stays.
    connection.execute(_INDEXED, {"ids": ids})
    dialect = connection.dialect.name
    connection.execute(_REMOVE[dialect], {"ids": ids})
    which = {"entries": ids, "comments": [id_ + BELOW for id_ in ids]}
    changed = [_folded(*row) for row in connection.execute(_CHANGED[dialect], which)]
    if changed:
        connection.execute(_ADD[dialect], changed)
    return len(ids)


def _folded(id_: int, *columns: str | bytes) -> dict[str, Any]:
    """Return a row of the index. On PostgreSQL a mark has a prefix that no word has."""
    title, tags, body, marks = (
        each.decode(errors="replace") if isinstance(each, bytes) else each for each in columns
    )
    texts = {"title": fold(title_text(title)), "tags": fold(tags), "text": fold(body)}
    words = {word for folded in texts.values() for word in folded.split()}
    lexemes = sorted(words) + [f":{mark}" for mark in marks.split()]
    return {"id": id_, **texts, "marks": marks, "words": lexemes}
