"""The schema version that the code needs and a database has, and the upgrade between them.

Migrations are numbered; ``0001`` is the seed's schema. They run from the command line only, so that
server processes do not race to migrate.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import Session

from blog.config.database_url import file_of, name_of
from blog.database import HEAD as HEAD
from blog.database import MIGRATIONS, connect, postgresql
from blog.models import Base, Site, derived
from blog.operations import additions
from blog.operations.additions import Object
from blog.operations.outages import outage
from pool.sqlite import WRITING, SettingError, use_wal

#: The version of a database created by the seed's own models: two tables, no version table.
SEED = "0001"

#: The tables that identify a database, with the columns that all versions have.
_SEED_TABLES = {
    "entry": {"id", "title", "body", "timestamp", "featured"},
    "comment": {"id", "entry_id", "text", "name"},
}
_SITE_COLUMNS = {"id", "version", "changed", "secret", "uid"}

#: What an upgrade changes on PostgreSQL.
_OURS = {*Base.metadata.tables, "alembic_version", "search_index", "search_stale"}
_OURS |= {"searchable_entry", "searchable_comment"}

#: How many instructions SQLite executes between two reports of its progress.
STEPS = 20_000


class DatabaseUnusableError(Exception):
    """The database cannot be used as it is. The message gives the remedy."""


def version(connection: Connection) -> str | None:
    """Return the schema version of a database, or None for an empty one.

    :raises DatabaseUnusableError: its tables are another program's, its encoding is not UTF-8, or
        the server is too old.
    """
    if connection.dialect.name == "postgresql":
        number = connection.dialect.server_version_info
        if number is not None and number < (postgresql.OLDEST,):
            raise DatabaseUnusableError(
                f"The database {_name(connection.engine)} is on PostgreSQL "
                f"{'.'.join(map(str, number))}, but Threadleaf needs {postgresql.OLDEST} or newer: "
                "upgrade the server."
            )
    _check_encoding(connection)
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())

    def columns(table: str) -> set[str]:
        return {each["name"] for each in inspector.get_columns(table)} if table in tables else set()

    if not tables:
        return None
    if "alembic_version" in tables:
        known = all(columns(table) >= needed for table, needed in _SEED_TABLES.items())
        if known and columns("site") >= _SITE_COLUMNS:
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    elif all(columns(table) == needed for table, needed in _SEED_TABLES.items()):
        return SEED
    names = ", ".join(sorted(tables)[:5]) + (", …" if len(tables) > 5 else "")
    raise DatabaseUnusableError(
        f"The database {_name(connection.engine)} belongs to another program (it has the tables "
        f"{names}) and was not changed: set `database` to a new file or an empty database."
    )


def _check_encoding(connection: Connection) -> None:
    """Refuse a database that cannot store all characters.

    :raises DatabaseUnusableError: its encoding is not UTF-8.
    """
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise DatabaseUnusableError(
            f"The database {_name(connection.engine)} has the encoding {encoding}, which cannot "
            "store all characters: create one with `CREATE DATABASE ... TEMPLATE template0 "
            "ENCODING 'UTF8'`, and move the blog to it."
        )


def check(engine: Engine) -> Site:
    """Return the site's row of a database with the version that the code needs.

    :raises DatabaseUnusableError: it is missing, older or newer than the code, or cannot be read.
    """
    with explaining(engine):
        if is_missing(engine):
            raise DatabaseUnusableError(
                f"The database {_name(engine)} does not exist: run `threadleaf init`."
            )
        with engine.connect() as connection:
            found = version(connection)
            if found == HEAD:
                with Session(connection) as db:
                    return Site.row(db)
    if found is None:
        raise DatabaseUnusableError(
            f"The database {_name(engine)} is empty: run `threadleaf upgrade`."
        )
    if found < HEAD:
        raise DatabaseUnusableError(
            f"The database {_name(engine)} has schema {found}, but this Threadleaf needs {HEAD}: "
            "run `threadleaf upgrade`."
        )
    raise DatabaseUnusableError(
        f"The database {_name(engine)} has schema {found}, but this Threadleaf knows only {HEAD}: "
        "install the version that upgraded it."
    )


def upgrade(
    engine: Engine, on_progress: Callable[[], object] | None = None
) -> tuple[str | None, str]:
    """Create or upgrade a database, in one transaction.

    Rendering and indexing, which take long, are left to :mod:`blog.operations.backfill`.

    :param on_progress: called after each :data:`STEPS` instructions that SQLite has executed, and
        while PostgreSQL waits for locks; an exception in it stops the upgrade with
        KeyboardInterrupt.
    :return: the version before and the version after.
    :raises DatabaseUnusableError: it is newer than the code or another program's, has objects with
        names that the upgrade needs, or cannot be written to.
    """
    with explaining(engine):
        make_file(engine)
        with engine.connect() as connection:
            if is_current(connection):
                return HEAD, HEAD
        if engine.dialect.name == "sqlite":
            # On a disk that does not support WAL, readers and writers wait for each other.
            with suppress(SettingError):
                use_wal(engine)
        with engine.connect().execution_options(**WRITING) as connection:
            try:
                return _migrate(connection, on_progress), HEAD
            except (DBAPIError, PendingRollbackError) as error:
                first = _first(error)
                if "interrupted" in str(first):  # SQLite discards the exception of on_progress
                    raise KeyboardInterrupt from error
                raise first from error
            finally:
                # Its foreign keys are off.
                connection.invalidate()


def _first(error: BaseException) -> BaseException:
    """Return the first error of an upgrade: Alembic cleans up after it, and fails again."""
    if isinstance(error, PendingRollbackError) and error.__context__ is not None:
        return _first(error.__context__)
    return error


def is_current(connection: Connection) -> bool:
    """Tell whether a database has the schema, the views and the triggers of this code.

    :raises DatabaseUnusableError: it is newer than the code, or another program's.
    """
    found = version(connection)
    if found is not None and found > HEAD:
        raise DatabaseUnusableError(
            f"The database {_name(connection.engine)} has schema {found}, but this Threadleaf "
            f"knows only {HEAD}: nothing was changed. Install the version that upgraded it."
        )
    return found == HEAD and derived.is_current(connection)


def _migrate(connection: Connection, on_progress: Callable[[], object] | None) -> str | None:
    """Upgrade the schema to :data:`HEAD`, and return the previous version."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        # A migration that rebuilds a table drops the old one, which foreign keys would prevent, and
        # renames the new one, which views on the old one would prevent. The first pragma has no
        # effect inside a transaction.
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute("PRAGMA legacy_alter_table = ON")
        driver.set_progress_handler(on_progress, STEPS)
    with connection.begin():
        if connection.dialect.name == "postgresql":
            postgresql.confine(connection)
        # Another upgrade may have finished meanwhile.
        if is_current(connection):
            return HEAD
        before = version(connection)
        if connection.dialect.name == "postgresql" and before is not None:
            _lock(connection, on_progress)
        put_back = _make_room(connection, before) if before not in {None, HEAD} else []
        _run_migrations(connection, before)
        for statement in put_back:
            connection.exec_driver_sql(statement)
    return before


