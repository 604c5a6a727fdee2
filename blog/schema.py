"""The schema's version: what the code needs, what a database has, and how to get there.

Migrations are numbered, ``0001`` is the schema of the seed. They run from the command line only,
because several server processes must not race to migrate.
"""

from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

from blog.models import Site
from pool.errors import SettingError
from pool.sqlite import WRITING, use_wal

MIGRATIONS = Path(__file__).parent / "migrations"

#: The version that this code needs: the number of the newest migration.
HEAD = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))

#: The version of a database that the seed's own models made: two tables and no version table.
SEED = "0001"


class DatabaseUnusableError(Exception):
    """The database cannot be used as it is. The message says what to do about it."""


def version(connection: Connection) -> str | None:
    """Return the schema version of a database, or None for an empty one."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found
    return SEED if {"entry", "comment"} <= tables else None


def check(engine: Engine) -> Site:
    """Return the site's row, if the database is there and has the version that the code needs.

    :raises DatabaseUnusableError: it is missing, older or newer than the code, or cannot be read.
    """
    if is_missing(engine):
        raise DatabaseUnusableError(
            f"There is no database at {_name(engine)}: run `threadleaf init`."
        )
    try:
        with engine.connect() as connection:
            found = version(connection)
            if found == HEAD:
                return Site(**connection.execute(select(Site.__table__)).one()._mapping)
    except DBAPIError as error:
        raise unusable(engine, error.orig) from error
    if found is None:
        raise DatabaseUnusableError(
            f"The database {_name(engine)} is empty: run `threadleaf upgrade`."
        )
    if found < HEAD:
        raise DatabaseUnusableError(
            f"The database {_name(engine)} has schema {found} and this Threadleaf needs {HEAD}: "
            "run `threadleaf upgrade`."
        )
    raise DatabaseUnusableError(
        f"The database {_name(engine)} has schema {found}, and this Threadleaf knows only {HEAD}: "
        "run `pip install --upgrade threadleaf`."
    )


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring a database to the version that the code needs, in one transaction; make a new one.

    :return: the version before and the version after.
    :raises DatabaseUnusableError: it is newer than the code, or cannot be written to.
    """
    try:
        if engine.dialect.name == "sqlite":
            # Where the disk cannot have a log, readers and writers wait for each other; it will do.
            with suppress(SettingError):
                use_wal(engine)
        with engine.connect().execution_options(**WRITING) as connection:
            try:
                return _migrate(connection), HEAD
            finally:
                # It goes without foreign keys, which whoever came next would miss.
                connection.invalidate()
    except DBAPIError as error:
        raise unusable(engine, error.orig) from error


def _migrate(connection: Connection) -> str | None:
    """Bring the schema to :data:`HEAD`, and return the version that it had before."""
    # Only this function needs Alembic, and a server process should not pay for its import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "sqlite":
        # A migration that rebuilds a table drops the old one, which foreign keys would forbid. The
        # pragma does not work inside a transaction.
        connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
    with connection.begin():
        before = version(connection)
        if before is not None and before > HEAD:
            raise DatabaseUnusableError(
                f"The database {_name(connection.engine)} has schema {before}, newer than {HEAD}, "
                "which is the newest that this Threadleaf knows: nothing was changed."
            )
        if before == SEED:
            command.stamp(config, SEED)
        command.upgrade(config, "head")
    return before


def unusable(engine: Engine, error: BaseException | None) -> DatabaseUnusableError:
    """Put what the driver says of a database into a sentence with a remedy."""
    reason = str(error).strip()
    remedies = {
        "file is not a database": "set `database` to another file, or move this one away",
        "malformed": "restore it from a backup",
        "locked": "end the other program that is writing to it, then try again",
        "readonly": "let this user write to the file and its folder",
        "unable to open": "check that its folder exists and that this user may write to it",
    }
    remedy = next((to for sign, to in remedies.items() if sign in reason), "check that it is there")
    return DatabaseUnusableError(
        f"The database {_name(engine)} cannot be used ({reason}): {remedy}."
    )


def is_missing(engine: Engine) -> bool:
    """Tell whether an SQLite database has no file yet. SQLite would make an empty one to look."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or name is None or name.startswith("file:"):
        return False
    return not Path(name).exists()


def _name(engine: Engine) -> str:
    return engine.url.database or "" if engine.dialect.name == "sqlite" else str(engine.url)
