"""A connection pool for SQLAlchemy that keeps each connection with the thread that opened it.

    engine = create_engine("sqlite:///blog.db", poolclass=ThreadLocalPool)

    with engine.connect() as connection:  # this thread's own, new or reused
        connection.execute(text("SELECT 1"))
    engine.pool.status()  # 'Threads: 1  Connections in pool: 1  Checked out connections: 0'

`sessions` has sessions that are always closed, `sqlite` the settings and transactions of SQLite. To
read the code, begin with the top of `pool.py`.
"""

from ._errors import ForkedInUseError, SettingError
from ._stats import PoolStats, ThreadUse
from .pool import ThreadLocalPool

__all__ = ["ForkedInUseError", "PoolStats", "SettingError", "ThreadLocalPool", "ThreadUse"]
