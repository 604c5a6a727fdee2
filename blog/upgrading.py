"""What an upgrade costs, and what it does after the schema: rendering entries, indexing texts.

Both work in portions, a transaction each, so that the blog can be served and written to meanwhile.
After a kill, the next run does what is missing.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    not_,
    select,
    text,
)
from sqlalchemy.orm import Session

from blog import schema
from blog.database import begin_writing, session_factory
from blog.markup import RENDERER
from blog.models import Entry, Rendering, searchable

#: How many rows a transaction writes. The other writers of a running blog wait for one.
PORTION = 250

#: With fewer entries than these, to start processes takes longer than they save.
WORTH_PROCESSES = 2_000

#: More would wait for the one that writes.
MOST_PROCESSES = 8

#: What the write-ahead log takes while portions are written, in bytes: SQLite starts it again when
#: it has 1,000 pages. https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
LOG = 5_000_000

#: How many entries a forecast renders.
SAMPLE = 30

#: The schema version that brought the table of renderings.
RENDERED_SINCE = "0003"

_ENTRY, _MADE = (cast("Table", model.__table__) for model in (Entry, Rendering))

# Any version has these two columns of an entry; older ones lack the others.
_PLAIN = {"id": 0, "body": "A word.", "format": "markdown", "summary": None}
_ANY = text("SELECT * FROM entry WHERE id = :id")

_BY_THIS_VERSION = and_(_MADE.c.entry_id == _ENTRY.c.id, _MADE.c.renderer == RENDERER)
_TEXTS = select(_ENTRY.c.id, _ENTRY.c.body, _ENTRY.c.format, _ENTRY.c.summary)

# A portion is rendered outside of a transaction. A text that has changed meanwhile is left to the
# next run, and one that another process has rendered is left alone.
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
    _MADE.c.entry_id.in_(bindparam("ids", expanding=True)), _MADE.c.renderer != RENDERER
)


@dataclass(frozen=True)
class Forecast:
    """What an upgrade has before it.

    :param before: the schema version, or None for an empty database.
    :param entries: how many entries it will render.
    :param texts: how many entries and comments it will index.
    :param seconds: how long all of it will take.
    :param steps: how many instructions SQLite will execute for the schema.
    :param size: the size of the database, in bytes; 0 if it is not a file.
    :param space: how many bytes it will need beyond that, at most.
    """

    before: str | None
    entries: int = 0
    texts: int = 0
    seconds: float = 0
    steps: int = 0
    size: int = 0
    space: int = 0


def forecast(engine: Engine) -> Forecast:
    """Return what an upgrade of a database will take.

    :raises DatabaseUnusableError: the database is newer than the code, or another program's.
    :raises sqlalchemy.exc.DBAPIError: it cannot be read.
    """
    with engine.connect() as connection:
        before = schema.version(connection)
        if before is None:
            return Forecast(None)
        is_current = schema.is_current(connection)
        ids = unrendered(connection) if before >= RENDERED_SINCE else _ids(connection)
        entries, comments = (_count(connection, table) for table in ("entry", "comment"))
        texts = unindexed(connection) if is_current else entries + comments
        each, growth = _sample(connection, ids[:: len(ids) // SAMPLE + 1])
    name = engine.url.database or ""
    is_file = engine.dialect.name == "sqlite" and Path(name).is_file()
    size = Path(name).stat().st_size if is_file else 0
    # The figures are upper bounds of what benchmarks/upgrade.py measured.
    seconds = len(ids) * (each / _processes(len(ids)) + 0.0004) + texts * 0.00004
    space = int(len(ids) * growth + texts * 400) + LOG
    if is_current:
        return Forecast(before, len(ids), texts, seconds, 0, size, space)
    # A table is rebuilt beside the old one, and both are in the write-ahead log.
    space += 2 * size
    seconds += (entries + comments) * 0.0001
    return Forecast(before, len(ids), texts, seconds, 50 * entries + 210 * comments, size, space)


def _sample(connection: Connection, ids: Sequence[int]) -> tuple[float, float]:
    """Return the seconds and bytes that an entry takes, from some that are rendered to find out."""
    rows = [connection.execute(_ANY, {"id": id_}).mappings().one() for id_ in ids]
    render_rows([_PLAIN])  # what is loaded and compiled at first use
    start = time.process_time()
    made = render_rows([{**_PLAIN, **row} for row in rows])
    each = (time.process_time() - start) / max(1, len(made))
    return each, sum(map(_stored, made)) / max(1, len(made))


def _stored(rendered: dict[str, Any]) -> int:
    """Return how many bytes a rendering and the text in the index take, in pages of 4 KiB."""
    words = len(rendered["text"].encode())
    row = words + sum(len(rendered[name].encode()) for name in ("html", "teaser", "description"))
    return words + sum(4096 // (4061 // n) if n < 4061 else n + 2048 for n in (words + 1, row + 1))


def _ids(connection: Connection) -> list[int]:
    return list(connection.scalars(select(_ENTRY.c.id).order_by(_ENTRY.c.id)))


def _count(connection: Connection, table: str) -> int:
    counted = connection.exec_driver_sql(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
    return int(counted.scalar_one())


def unrendered(connection: Connection) -> list[int]:
    """Return the ids of the entries that this version has not rendered, in ascending order."""
    missing = select(_ENTRY.c.id).where(~select(_MADE.c.entry_id).where(_BY_THIS_VERSION).exists())
    return list(connection.scalars(missing.order_by(_ENTRY.c.id)))


def unindexed(connection: Connection) -> int:
    """Return how many published texts the search index lacks."""
    dialect = connection.dialect.name
    return sum(
        connection.execute(
            select(func.count()).select_from(
                text(f"({searchable.missing(dialect, what)}) AS lacking")
            ),
            {"after": 0, "limit": 2**40},
        ).scalar_one()
        for what in get_args(searchable.Text)
    )


def render_all(engine: Engine, ids: Sequence[int]) -> Iterator[int]:
    """Render entries and store the renderings, and yield how many each portion had.

    Triggers index each of them. An entry that changes meanwhile may be left out. This is for the
    main thread of a command, because it may have to ignore signals for a moment.

    :param ids: entries, in ascending order: FTS5 collects words in memory as long as they ascend.
    """
    portions = (ids[start : start + PORTION] for start in range(0, len(ids), PORTION))
    with session_factory(engine)() as db, _workers(len(ids)) as workers:
        for portion, rendered in _rendered(db, portions, workers):
            begin_writing(db)
            db.execute(_OUTDATED, {"ids": portion})
            if rendered:
                db.execute(_STORE, rendered)
            db.commit()
            yield len(portion)


def _rendered(
    db: Session, portions: Iterator[Sequence[int]], workers: Executor | None
) -> Iterator[tuple[Sequence[int], list[dict[str, Any]]]]:
    """Yield each portion with its renderings, while the workers make those of the next ones."""
    waiting: deque[tuple[Sequence[int], Future[list[dict[str, Any]]]]] = deque()
    for portion in portions:
        rows = [dict(row) for row in db.execute(_TEXTS.where(_ENTRY.c.id.in_(portion))).mappings()]
        db.rollback()
        if workers is None:
            yield portion, render_rows(rows)
            continue
        waiting.append((portion, workers.submit(render_rows, rows)))
        if len(waiting) > 2 * MOST_PROCESSES:
            ready, future = waiting.popleft()
            yield ready, future.result()
    for portion, future in waiting:
        yield portion, future.result()


def render_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rendering of each entry, with the text that it was made from."""
    return [
        row | _values(Rendering.of(row["id"], row["body"], row["format"], row["summary"]))
        for row in rows
    ]


