"""The full-text index, which the database maintains by itself for every writer.

A view defines the indexed text of an entry, another one that of a comment. Triggers copy the row of
the view whenever one of its sources changes. All published texts are indexed, and a search leaves
out the scheduled ones.

On SQLite ``search_index`` is an FTS5 table (https://sqlite.org/fts5.html), on PostgreSQL a table
with a tsvector. Both have one row for each text, in which words are letters and digits in small
letters and without accents. What is written without spaces between words (Chinese, Japanese) is
divided into single characters, and looked for as a phrase of them. Thai, Lao and Khmer are not
divided: there a word is found where it begins a run of letters.
"""

import unicodedata
from collections.abc import Iterator
from typing import Literal

#: A table whose rows are in the index.
Text = Literal["entry", "comment"]

#: An entry has its own id in the index, and a comment its id less this. So descending ids yield
#: entries, newest first, then comments, newest first.
BELOW = 2**40

#: Entries are above this number in the index, comments below.
LEAST_ENTRY = -BELOW // 2

#: The indexed part of a text, in characters. A tsvector holds 1 MiB.
LENGTH = 200_000

#: Hiragana, katakana, and the ideographs with what repeats them: a character class without brackets
UNSPACED = "々-〇぀-ヿ㐀-䶿一-鿿豈-﫿𠀀-𳎯"

#: Greek and Cyrillic letters with accents, and those letters without: FTS5 knows only Latin ones.
PLAIN = {letter: unicodedata.normalize("NFD", letter)[0] for letter in "άέήίόύώϊϋΐΰΆΈΉΊΌΎΏёйїЁЙЇ"}

#: For each table, the indexed columns, and SQL for the ids of their entries or comments, with a
#: placeholder for the changed row.
_SOURCES = {
    "entry": ("id, title, body, state, timestamp", "{row}.id"),
    "rendering": ("entry_id, text", "{row}.entry_id"),
    "entry_tag": ("entry_id, tag_id", "{row}.entry_id"),
    "tag": ("id, name", "SELECT entry_id FROM entry_tag WHERE tag_id = {row}.id"),
    "comment": ("id, text, name, state, created", "{row}.id"),
}
_ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


def definitions(dialect: str) -> Iterator[str]:
    """Yield the statements that (re)create views and triggers on `dialect`."""
    yield from _on_postgresql() if dialect == "postgresql" else _on_sqlite()


def missing(dialect: str, what: Text) -> str:
    """Return a query for the ids of published texts that the index lacks, in ascending order.

    Its parameters are ``after``, the id to start behind, and ``limit``, the number of rows.

    :param what: the table of the texts.
    """
    # Of an FTS5 table, docsize is the smallest part that has all rowids.
    index = "search_index" if dialect == "postgresql" else "search_index_docsize"
    return f"""
        SELECT id FROM {what} WHERE state = 'published' AND id > :after
        AND NOT EXISTS (SELECT 1 FROM {index} WHERE {index}.id = {_place(what, what + ".id")})
        ORDER BY id LIMIT :limit"""  # noqa: S608 - stands above


def fill(dialect: str, what: Text) -> str:
    """Return a statement that adds to the index what :func:`missing` selects."""
    # FTS5 collects words in memory as long as rowids ascend.
    return _fill(dialect, what, f"WHERE id IN ({missing(dialect, what)}) ORDER BY id")


def drop(dialect: str) -> Iterator[str]:
    """Yield the statements that drop the views, which would block a migration."""
    # What refers to them is dropped with them, or made again.
    cascade = " CASCADE" if dialect == "postgresql" else ""
    for what in ("entry", "comment"):
        yield f"DROP VIEW IF EXISTS searchable_{what}{cascade}"


def _place(what: str, id_: str) -> str:
    return id_ if what == "entry" else f"{id_} - {BELOW}"


def _fill(dialect: str, what: str, which: str = "") -> str:
    columns = "words" if dialect == "postgresql" else "title, tags, text, marks"
    number = "id" if dialect == "postgresql" else "rowid"
    return f"""
        INSERT INTO search_index ({number}, {columns})
        SELECT {_place(what, "id")}, {columns} FROM searchable_{what} {which}"""  # noqa: S608 - stands above


# SQLite


