"""The expected effect of the triggers, written independently of blog.models.triggers."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection

# The rows: entries 1 and 3 are published, 2 is a draft; comment 1 is published, 2 is held. Nothing
# refers to entry 3, tag 2 and series 2.


def entry(id_: int, state: str, month: str = "2025-01", **values: str) -> str:
    """Return an INSERT of an entry without summary, author or series."""
    row = {
        "id": str(id_),
        "slug": f"'s{id_}'",
        "uid": f"'u{id_}'",
        "state": f"'{state}'",
        "timestamp": f"'{month}-15 00:00:00'",
        "kind": "'entry'",
        "title": "'Title'",
        "body": "'Body'",
        "featured": "false",
        "updated": "'2025-01-15 00:00:00'",
        "format": "'markdown'",
        "comments_open": "true",
        **values,
    }
    return insert("entry", row)


def comment(id_: int, state: str, **values: str) -> str:
    row = {
        "id": str(id_),
        "entry_id": "1",
        "uid": f"'u{id_}'",
        "state": f"'{state}'",
        "text": "'Text'",
        "format": "'text'",
        "digest": f"'d{id_}'",
        **values,
    }
    return insert("comment", row)


def insert(table: str, row: dict[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})"


def rendering(entry_id: int) -> str:
    return f"INSERT INTO rendering VALUES ({entry_id}, 1, 1, 'T', 'D', 'Text', '<p>')"


def replace(statement: str) -> str:
    return statement.replace("INSERT", "REPLACE", 1)


ROWS = [
    "INSERT INTO series VALUES (1, 'One', 'one'), (2, 'Two', 'two')",
    entry(1, "published"),
    entry(2, "draft"),
    entry(3, "published"),
    "INSERT INTO tag VALUES (1, 'One', 'one'), (2, 'Two', 'two')",
    "INSERT INTO entry_tag (entry_id, tag_id) VALUES (1, 1)",
    "INSERT INTO redirect VALUES (1, '/old', 1)",
    comment(1, "published"),
    comment(2, "held"),
    *(rendering(1), rendering(2)),
    "INSERT INTO imported (id, source, key, digest) VALUES (1, 'old', 'one', 'digest')",
    "INSERT INTO spam_word VALUES ('word', 1, 1)",
    "DELETE FROM search_stale",
]

#: Columns that readers see, with a new value for each.
SEEN = {
    "entry": {
        "id": "30",
        "title": "'Other'",
        "body": "'Other'",
        "timestamp": "'2025-02-15 00:00:00'",
        "featured": "true",
        "slug": "'other'",
        "summary": "'Other'",
        "state": "'draft'",
        "uid": "'other'",
        "updated": "'2025-02-15 00:00:00'",
        "format": "'html'",
        "kind": "'page'",
        "comments_open": "false",
        "author": "'Ann'",
        "series_id": "1",
        "series_number": "1",
    },
    "comment": {
        "id": "30",
        "entry_id": "3",
        "text": "'Other'",
        "name": "'Ann'",
        "created": "'2025-02-15 00:00:00'",
        "state": "'spam'",
        "format": "'html'",
        "parent_id": "1",
        "website": "'https://example.org'",
        "uid": "'other'",
    },
    "tag": {"id": "30", "name": "'Other'", "slug": "'other'"},
    "entry_tag": {"entry_id": "3", "tag_id": "2"},
    "redirect": {"id": "30", "path": "'/older'", "entry_id": "3"},
    "series": {"id": "30", "title": "'Other'", "slug": "'other'"},
}

#: Columns of these tables that readers do not see.
UNSEEN = {
    "comment": {
        "reason": "'Why'",
        "taught": "'spam'",
        "person": "'hash'",
        "network": "'hash'",
        "digest": "'hash'",
    },
    "entry_tag": {"timestamp": "'2025-02-15 00:00:00'", "listed": "false"},
}

#: By table: the row whose columns are changed, and a hidden one.
_SEEN_ROW = {
    "entry": "id = 3",
    "comment": "id = 1",
    "tag": "id = 2",
    "entry_tag": "entry_id = 1",
    "redirect": "id = 1",
    "series": "id = 2",
}
_HIDDEN_ROW = {"entry": "id = 2", "comment": "id = 2"}


class Change(NamedTuple):
    """A statement, and whether it increases the site's version."""

    table: str
    event: str
    statement: str
    moves: bool
    only: str = ""

    @property
    def scopes(self) -> set[int]:
        """What it changes: the ids of entries whose comments change, or 0 for anything else."""
        if not self.moves:
            return set()
        if self.table != "comment" or "REPLACE" in self.statement:
            return {0}
        return {1, 3} if "entry_id = 3" in self.statement else {1}


