"""Views and triggers: create them, drop them, and compare them with those of a database."""

import hashlib
from collections.abc import Iterator

from sqlalchemy import Connection

from blog.models import searchable
from blog.models.triggers import recount, triggers
from blog.postgresql import schema_of


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
    return found.issuperset(_normal(sql) for sql in _definitions("sqlite") if "CREATE" in sql)


def drop(connection: Connection) -> None:
    """Drop the views, and on SQLite the triggers, which would block a migration.

    SQLite parses all of them when it renames a column or a table:
    https://www.sqlite.org/lang_altertable.html#alter_table_rename_column
    """
    dialect = connection.dialect.name
    statements = searchable.drop(dialect) if dialect == "postgresql" else _definitions(dialect)
    for statement in statements:
        if statement.startswith("DROP"):
            connection.exec_driver_sql(statement)


def make(connection: Connection) -> None:
    """(Re)create views and triggers, count what the triggers count, and empty the search index.

    Filling the index takes long: :mod:`blog.upgrading` does it in portions.
    """
    dialect = connection.dialect.name
    for statement in (*_definitions(dialect), *recount(dialect), *searchable.empty()):
        connection.exec_driver_sql(statement)
    if dialect == "postgresql":
        for statement in _settled(connection):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"COMMENT ON TABLE search_index IS '{_digest(connection)}'")


def _definitions(dialect: str) -> Iterator[str]:
    yield from triggers(dialect)
    yield from searchable.definitions(dialect)


def _settled(connection: Connection) -> Iterator[str]:
    """Yield what makes the triggers of PostgreSQL work alike for all sessions.

    A function looks for tables in the search path of the session that fires it, with temporary
    tables first. A session with session_replication_role = replica fires ordinary triggers not at
    all: https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-DISABLE-ENABLE-TRIGGER
    """
    path = f"{schema_of(connection)}, pg_temp"
    for statement in _definitions("postgresql"):
        match statement.split():
            case ["CREATE", "OR", "REPLACE", "FUNCTION", function, *_]:
                yield f"ALTER FUNCTION {function} SET search_path = {path}"
            case ["CREATE", "OR", "REPLACE", "TRIGGER", name, *when]:
                table = when[when.index("ON") + 1]
                yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"


def _digest(connection: Connection) -> str:
    statements = (*_definitions("postgresql"), *_settled(connection))
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()


def _normal(sql: str) -> str:
    return " ".join(sql.split())
