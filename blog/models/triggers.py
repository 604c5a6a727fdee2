"""What the database keeps true by itself, whoever writes to it.

The blog, an import, another process, somebody's SQL shell: a trigger counts them all, and works in
the transaction that writes. All are made anew after each upgrade, because a migration that rebuilds
a table (the only way SQLite knows for many changes) drops the table's triggers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement

from blog.models.base import sql
from blog.models.comment import Comment
from blog.models.entry import Entry


@dataclass(frozen=True)
class Seen:
    """A table that readers see.

    :param columns: those that they see; none named means all.
    :param only: which of its rows; None means all.
    """

    columns: tuple[str, ...] = ()
    only: ColumnElement[bool] | None = None


#: A change in one of these raises the site's version. What nobody sees leaves it, and with it every
#: page that is kept: drafts, comments that wait or are spam, what moderation notes of a comment.
SEEN_BY_READERS = {
    "entry": Seen(only=Entry.is_published()),
    "comment": Seen(
        ("entry_id", "text", "name", "created", "state", "format", "parent_id", "website"),
        only=Comment.is_visible(),
    ),
    "tag": Seen(),
    "entry_tag": Seen(("entry_id", "tag_id")),
    "redirect": Seen(),
    "series": Seen(),
}

#: Which of its rows an event leaves to look at.
_ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}


def triggers(dialect: str) -> Iterator[str]:
    """Yield what (re)creates the triggers on `dialect`, ``sqlite`` or ``postgresql``."""
    make = _on_postgresql if dialect == "postgresql" else _on_sqlite
    yield from make()


def recount(dialect: str) -> Iterator[str]:
    """Yield the statements that make anew what the triggers keep, from what is there."""
    yield "DELETE FROM month"
    month = _MONTH[dialect].format(row="entry")
    yield f"""
        INSERT INTO month SELECT {month}, count(*) FROM entry
        WHERE {sql(Entry.is_listable(), "entry")} GROUP BY 1"""  # noqa: S608 - stands below
    yield _LISTED.format(which="")


def _conditions(seen: Seen, event: str) -> str:
    if seen.only is None:
        return ""
    return f"WHEN ({' OR '.join(sql(seen.only, row) for row in _ROWS[event])})"


def _columns(seen: Seen, event: str) -> str:
    return f" OF {', '.join(seen.columns)}" if seen.columns and event == "UPDATE" else ""


# What a list of one tag needs to know of an entry, in the order in which it lists them.
_LISTED = f"""
    UPDATE entry_tag SET
        timestamp = (SELECT timestamp FROM entry WHERE entry.id = entry_id),
        listed = (SELECT {sql(Entry.is_listable(), "entry")} FROM entry WHERE entry.id = entry_id)
    {{which}}"""  # noqa: S608 - a rule of ours

_MONTH = {
    "sqlite": "substr({row}.timestamp, 1, 7)",
    "postgresql": "to_char({row}.timestamp, 'YYYY-MM')",
}

_COUNT = """
    INSERT INTO month (month, entries) SELECT {month}, 1 WHERE {listable}
    ON CONFLICT (month) DO UPDATE SET entries = month.entries + 1;"""

_UNCOUNT = """
    UPDATE month SET entries = entries - 1
    WHERE month = {month} AND {listable};"""


def _count(dialect: str, event: str) -> str:
    """Return the statements that count an entry for its month, and no more for its former one."""
    return "".join(
        (_COUNT if row == "NEW" else _UNCOUNT).format(
            month=_MONTH[dialect].format(row=row), listable=sql(Entry.is_listable(), row)
        )
        for row in _ROWS[event]
    )


_CHANGED = """UPDATE site SET version = version + 1,
                              changed = strftime('%Y-%m-%d %H:%M:%f000', 'now');"""


def _on_sqlite() -> Iterator[str]:
    for table, seen in SEEN_BY_READERS.items():
        for event in _ROWS:
            yield from _sqlite(
                f"site_changed_{table}_{event.lower()}",
                f"{event}{_columns(seen, event)} ON {table} {_conditions(seen, event)}",
                _CHANGED,
            )
    for event in _ROWS:
        columns = " OF timestamp, kind, state" if event == "UPDATE" else ""
        yield from _sqlite(
            f"month_{event.lower()}", f"{event}{columns} ON entry", _count("sqlite", event)
        )
    yield from _replacing()
    listed = _LISTED.format(which="WHERE entry_id = NEW.{id};")
    for name, when, id_ in (
        ("entry_tag_listed_insert", "INSERT ON entry_tag", "entry_id"),
        ("entry_tag_listed_update", "UPDATE OF entry_id ON entry_tag", "entry_id"),
        ("entry_listed_insert", "INSERT ON entry", "id"),
        ("entry_listed_update", "UPDATE OF timestamp, kind, state ON entry", "id"),
    ):
        yield from _sqlite(name, when, listed.format(id=id_))
    void = "DELETE FROM rendering WHERE entry_id = {row}.id;"
    yield from _sqlite(
        "rendering_update", "UPDATE OF body, format, summary ON entry", void.format(row="NEW")
    )
    # A shell that replaces rows, or has no foreign keys switched on, leaves the old rendering.
    yield from _sqlite("rendering_insert", "INSERT ON entry", void.format(row="NEW"))
    yield from _sqlite("rendering_delete", "DELETE ON entry", void.format(row="OLD"))


def _replacing() -> Iterator[str]:
    """Yield triggers for REPLACE, which deletes rows without a word to theirs.

    They fire before it is known whether anything will be replaced. So they may raise the version
    for nothing, and of the month they only say that its number is not known any more.
    """
    own = "(id = NEW.id OR uid = NEW.uid{}) AND {}{}"
    for table, unique, seen in (
        ("entry", " OR (slug = NEW.slug AND kind = NEW.kind)", Entry.is_published()),
        ("comment", "", Comment.is_visible()),
    ):
        for event, others in (
            ("INSERT", ""),
            (f"UPDATE OF id, uid{', slug, kind' if unique else ''}", " AND id != OLD.id"),
        ):
            rows = f"FROM {table} WHERE {own.format(unique, sql(seen, table), others)}"
            month = _MONTH["sqlite"].format(row="entry")
            unknown = f"""UPDATE month SET entries = NULL
                          WHERE month IN (SELECT {month} {rows});"""  # noqa: S608 - as above
            yield from _sqlite(
                f"replaced_{table}_{event[:6].lower()}",
                f"{event} ON {table} WHEN EXISTS (SELECT 1 {rows})",
                _CHANGED + (unknown if table == "entry" else ""),
                "BEFORE",
            )


def _sqlite(name: str, when: str, statements: str, moment: str = "AFTER") -> Iterator[str]:
    yield f"DROP TRIGGER IF EXISTS {name}"
    yield f"CREATE TRIGGER {name} {moment} {when} BEGIN {statements} END"


def _on_postgresql() -> Iterator[str]:
    yield from _postgresql(
        "site_changed",
        """UPDATE site SET version = version + 1,
                           changed = clock_timestamp() AT TIME ZONE 'UTC';""",
    )
    # Whatever is written, the row of the site comes first: two who came to it by different ways
    # would wait for each other.
    yield from _postgresql("site_first", "PERFORM 1 FROM site FOR UPDATE;")
    for table in (*SEEN_BY_READERS, "rendering"):
        yield f"""
            CREATE OR REPLACE TRIGGER site_first
            BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION site_first()"""
    for table, seen in SEEN_BY_READERS.items():
        # The one of schema 0002, which did not look at rows.
        yield f"DROP TRIGGER IF EXISTS site_changed ON {table}"
        for event in _ROWS:
            # For each row: a statement that found none has changed nothing.
            yield _trigger(
                f"site_changed_{event.lower()}",
                f"{event}{_columns(seen, event)} ON {table}",
                "site_changed",
                f"FOR EACH ROW {_conditions(seen, event)}",
            )
        yield _trigger("site_changed_truncate", f"TRUNCATE ON {table}", "site_changed")
    for event in _ROWS:
        name = f"month_{event.lower()}"
        columns = " OF timestamp, kind, state" if event == "UPDATE" else ""
        yield from _postgresql(name, _count("postgresql", event))
        yield _trigger(name, f"{event}{columns} ON entry", name, "FOR EACH ROW")
    yield from _postgresql("month_truncate", "DELETE FROM month;")
    yield _trigger("month_truncate", "TRUNCATE ON entry", "month_truncate")
    listed = _LISTED.format(which="WHERE entry_id = NEW.{id};")
    yield from _postgresql("entry_tag_listed", listed.format(id="entry_id"))
    yield _trigger(
        "entry_tag_listed",
        "INSERT OR UPDATE OF entry_id ON entry_tag",
        "entry_tag_listed",
        "FOR EACH ROW",
    )
    yield from _postgresql("entry_listed", listed.format(id="id"))
    yield _trigger(
        "entry_listed", "UPDATE OF timestamp, kind, state ON entry", "entry_listed", "FOR EACH ROW"
    )
    yield from _postgresql("rendering_void", "DELETE FROM rendering WHERE entry_id = NEW.id;")
    yield _trigger(
        "rendering_void",
        "UPDATE OF body, format, summary ON entry",
        "rendering_void",
        "FOR EACH ROW",
    )


def _postgresql(name: str, statements: str) -> Iterator[str]:
    yield f"""
        CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN {statements} RETURN NULL; END $$"""


def _trigger(name: str, when: str, function: str, each: str = "FOR EACH STATEMENT") -> str:
    return f"CREATE OR REPLACE TRIGGER {name} AFTER {when} {each} EXECUTE FUNCTION {function}()"