_INSERTED = {
    "entry": entry(9, "published"),
    "comment": comment(9, "published"),
    "tag": "INSERT INTO tag VALUES (9, 'Nine', 'nine')",
    "entry_tag": "INSERT INTO entry_tag (entry_id, tag_id) VALUES (3, 1)",
    "redirect": "INSERT INTO redirect VALUES (9, '/nine', 1)",
    "series": "INSERT INTO series VALUES (9, 'Nine', 'nine')",
}

#: Statements on tables that readers do not see. `site` has one row, which is only updated.
UNSEEN_TABLES = {
    "change": {
        "INSERT": "INSERT INTO change VALUES (9999, '2025-01-15 00:00:00', 0)",
        "UPDATE": "UPDATE change SET scope = 9",
        "DELETE": "DELETE FROM change",
    },
    "imported": {
        "INSERT": "INSERT INTO imported (id, source, key, digest) VALUES (9, 'old', 'nine', 'd')",
        "UPDATE": "UPDATE imported SET digest = 'other', entry_id = 1, comment_id = 1",
        "DELETE": "DELETE FROM imported",
    },
    "month": {
        "INSERT": "INSERT INTO month VALUES ('1999-01', 1)",
        "UPDATE": "UPDATE month SET entries = 9",
        "DELETE": "DELETE FROM month",
    },
    "rendering": {
        "INSERT": rendering(3),
        "UPDATE": "UPDATE rendering SET renderer = 2, text = 'Other', html = 'Other'",
        "DELETE": "DELETE FROM rendering",
    },
    "site": {"UPDATE": "UPDATE site SET secret = 'other', uid = 'other'"},
    "spam_word": {
        "INSERT": "INSERT INTO spam_word VALUES ('nine', 1, 1)",
        "UPDATE": "UPDATE spam_word SET spam = 9",
        "DELETE": "DELETE FROM spam_word",
    },
}


def changes() -> Iterator[Change]:
    """Yield changes for each table and event, and for each column."""
    for table, inserted in _INSERTED.items():
        row = _SEEN_ROW[table]
        yield Change(table, "INSERT", inserted, moves=True)
        yield Change(table, "DELETE", f"DELETE FROM {table} WHERE {row}", moves=True)
        for values, moves in ((SEEN[table], True), (UNSEEN.get(table, {}), False)):
            for each in _set(values):
                yield Change(table, "UPDATE", f"UPDATE {table} SET {each} WHERE {row}", moves)
    for table, row in _HIDDEN_ROW.items():
        hidden = ", ".join(each for each in _set(SEEN[table]) if not each.startswith("id ="))
        yield Change(table, "UPDATE", f"UPDATE {table} SET {hidden} WHERE {row}", moves=False)
        shown = f"UPDATE {table} SET state = 'published' WHERE {row}"
        yield Change(table, "UPDATE", shown, moves=True)
        yield Change(table, "DELETE", f"DELETE FROM {table} WHERE {row}", moves=False)
    yield Change("entry", "INSERT", entry(9, "draft"), moves=False)
    for state in ("held", "spam", "trash"):
        yield Change("comment", "INSERT", comment(9, state), moves=False)
    for table, statements in UNSEEN_TABLES.items():
        for event, statement in statements.items():
            yield Change(table, event, statement, moves=False)
    yield from _replacing()


def _set(values: dict[str, str], *columns: str) -> list[str]:
    return [f"{column} = {values[column]}" for column in columns or values]


def _replacing() -> Iterator[Change]:
    """Yield changes in which a hidden row replaces another row."""
    for statement, moves in (
        (entry(1, "draft", slug="'x'", uid="'x'"), True),
        (entry(9, "draft", slug="'s1'"), True),
        (entry(9, "draft", uid="'u1'"), True),
        (entry(2, "draft"), False),
        ("UPDATE OR REPLACE entry SET id = 1 WHERE id = 2", True),
        ("UPDATE OR REPLACE entry SET slug = 's1' WHERE id = 2", True),
        ("UPDATE OR REPLACE entry SET uid = 'u1' WHERE id = 2", True),
    ):
        yield Change("entry", statement[:6], replace(statement), moves, "sqlite")
    for statement, moves in (
        (comment(1, "held", uid="'x'", digest="'x'"), True),
        (comment(9, "held", uid="'u1'"), True),
        (comment(9, "held", digest="'d1'"), True),
        (comment(2, "held"), False),
        ("UPDATE OR REPLACE comment SET id = 1 WHERE id = 2", True),
        ("UPDATE OR REPLACE comment SET uid = 'u1' WHERE id = 2", True),
        ("UPDATE OR REPLACE comment SET digest = 'd1' WHERE id = 2", True),
    ):
        yield Change("comment", statement[:6], replace(statement), moves, "sqlite")