def _values(rendering: Rendering) -> dict[str, Any]:
    return {column.name: getattr(rendering, column.name) for column in _MADE.c}


def _processes(entries: int) -> int:
    return min(os.cpu_count() or 1, MOST_PROCESSES) if entries >= WORTH_PROCESSES else 1


@contextmanager
def _workers(entries: int) -> Iterator[Executor | None]:
    """Start processes that render, where they are worth it; None if this one does it."""
    processes = _processes(entries)
    if processes == 1:
        yield None
        return
    # A forked process would share this one's connections, and what its threads had locked.
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(processes, context, _end_with_parent)
    # A terminal sends Ctrl-C to all of them. The executor hangs when its processes end by it, or
    # when it comes while they start, so they inherit that it is ignored.
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
    """Let a worker end when the upgrade is killed, which would otherwise leave it waiting."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows inherits nothing of the kind
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def index_all(engine: Engine) -> Iterator[int]:
    """Add to the search index what it lacks, and yield how many texts each portion had."""
    for what in get_args(searchable.Text):
        missing = text(searchable.missing(engine.dialect.name, what))
        fill = text(searchable.fill(engine.dialect.name, what))
        portion = {"after": 0, "limit": PORTION}
        with session_factory(engine)() as db:
            while ids := db.scalars(missing, portion).all():
                begin_writing(db)
                db.execute(fill, portion)
                db.commit()
                yield len(ids)
                portion["after"] = ids[-1]
