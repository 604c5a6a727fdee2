"""PostgreSQL: versions of the server, connections to it, and locks for an upgrade."""

import re
from collections.abc import Callable, Iterable
from random import uniform
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

#: The oldest supported server: the first with CREATE OR REPLACE TRIGGER.
OLDEST = 14

#: Seconds that an upgrade waits for a moment without readers and writers.
PATIENCE = 60.0

#: Seconds per attempt: less than deadlock_timeout, after which PostgreSQL would abort one of two
#: deadlocked transactions.
#: https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-DEADLOCK-TIMEOUT
_ATTEMPT = 0.5

#: The SQLSTATE of PostgreSQL's statement_timeout.
_QUERY_CANCELED = "57014"


def schema_of(connection: Connection) -> str | None:
    """Return the blog's schema, the first of the search path, quoted for SQL; None for none."""
    name = connection.exec_driver_sql("SELECT current_schema()").scalar()
    return None if name is None else connection.dialect.identifier_preparer.quote(name)


def confine(connection: Connection) -> None:
    """Confine the transaction to the blog's schema, and exclude other upgrades.

    :raises sqlalchemy.exc.OperationalError: another upgrade took longer than the lock timeout.
    """
    schema = schema_of(connection)
    if schema is not None:  # otherwise the first CREATE TABLE reports it
        connection.exec_driver_sql(f"SET LOCAL search_path TO {schema}, pg_temp")
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtext('threadleaf upgrade'), "
        "hashtext(coalesce(current_schema(), '')))"
    )


def lock(
    connection: Connection, names: Iterable[str], on_wait: Callable[[], object] | None = None
) -> None:
    """Lock tables and views exclusively, even against readers, until the transaction ends.

    Writers lock tables in any order, so no order of these locks avoids deadlocks: they are all
    taken, or all released.

    :param on_wait: called after each failed attempt; an exception in it ends the wait.
    :raises sqlalchemy.exc.OperationalError: other locks were held for :data:`PATIENCE` seconds.
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
            if on_wait is not None:
                on_wait()
            sleep(uniform(0.1, _ATTEMPT))  # noqa: S311 - so that two upgrades do not collide again
        else:
            return


def configure(engine: Engine, *, timeout: float, is_pooled: bool) -> None:
    """Bound the time that connections of `engine` wait, for locks and for a full server.

    :param timeout: in seconds.
    :param is_pooled: behind a pooler in transaction mode, where each transaction may run in another
        session: nothing is set per session.
    """

    def connect(dialect: Any, record: object, args: Any, options: Any) -> Any:  # noqa: ARG001
        # The server also counts connections of other processes, and one that was just closed.
        end = monotonic() + timeout
        while True:
            try:
                return dialect.connect(*args, **options)
            except dialect.loaded_dbapi.OperationalError as error:
                if not is_full(error) or monotonic() > end:
                    raise
            sleep(uniform(0.02, 0.1))  # noqa: S311 - so that threads do not try together

    def on_connect(connection: Any, record: object) -> None:  # noqa: ARG001
        connection.autocommit = True
        connection.execute(f"SET {_lock_timeout(timeout)}")
        connection.autocommit = False

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL {_lock_timeout(timeout)}")

    event.listen(engine, "do_connect", connect)
    if is_pooled:
        event.listen(engine, "begin", on_begin)
    else:
        event.listen(engine, "connect", on_connect)


def _lock_timeout(seconds: float) -> str:
    # PostgreSQL would wait for ever.
    return f"lock_timeout = '{seconds:g}s'"


def is_full(error: BaseException) -> bool:
    """Tell whether a server refused a connection because it has reached its limit.

    For an error while connecting, the driver has no SQLSTATE, only a text.
    """
    return re.search("too many c(onnections|lients)|connection slots", str(error)) is not None


def ask(driver: Any, statement: str, *, timeout: float) -> list[Any]:
    """Return the rows of a query in one round trip, without BEGIN and ROLLBACK.

    :param driver: a connection of psycopg without a transaction.
    :param timeout: the seconds to wait for a lock.
    """
    driver.autocommit = True
    try:
        if driver.prepare_threshold is not None:
            cursor = driver.execute(statement)
        else:
            # Behind a pooler. Statements sent together are one transaction:
            # https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
            cursor = driver.execute(f"SET LOCAL {_lock_timeout(timeout)}; {statement}")
            cursor.nextset()
        return list(cursor.fetchall())
    finally:
        driver.autocommit = False
