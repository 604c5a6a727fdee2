"""The slow part of an upgrade, after the schema: rendering entries, indexing texts.

Both work in portions, one transaction per portion, so that the blog can be served and written to
meanwhile. After a kill, the next run continues.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    Integer,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    not_,
    select,
)
from sqlalchemy.orm import Session

from blog.database import begin_writing, language_of, search_index
from blog.markup import renderer
from blog.models import Entry, Rendering

#: The number of rows per transaction, for which the writers of a running blog wait.
PORTION = 250

#: With fewer entries, starting processes costs more time than it saves.
WORTH_PROCESSES = 2_000

#: More processes would only wait for the one that writes.
MOST_PROCESSES = 8

_ENTRY, _MADE = (cast("Table", model.__table__) for model in (Entry, Rendering))

_RENDERER: BindParameter[int] = bindparam("renderer", type_=Integer)
_BY_THIS_VERSION = and_(_MADE.c.entry_id == _ENTRY.c.id, _MADE.c.renderer == _RENDERER)
_TEXTS = select(_ENTRY.c.id, _ENTRY.c.body, _ENTRY.c.format, _ENTRY.c.summary)

# A portion is rendered outside a transaction. A text that has changed meanwhile is left to the next
# run, and a rendering by another process is not overwritten.
_STORE = insert(_MADE).from_select(
    [column.name for column in _MADE.c],
    select(*(bindparam(column.name, type_=column.type) for column in _MADE.c)).where(
        _ENTRY.c.id == bindparam("entry_id"),
        _ENTRY.c.body == bindparam("body"),
        _ENTRY.c.format == bindparam("format"),
        _ENTRY.c.summary.is_not_distinct_from(bindparam("summary", type_=_ENTRY.c.summary.type)),
        not_(select(_MADE.c.entry_id).where(_MADE.c.entry_id == bindparam("entry_id")).exists()),
    ),
)
_OUTDATED = delete(_MADE).where(
    _MADE.c.entry_id.in_(bindparam("ids", expanding=True)),
    _MADE.c.renderer != _RENDERER,
)


def unrendered(connection: Connection) -> list[int]:
    """Return the ids of the entries that this version has not rendered, in ascending order."""
    missing = select(_ENTRY.c.id).where(~select(_MADE.c.entry_id).where(_BY_THIS_VERSION).exists())
    current = {"renderer": renderer(language_of(connection))}
    return list(connection.scalars(missing.order_by(_ENTRY.c.id), current))


def render_all(engine: Engine, ids: Sequence[int]) -> Iterator[int]:
    """Render entries, store the renderings, and yield the number of entries in each portion.

    Triggers mark them for :func:`index_all`. An entry that changes meanwhile may be left out. Call
    it in the main thread of a command, because only that thread may ignore a signal.

    :param ids: entries, in ascending order.
    """
    portions = (ids[start : start + PORTION] for start in range(0, len(ids), PORTION))
    # Indexed later: a session of the blog would index the newest texts first, rendered or not.
    with Session(engine) as db, _workers(len(ids)) as workers:
        for portion, rendered in _rendered(db, portions, workers):
            begin_writing(db)
            db.execute(_OUTDATED, {"ids": portion, "renderer": renderer(language_of(engine))})
            if rendered:
                db.execute(_STORE, rendered)
            db.commit()
            yield len(portion)


def _rendered(
    db: Session, portions: Iterator[Sequence[int]], workers: Executor | None
) -> Iterator[tuple[Sequence[int], list[dict[str, Any]]]]:
    """Yield each portion with its renderings, while the workers render the next ones."""
    language = language_of(db.get_bind())
    waiting: deque[tuple[Sequence[int], Future[list[dict[str, Any]]]]] = deque()
    for portion in portions:
        rows = [dict(row) for row in db.execute(_TEXTS.where(_ENTRY.c.id.in_(portion))).mappings()]
        db.rollback()
        if workers is None:
            yield portion, render_rows(rows, language)
            continue
        waiting.append((portion, workers.submit(render_rows, rows, language)))
        if len(waiting) > 2 * MOST_PROCESSES:
            ready, future = waiting.popleft()
            yield ready, future.result()
    for portion, future in waiting:
        yield portion, future.result()


def render_rows(rows: list[dict[str, Any]], language: str = "en") -> list[dict[str, Any]]:
    """Return the rendering of each entry, with the text that it was made from."""
    texts = ((row, (row["id"], row["body"], row["format"], row["summary"])) for row in rows)
    return [row | _values(Rendering.of(*text, language)) for row, text in texts]


def _values(rendering: Rendering) -> dict[str, Any]:
    return {column.name: getattr(rendering, column.name) for column in _MADE.c}


def processes(entries: int) -> int:
    """Return the number of processes for rendering this many entries."""
    return min(os.cpu_count() or 1, MOST_PROCESSES) if entries >= WORTH_PROCESSES else 1


@contextmanager
def _workers(entries: int) -> Iterator[Executor | None]:
    """Start rendering processes if there are enough entries; None if this process renders."""
    number = processes(entries)
    if number == 1:
        yield None
        return
    # A forked process would share this one's connections and inherit held locks.
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(number, context, _end_with_parent)
    # A terminal sends Ctrl-C to all processes. The executor hangs if it ends a worker or arrives
    # while they start, so the workers inherit an ignored SIGINT.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        workers.submit(render_rows, [])
    finally:
        signal.signal(signal.SIGINT, previous)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End a worker when the upgrade is killed; otherwise it would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows it is not inherited
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def index_all(engine: Engine) -> Iterator[int]:
    """Index the stale texts, and yield the number of texts in each portion."""
    with Session(engine) as db:
        while search_index.stale(db.connection()):
            begin_writing(db)
            number = search_index.refresh(db.connection())
            db.commit()
            yield number
