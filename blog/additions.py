"""What an operator has added to a database: tables, views, triggers and indexes of their own.

An upgrade creates objects under names of its own, and rebuilds tables. Whatever bears such a name
already is refused by name, unless it is an index that ours replaces. On SQLite a table that is
rebuilt loses its triggers and indexes, so those of the operator are put back.
https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection


class Object(NamedTuple):
    """A table, view, trigger or index. ``table`` is the one that a trigger or index is on."""

    kind: str
    name: str
    table: str = ""
    sql: str = ""

    def __str__(self) -> str:
        on = f" on {self.table}" if self.kind in {"trigger", "index"} and self.table else ""
        return f"{self.kind} {self.name}{on}"

    @property
    def is_plain_index(self) -> bool:
        """Whether it is an index that guards nothing, so that another one can replace it."""
        return self.kind == "index" and not self.sql.upper().startswith("CREATE UNIQUE")


_QUERIES = {
    "sqlite": """
        SELECT type, name, tbl_name, sql FROM sqlite_master
        WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'""",
    "postgresql": """
        SELECT CASE relkind WHEN 'i' THEN 'index' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence'
               ELSE 'table' END, relname, coalesce(indrelid::regclass::text, ''),
               CASE relkind WHEN 'i' THEN pg_get_indexdef(pg_class.oid) ELSE '' END
        FROM pg_class LEFT JOIN pg_index ON indexrelid = pg_class.oid
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = current_schema()""",
}


def objects(connection: Connection) -> list[Object]:
    """Return what there is in a database, in PostgreSQL in the first schema of the search path."""
    rows = connection.exec_driver_sql(_QUERIES[connection.dialect.name])
    return [Object(*row) for row in rows]


def in_the_way(found: Iterable[Object], wanted: Iterable[Object]) -> Iterator[Object]:
    """Yield the objects whose names an upgrade needs, and which it cannot replace.

    :param found: what there is in the database, and the upgrade does not know.
    :param wanted: what the upgrade will create.
    """
    names = {each.name.lower(): each for each in wanted}
    for each in found:
        ours = names.get(each.name.lower())
        if ours is not None and not (each.is_plain_index and each.table.lower() == ours.table):
            yield each


def set_aside(connection: Connection, found: Iterable[Object]) -> None:
    """Drop triggers and indexes."""
    for each in found:
        if each.kind in {"trigger", "index"}:
            name = each.name.replace('"', '""')
            connection.exec_driver_sql(f'DROP {each.kind} "{name}"')