def _divided(text: str) -> str:
    """Return SQL for `text` with a space around each character of a script without spaces.

    It works on pieces, because SQLite finds a character by counting from the beginning of a string.
    """
    return f"""
        CASE WHEN {text} GLOB '*[{UNSPACED}]*' THEN (
            WITH RECURSIVE letter(at, piece, c) AS (
                SELECT 1, '', ''
                UNION ALL
                SELECT iif(piece = '', at + 500, at),
                       iif(piece = '', substr({text}, at, 500), substr(piece, 2)),
                       substr(piece, 1, 1)
                FROM letter WHERE piece != '' OR at <= min(length({text}), {LENGTH})
            )
            SELECT group_concat(iif(c GLOB '[{UNSPACED}]', ' ' || c || ' ', c), '') FROM letter
        ) ELSE substr({text}, 1, {LENGTH}) END"""  # noqa: S608 - a column's name


def _folded(text: str, letters: str) -> str:
    """Return SQL for `text` without the accents of `letters`."""
    for letter in letters:
        text = f"replace({text}, '{letter}', '{PLAIN[letter]}')"
    return text


def _view(what: str, source: str) -> str:
    """Return the view of `source`, with its texts as the index has them.

    Most texts need no change. In the others a few letters at a time are replaced, because the stack
    of SQLite's parser is small.
    """
    texts, letters = ("title", "tags", "text"), "".join(PLAIN)
    raw = ", ".join(f"{text} AS raw_{text}" for text in texts)
    source = f"SELECT *, {raw} FROM ({source})"  # noqa: S608 - stands above
    for start in range(0, len(letters), 12):
        some = letters[start : start + 12]
        columns = ", ".join(f"{_folded(text, some)} AS {text}, raw_{text}" for text in texts)
        source = f"SELECT id, marks, {columns} FROM ({source})"  # noqa: S608 - stands above
    columns = ", ".join(
        f"""CASE WHEN length(CAST(raw_{text} AS BLOB)) = length(raw_{text})
                 OR raw_{text} NOT GLOB '*[{letters}{UNSPACED}]*'
                 THEN substr(raw_{text}, 1, {LENGTH}) ELSE {_divided(text)} END AS {text}"""
        for text in texts
    )
    return f"""
        CREATE VIEW searchable_{what} AS
        SELECT id, {columns}, marks FROM ({source})"""  # noqa: S608 - stands above


def _on_sqlite() -> Iterator[str]:
    yield from drop("sqlite")
    yield _view(
        "entry",
        """
        SELECT entry.id, title, coalesce(rendering.text, body) AS text,
            (SELECT group_concat(name, ' ') FROM (
                SELECT name FROM entry_tag JOIN tag ON tag.id = tag_id
                WHERE entry_tag.entry_id = entry.id ORDER BY tag.id)) AS tags,
            'year' || strftime('%Y', timestamp) || coalesce(
                (SELECT group_concat(' tag' || tag_id, '') FROM (
                    SELECT tag_id FROM entry_tag
                    WHERE entry_tag.entry_id = entry.id ORDER BY tag_id)), '') AS marks
        FROM entry LEFT JOIN rendering ON rendering.entry_id = entry.id
        WHERE state = 'published'""",
    )
    yield _view(
        "comment",
        """
        SELECT id, NULL AS title, name AS tags, text, 'year' || strftime('%Y', created) AS marks
        FROM comment WHERE state = 'published'""",
    )
    for table, (columns, owner) in _SOURCES.items():
        for event, rows in _ROWS.items():
            name = f"search_{table}_{event.lower()}"
            of = f" OF {columns}" if event == "UPDATE" else ""
            copies = "".join(_copy(table, owner.format(row=row)) for row in rows)
            yield f"DROP TRIGGER IF EXISTS {name}"
            yield f"CREATE TRIGGER {name} AFTER {event}{of} ON {table} BEGIN {copies} END"


def _copy(table: str, ids: str) -> str:
    what, places = ("entry", ids) if table != "comment" else ("comment", f"{ids} - {BELOW}")
    return f"""
        DELETE FROM search_index WHERE rowid IN ({places});
        {_fill("sqlite", what, f"WHERE id IN ({ids})")};"""  # noqa: S608 - stands above


# PostgreSQL

