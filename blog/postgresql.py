"""PostgreSQL: which servers will do, and how an upgrade has the blog's schema to itself."""

from collections.abc import Iterable
from random import uniform
from time import monotonic, sleep

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

#: The oldest version of the server: it has CREATE OR REPLACE TRIGGER.
OLDEST = 14

#: How long an upgrade waits for a moment without readers and writers, in seconds.
PATIENCE = 60.0

#: How long one attempt may take, in seconds: less than PostgreSQL takes to look for a deadlock,
#: for which it would end somebody's transaction.
#: https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-DEADLOCK-TIMEOUT
_ATTEMPT = 0.5

#: What PostgreSQL says after its statement_timeout.
_QUERY_CANCELED = "57014"


def schema_of(connection: Connection) -> str | None:
    """Return the blog's schema, the first of the search path, as SQL writes it; None for none."""
    name = connection.exec_driver_sql("SELECT current_schema()").scalar()
    return None if name is None else connection.dialect.identifier_preparer.quote(name)


def confine(connection: Connection) -> None:
    """Let the transaction see no other schema, and no other upgrade beside it.

    :raises sqlalchemy.exc.OperationalError: another upgrade took longer than the lock timeout.
    """
    schema = schema_of(connection)
    if schema is not None:  # otherwise the first CREATE TABLE says so
        connection.exec_driver_sql(f"SET LOCAL search_path TO {schema}, pg_temp")
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtext('threadleaf upgrade'), "
        "hashtext(coalesce(current_schema(), '')))"
    )


def lock(connection: Connection, names: Iterable[str]) -> None:
    """Lock tables and views against all others, readers included, until the transaction ends.

    Writers come to their tables in any order, so none is right for these locks: they are taken
    all together or given back.

    :raises sqlalchemy.exc.OperationalError: others were in the way for :data:`PATIENCE` seconds.
    """
    end = monotonic() + PATIENCE
    statements = (
        f"SET LOCAL statement_timeout = {_ATTEMPT * 1000:.0f}",
        f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE",
        "SET LOCAL statement_timeout TO DEFAULT",
    )
    while True:
        try:
            with connection.begin_nested():
                for statement in statements:
                    connection.exec_driver_sql(statement)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _QUERY_CANCELED or monotonic() > end:
                raise
            sleep(uniform(0.1, _ATTEMPT))  # noqa: S311 - so that two do not meet again
        else:
            return
