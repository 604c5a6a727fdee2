"""Celery: a session per task. The worker's threads or processes each open their own connections.

    celery --app examples.celery_tasks worker --pool=threads --concurrency=8
    celery --app examples.celery_tasks worker --pool=prefork --concurrency=8

Both share one module-level engine. With prefork the pool closes its idle connections before each
fork, so no child inherits one.
"""

import os

from celery import Celery
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from examples.models import DATABASE, Comment, create_tables
from pool import ThreadLocalPool
from pool.sessions import UnitOfWork

app = Celery(
    broker=os.environ.get("CELERY_BROKER", "redis://127.0.0.1/0"),
    backend=os.environ.get("CELERY_BACKEND", "redis://127.0.0.1/0"),
)
engine = create_engine(os.environ.get("DATABASE", DATABASE), poolclass=ThreadLocalPool)
sessions = sessionmaker(engine)
create_tables(engine)


@app.task
def comment(entry_id: int, text: str, name: str) -> int:
    """Store a comment and return its id."""
    with UnitOfWork(sessions) as work:
        row = Comment(entry_id=entry_id, text=text, name=name)
        work.session.add(row)
        work.session.commit()
        return int(row.id)
