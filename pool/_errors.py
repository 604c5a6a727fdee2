"""What can go wrong in a pool beyond what SQLAlchemy has a word for."""

from sqlalchemy.exc import InvalidRequestError


class ForkedInUseError(InvalidRequestError):
    """This process is the child of a fork that happened while SQLite connections were in use.

    SQLite keeps its locks in the memory that the child was given a copy of. Even a new connection
    to the same file would read and write there without any lock.

    https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
    """


class SettingError(InvalidRequestError):
    """SQLite did not take over a setting of :mod:`pool.sqlite`."""
