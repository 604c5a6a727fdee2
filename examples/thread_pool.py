"""No web server: a `concurrent.futures` thread pool, with a session per task."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Pool, create_engine
from sqlalchemy.orm import sessionmaker

from examples.models import DATABASE, Comment, create_tables
from pool import ThreadLocalPool
from pool.sessions import UnitOfWork


def store(
    texts: Iterable[str],
    database: str = DATABASE,
    poolclass: type[Pool] = ThreadLocalPool,
    threads: int = 8,
) -> list[int]:
    """Store comments on the first entry, each in a transaction of its own.

    :param texts: the comments.
    :param database: the URL of an SQLite file.
    :param poolclass: the pool's class.
    :param threads: how many threads store them.
    :return: the ids of the comments.
    """
    engine = create_engine(database, poolclass=poolclass)
    create_tables(engine)
    sessions = sessionmaker(engine)

    def store_one(text: str) -> int:
        with UnitOfWork(sessions) as work:
            comment = Comment(entry_id=1, text=text, name="Worker")
            work.session.add(comment)
            work.session.commit()
            return int(comment.id)

    try:
        with ThreadPoolExecutor(threads) as executor:
            return list(executor.map(store_one, texts))
    finally:
        engine.dispose()


if __name__ == "__main__":
    print(store(sys.argv[1:]))  # noqa: T201