MONTHS = "SELECT month, entries FROM month WHERE entries IS NULL OR entries != 0 ORDER BY month"
LISTED = """SELECT entry_id, tag_id, listed, substr(CAST(timestamp AS text), 1, 7)
    FROM entry_tag ORDER BY entry_id, tag_id"""
RENDERED = "SELECT entry_id FROM rendering ORDER BY entry_id"
STALE = "SELECT DISTINCT id FROM search_stale ORDER BY id"


class Kept(NamedTuple):
    """Statements, and the rows that the triggers have stored after them."""

    statements: tuple[str, ...]
    query: str
    rows: list[tuple[Any, ...]]
    only: str = ""


def _remembered() -> Iterator[Kept]:
    many = (
        "UPDATE site SET version = 5000",
        "INSERT INTO change SELECT 4000, changed, 0 FROM site",
    )
    for each in _INSERTED.values():
        yield Kept((*many, each), "SELECT min(version) > 4000 FROM change", [(True,)])


def kept() -> Iterator[Kept]:
    yield from _remembered()
    yield from _months()
    yield from _listed()
    yield from _rendered()
    yield from _stale()


def _months() -> Iterator[Kept]:
    january: list[tuple[Any, ...]] = [("2025-01", 2)]
    unknown: list[tuple[Any, ...]] = [("2025-01", None)]
    both = [("2025-01", 1), ("2025-02", 1)]
    for statement, rows in (
        (entry(9, "published", "2025-02"), [*january, ("2025-02", 1)]),
        (entry(9, "draft"), january),
        (entry(9, "published", kind="'page'"), january),
        ("UPDATE entry SET timestamp = '2025-02-15 00:00:00' WHERE id = 3", both),
        ("UPDATE entry SET kind = 'page' WHERE id = 3", both[:1]),
        ("UPDATE entry SET state = 'draft' WHERE id = 3", both[:1]),
        ("UPDATE entry SET state = 'published' WHERE id = 2", [("2025-01", 3)]),
        ("UPDATE entry SET timestamp = '2025-02-15 00:00:00' WHERE id = 2", january),
        ("DELETE FROM entry WHERE id = 3", both[:1]),
        ("DELETE FROM entry WHERE id = 2", january),
    ):
        yield Kept((statement,), MONTHS, rows)
    for statement, rows in (
        (replace(entry(1, "draft")), unknown),
        (replace(entry(2, "draft")), january),
        ("UPDATE OR REPLACE entry SET slug = 's1' WHERE id = 2", unknown),
    ):
        yield Kept((statement,), MONTHS, rows, "sqlite")


def _listed() -> Iterator[Kept]:
    one = (1, 1, True, "2025-01")
    for statement, rows in (
        ("INSERT INTO entry_tag (entry_id, tag_id) VALUES (3, 1)", [one, (3, 1, True, "2025-01")]),
        ("UPDATE entry_tag SET entry_id = 2", [(2, 1, False, "2025-01")]),
        ("UPDATE entry SET timestamp = '2025-02-15' WHERE id = 1", [(1, 1, True, "2025-02")]),
        ("UPDATE entry SET kind = 'page' WHERE id = 1", [(1, 1, False, "2025-01")]),
        ("UPDATE entry SET state = 'draft' WHERE id = 1", [(1, 1, False, "2025-01")]),
    ):
        yield Kept((statement,), LISTED, rows)
    left = "INSERT INTO entry_tag (entry_id, tag_id) VALUES (9, 1)"
    rows = [one, (9, 1, True, "2025-02")]
    yield Kept((left, entry(9, "published", "2025-02")), LISTED, rows, "sqlite")


def _rendered() -> Iterator[Kept]:
    for each in _set(SEEN["entry"], "body", "format", "summary"):
        yield Kept((f"UPDATE entry SET {each} WHERE id = 1",), RENDERED, [(2,)])
    yield Kept(("UPDATE entry SET title = 'Other'",), RENDERED, [(1,), (2,)])
    yield Kept(("DELETE FROM entry WHERE id = 2",), RENDERED, [(1,)])
    for statements in (
        (rendering(9), entry(9, "published")),
        (rendering(9), "UPDATE entry SET id = 9, body = 'Other' WHERE id = 3"),
    ):
        yield Kept(statements, RENDERED, [(1,), (2,)], "sqlite")
    moved = "UPDATE entry SET id = 9, body = 'Other' WHERE id = 1"
    yield Kept((moved,), RENDERED, [(2,)], "sqlite")