# Characters besides letters and digits to which the default parser gives a meaning (in addresses,
# numbers, file names), and common punctuation.
_PUNCTUATION = (
    r"[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8"
    r"\u00bb\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2190-\u2bff\u2e00-\u2e7f\u3000-\u3004"
    r"\u3008-\u3020\u3030\u303d\ufe00-\ufe6f\U0001f000-\U0001faff]+"
)


# In NFC again, because the parts of a Korean syllable are no words.
_SEARCH_WORDS = rf"""
        CREATE OR REPLACE FUNCTION search_words(given text) RETURNS text LANGUAGE sql IMMUTABLE
        AS $$
            SELECT regexp_replace(regexp_replace(lower(normalize(regexp_replace(
                normalize(left(coalesce(given, ''), {LENGTH}), NFD),
                '[\u0300-\u036f]', '', 'g'), NFC)),
                '{_PUNCTUATION}', ' ', 'g'), '([{UNSPACED}])', ' \1 ', 'g')
        $$"""
_SEARCHABLE_ENTRY = """
        CREATE OR REPLACE VIEW searchable_entry AS
        SELECT entry.id,
            setweight(to_tsvector('simple', search_words(left(title, 2000))), 'A')
            || setweight(to_tsvector('simple', search_words(left((
                SELECT string_agg(name, ' ' ORDER BY tag.id)
                FROM entry_tag JOIN tag ON tag.id = tag_id
                WHERE entry_tag.entry_id = entry.id), 5000))), 'B')
            || to_tsvector('simple', search_words(coalesce(rendering.text, body)))
            || array_to_tsvector(array_append(ARRAY(
                SELECT ':tag' || tag_id FROM entry_tag WHERE entry_tag.entry_id = entry.id),
                ':year' || to_char(timestamp, 'YYYY'))) AS words
        FROM entry LEFT JOIN rendering ON rendering.entry_id = entry.id
        WHERE state = 'published'"""
_SEARCHABLE_COMMENT = """
        CREATE OR REPLACE VIEW searchable_comment AS
        SELECT id,
            setweight(to_tsvector('simple', search_words(left(name, 2000))), 'B')
            || to_tsvector('simple', search_words(text))
            || array_to_tsvector(ARRAY[':year' || coalesce(to_char(created, 'YYYY'), '')]) AS words
        FROM comment WHERE state = 'published'"""


def _on_postgresql() -> Iterator[str]:
    yield from drop("postgresql")
    yield from (_SEARCH_WORDS, _SEARCHABLE_ENTRY, _SEARCHABLE_COMMENT)
    for table, (columns, owner) in _SOURCES.items():
        yield _copying_function(table, owner)
        yield f"""
            CREATE OR REPLACE TRIGGER search AFTER INSERT OR DELETE OR UPDATE OF {columns}
            ON {table} FOR EACH ROW EXECUTE FUNCTION search_{table}()"""
    refill = "; ".join(_fill("postgresql", what) for what in ("entry", "comment"))
    yield f"""
        CREATE OR REPLACE FUNCTION search_anew() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN DELETE FROM search_index; {refill}; RETURN NULL; END $$"""  # noqa: S608 - as above
    for table in _SOURCES:
        yield f"""
            CREATE OR REPLACE TRIGGER search_truncate AFTER TRUNCATE
            ON {table} FOR EACH STATEMENT EXECUTE FUNCTION search_anew()"""


def _copying_function(table: str, owner: str) -> str:
    """Return the function that copies the rows of the view for a changed row of `table`."""
    what = "comment" if table == "comment" else "entry"
    less = f" - {BELOW}" if what == "comment" else ""
    old, new = (
        f"ARRAY({owner.format(row=row)})" if " " in owner else f"ARRAY[{owner.format(row=row)}]"
        for row in ("OLD", "NEW")
    )
    return f"""
            CREATE OR REPLACE FUNCTION search_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE ids bigint[] := {old}::bigint[] || {new}::bigint[];
            BEGIN
                DELETE FROM search_index WHERE id IN (SELECT unnest(ids){less});
                {_fill("postgresql", what, "WHERE id = ANY (ids)")}
                ON CONFLICT (id) DO UPDATE SET words = excluded.words;
                RETURN NULL;
            END $$"""  # noqa: S608 - stands above
