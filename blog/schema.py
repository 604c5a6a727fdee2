"""The schema's version: what the code needs, what a database has, and how to get there.

Migrations are numbered, ``0001`` is the schema of the seed. They run from the command line only,
because several server processes must not race to migrate.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text

from blog.database_url import file_of, name_of
from blog.models import Site
from blog.outages import outage
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
    with explaining(engine):
        if is_missing(engine):
            raise DatabaseUnusableError(
                f"There is no database at {_name(engine)}: run `threadleaf init`."
            )
        with engine.connect() as connection:
            found = version(connection)
            if found == HEAD:
                row = connection.execute(select(Site.__table__)).one_or_none()
                if row is None:
                    raise DatabaseUnusableError(
                        f"The database {_name(engine)} has no row in its table site: restore a "
                        "backup."
                    )
                return Site(**row._mapping)
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
    with explaining(engine):
        make_file(engine)
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


@contextmanager
def explaining(engine: Engine) -> Iterator[None]:
    """Turn what an operator can end into a sentence with a remedy.

    :raises DatabaseUnusableError: the block met an outage of the database or of a file.
    """
    try:
        yield
    except Exception as error:
        found = outage(engine, error)
        if found is None:
            raise
        raise DatabaseUnusableError(str(found)) from error


def is_missing(engine: Engine) -> bool:
    """Tell whether an SQLite database has no file yet. SQLite would make an empty one to look.

    :raises OSError: its folder is closed to this user.
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
    """Make the file of an SQLite database, if it is missing, for this user alone.

    SQLite would let others read it, and with it the secret that signs what visitors send back. It
    gives the files beside it the same mode.
    """
    file = file_of(engine.url)
    if file is not None and is_missing(engine):
        with suppress(FileExistsError):
            # SQLite follows a link that leads nowhere yet.
            file.resolve().touch(mode=0o600, exist_ok=False)


def _name(engine: Engine) -> str:
    return name_of(engine.url)