def _stale() -> Iterator[Kept]:
    below = 2**40  # comments have negative ids in the index
    cases: list[tuple[str, list[int]]] = [
        (entry(9, "published"), [9]),
        ("UPDATE entry SET id = 30 WHERE id = 3", [3, 30]),
        *(
            (f"UPDATE entry SET {each} WHERE id = 3", [3])
            for each in _set(SEEN["entry"], "title", "body", "state", "timestamp")
        ),
        ("UPDATE entry SET featured = true, author = 'Ann' WHERE id = 3", []),
        ("DELETE FROM entry WHERE id = 3", [3]),
        (rendering(3), [3]),
        ("UPDATE rendering SET entry_id = 3 WHERE entry_id = 1", [1, 3]),
        ("UPDATE rendering SET text = 'Other' WHERE entry_id = 1", [1]),
        ("DELETE FROM rendering WHERE entry_id = 1", [1]),
        ("INSERT INTO entry_tag (entry_id, tag_id) VALUES (3, 1)", [3]),
        ("UPDATE entry_tag SET entry_id = 3", [1, 3]),
        ("UPDATE entry_tag SET tag_id = 2", [1]),
        ("DELETE FROM entry_tag", [1]),
        ("UPDATE tag SET name = 'Other' WHERE id = 1", [1]),
        ("DELETE FROM tag WHERE id = 1", [1]),
        (comment(9, "published"), [9 - below]),
        ("UPDATE comment SET id = 30 WHERE id = 1", [1 - below, 30 - below]),
        *(
            (f"UPDATE comment SET {each} WHERE id = 1", [1 - below])
            for each in _set(SEEN["comment"], "text", "name", "state", "created")
        ),
        ("UPDATE comment SET reason = 'Why' WHERE id = 1", []),
        ("DELETE FROM comment WHERE id = 1", [1 - below]),
    ]
    for statement, ids in cases:
        yield Kept((statement,), STALE, [(id_,) for id_ in ids])
    left = ("INSERT INTO entry_tag (entry_id, tag_id) VALUES (3, 9)", "DELETE FROM search_stale")
    nine = "INSERT INTO tag VALUES (9, 'Nine', 'nine')"
    yield Kept((*left, nine), STALE, [(3,)], "sqlite")
    yield Kept((*left, "UPDATE tag SET id = 9 WHERE id = 2"), STALE, [(3,)], "sqlite")
    yield Kept(("UPDATE tag SET id = 9 WHERE id = 1",), STALE, [(1,)], "sqlite")


def fill(connection: Connection) -> None:
    for statement in ROWS:
        connection.exec_driver_sql(statement)
    connection.commit()


def wrong_changes(connection: Connection, given: Iterable[Change]) -> list[str]:
    """Execute each change on the same rows, and return those with a wrong effect on the version.

    The table `change` is checked, too: it must have each new version, with its scope.

    :param connection: to a filled database, opened by a program other than the blog.
    """

    def version() -> int:
        found: int = connection.exec_driver_sql("SELECT version FROM site").scalar_one()
        return found

    before, wrong = version(), []
    for change in given:
        if change.only in {"", connection.dialect.name}:
            connection.exec_driver_sql(change.statement)
            moved = range(before + 1, version() + 1)
            query = f"SELECT version, scope FROM change WHERE version > {before} ORDER BY version"
            noted = connection.exec_driver_sql(query).all()
            if change.table != "change" and (
                [row.version for row in noted] != list(moved)
                or {row.scope for row in noted} != change.scopes
            ):
                wrong.append(change.statement)
            if bool(moved) is not change.moves:
                wrong.append(change.statement)
            connection.rollback()
    return wrong


def wrong_kept(connection: Connection, given: Iterable[Kept]) -> list[str]:
    """Execute each case on the same rows, and return those that leave other rows than expected.

    :param connection: to a filled database, opened by a program other than the blog.
    """
    wrong = []
    for each in given:
        if each.only in {"", connection.dialect.name}:
            for statement in each.statements:
                connection.exec_driver_sql(statement)
            found = [tuple(row) for row in connection.exec_driver_sql(each.query)]
            if found != each.rows:
                wrong.append(f"{'; '.join(each.statements)}: {found}")
            connection.rollback()
    return wrong