def _lock(connection: Connection, on_wait: Callable[[], object] | None) -> None:
    """Lock the blog's tables and views; an old schema lacks some of them."""
    found = additions.objects(connection)
    there = {each.name for each in found if each.kind in {"table", "view"}}
    postgresql.lock(connection, sorted(_OURS & there), on_wait)


def _make_room(connection: Connection, before: str) -> list[str]:
    """Set aside the operator's objects, and return the statements that put them back.

    :raises DatabaseUnusableError: one of them has a name that the upgrade needs.
    """
    known, wanted = _objects_of(before), _objects_of(HEAD)
    # A table is rebuilt under such a name: https://alembic.sqlalchemy.org/en/latest/batch.html
    wanted += [Object("table", f"_alembic_tmp_{each.name}") for each in known]
    names = {each.name for each in known}
    if before != SEED:  # it has our views and triggers, which are created again
        names |= {each.name for each in wanted if each.kind in {"view", "trigger"}}
    found = [each for each in additions.objects(connection) if each.name not in names]
    obstacles = list(additions.in_the_way(found, wanted))
    if obstacles:
        raise DatabaseUnusableError(
            f"The database {_name(connection.engine)} was not upgraded: Threadleaf needs the "
            f"names of its {', '.join(map(str, obstacles))}. Rename or drop them, then try again."
        )
    tables = {each.name for each in known if each.kind == "table"}
    replaced = {each.name for each in wanted}
    movable = [each for each in found if each.table.lower() in tables]
    if connection.dialect.name != "sqlite":  # it rebuilds no table
        movable = [each for each in movable if each.name in replaced]
    additions.set_aside(connection, movable)
    return [each.sql for each in movable if each.name.lower() not in replaced]


def _objects_of(revision: str) -> list[Object]:
    """Return the objects of a database of a version."""
    engine = connect("sqlite://")
    try:
        with engine.connect() as connection, connection.begin():
            _run_migrations(connection, None, revision)
            return additions.objects(connection)
    finally:
        engine.dispose()


def _run_migrations(connection: Connection, before: str | None, to: str = HEAD) -> None:
    # Only an upgrade needs Alembic, and a server process should not pay for its import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, metadata=Base.metadata)
    if before == SEED:
        command.stamp(config, SEED)
    derived.drop(connection)
    command.upgrade(config, to)
    if to == HEAD:
        derived.make(connection)


@contextmanager
def explaining(engine: Engine) -> Iterator[None]:
    """Raise an outage as a sentence with a remedy.

    :raises DatabaseUnusableError: the database or a file could not be used in the block.
    """
    try:
        yield
    except Exception as error:
        found = outage(engine, error)
        if found is None:
            raise
        raise DatabaseUnusableError(str(found)) from error


def is_missing(engine: Engine) -> bool:
    """Tell whether the file of an SQLite database is missing. SQLite would create it on connecting.

    :raises OSError: this user may not access its folder.
    """
    file = file_of(engine.url)
    if file is None:
        return False
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def make_file(engine: Engine) -> None:
    """Create a missing SQLite file that only this user can read.

    SQLite would create it readable by others, with the secret that signs forms and cookies. It
    gives the files beside it the same mode.
    """
    file = file_of(engine.url)
    if file is not None and is_missing(engine):
        with suppress(FileExistsError):
            # SQLite follows a broken link and creates its target.
            file.resolve().touch(mode=0o600, exist_ok=False)


def _name(engine: Engine) -> str:
    return name_of(engine.url)
