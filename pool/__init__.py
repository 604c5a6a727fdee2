"""A connection pool for SQLAlchemy that keeps every connection with the thread that opened it.

    engine = create_engine("sqlite:///blog.db", poolclass=ThreadLocalPool)

    with engine.connect() as connection:  # this thread's own, opened now or used before
        connection.execute(text("SELECT 1"))
    engine.pool.status()  # 'Threads: 1  Connections in pool: 1  Checked out connections: 0'

What it promises is written at :class:`ThreadLocalPool`, and in ``docs/pool.md`` with the tests that
hold it. Beside it are :mod:`pool.sessions`, sessions that are certain to be closed, and
:mod:`pool.sqlite`, settings and transactions of SQLite.
"""

from ._errors import ForkedInUseError, SettingError
from ._stats import PoolStats, ThreadUse
from .pool import ThreadLocalPool

__all__ = ["ForkedInUseError", "PoolStats", "SettingError", "ThreadLocalPool", "ThreadUse"]
