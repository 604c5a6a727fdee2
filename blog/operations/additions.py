"""Objects that an operator has added to a database: tables, views, triggers and indexes.

An upgrade creates objects and rebuilds tables. An existing object with a name that it needs stops
the upgrade, unless it is an index that ours replaces. On SQLite a rebuilt table loses
its triggers and indexes, so those of the operator are put back.
https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection


class Object(NamedTuple):
    """A table, view, trigger or index. ``table`` is the table of a trigger or an index."""

    kind: str
    name: str
    table: str = ""
    sql: str = ""

    def __str__(self) -> str:
        on = f" on {self.table}" if self.kind in {"trigger", "index"} and self.table else ""
        return f"{self.kind} {self.name}{on}"

    @property
    def is_plain_index(self) -> bool:
        """Whether it is an index without a constraint, which another index can replace."""
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
    """Return the objects of a database, on PostgreSQL of the first schema in the search path."""
    rows = connection.exec_driver_sql(_QUERIES[connection.dialect.name])
    return [Object(*row) for row in rows]


def in_the_way(found: Iterable[Object], wanted: Iterable[Object]) -> Iterator[Object]:
    """Yield the objects whose names the upgrade needs and that it cannot replace.

    :param found: the operator's objects.
    :param wanted: the objects that the upgrade will create.
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
