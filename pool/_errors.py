"""Errors that SQLAlchemy has no class for."""

from sqlalchemy.exc import InvalidRequestError


class ForkedInUseError(InvalidRequestError):
    """This process is the child of a fork that happened while SQLite connections were in use.

    SQLite keeps its locks in memory, of which the child has a copy. Even a new connection to the
    same file would read and write without any lock.

    https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """


class SettingError(InvalidRequestError):
    """SQLite did not accept a setting of `pool.sqlite`."""
