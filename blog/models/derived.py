"""Views and triggers: create them, drop them, and compare them with those of a database."""

import hashlib
from collections.abc import Iterator

from sqlalchemy import Connection

from blog.database.postgresql import schema_of
from blog.models import searchable
from blog.models.trigger_sql import on_postgresql, on_sqlite, site_first, triggers
from blog.models.triggers import FORMER_FUNCTIONS, RULES, recount


def is_current(connection: Connection) -> bool:
    """Tell whether a database has the views and triggers of this code.

    :param connection: one to a database with the newest schema.
    """
    if connection.dialect.name == "postgresql":
        # PostgreSQL stores a view and a trigger as a parse tree, and prints another text.
        query = "SELECT obj_description('search_index'::regclass, 'pg_class')"
        return bool(connection.exec_driver_sql(query).scalar() == _digest(connection))
    query = "SELECT sql FROM sqlite_master WHERE type IN ('view', 'trigger')"
    found = {_normal(sql) for sql in connection.exec_driver_sql(query).scalars()}
    return found.issuperset(_normal(sql) for sql in _definitions(connection))


def drop(connection: Connection) -> None:
    """Drop the views, and on SQLite the triggers, which would block a migration.

    SQLite parses all of them when it renames a column or a table:
    https://www.sqlite.org/lang_altertable.html#alter_table_rename_column
    """
    dialect = connection.dialect.name
    for statement in searchable.drop(dialect):
        connection.exec_driver_sql(statement)
    if dialect == "sqlite":
        for trigger in triggers(RULES, "sqlite"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger.name}")


def make(connection: Connection) -> None:
    """(Re)create views and triggers, initialise their counters, and empty the search index.

    Filling the index takes long: :mod:`blog.operations.backfill` does it in portions.
    """
    dialect = connection.dialect.name
    drop(connection)
    if dialect == "postgresql":
        for name in FORMER_FUNCTIONS:
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}() CASCADE")
    for statement in (*_definitions(connection), *recount(dialect), *searchable.empty()):
        connection.exec_driver_sql(statement)
    if dialect == "postgresql":
        connection.exec_driver_sql(f"COMMENT ON TABLE search_index IS '{_digest(connection)}'")


def _definitions(connection: Connection) -> Iterator[str]:
    """Yield the statements that create the views and triggers in a database."""
    yield from searchable.definitions(connection.dialect.name)
    if connection.dialect.name == "sqlite":
        yield from map(on_sqlite, triggers(RULES, "sqlite"))
        return
    schema = str(schema_of(connection))
    yield from site_first(dict.fromkeys(rule.table for rule in RULES), schema)
    for trigger in triggers(RULES, "postgresql"):
        yield from on_postgresql(trigger, schema)


def _digest(connection: Connection) -> str:
    return hashlib.sha256("\n".join(_definitions(connection)).encode()).hexdigest()


def _normal(sql: str) -> str:
    return " ".join(sql.split())
