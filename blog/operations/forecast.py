"""The time and disk space of an upgrade, estimated from a sample of the entries."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from blog.config.database_url import file_of
from blog.database import search_index
from blog.operations import backfill, migration

#: The size of the write-ahead log while portions are written, in bytes: SQLite restarts it at
#: 1,000 pages. https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files
LOG = 5_000_000

#: The number of entries that a forecast renders.
SAMPLE = 30

#: The first schema version with a table of renderings.
RENDERED_SINCE = "0003"

# Every version of the schema has `id` and `body`; the other columns need defaults.
_PLAIN = {"id": 0, "body": "A word.", "format": "markdown", "summary": None}
_ANY = text("SELECT * FROM entry WHERE id = :id")


@dataclass(frozen=True)
class Forecast:
    """The work of an upgrade.

    :param before: the current schema version, or None for an empty database.
    :param entries: the number of entries to render.
    :param texts: the number of entries and comments to index.
    :param seconds: the duration of all steps.
    :param steps: the number of instructions that SQLite will execute for the schema.
    :param size: the size of the database, in bytes; 0 if it is not a file.
    :param space: the maximum of additional disk space, in bytes.
    """

    before: str | None
    entries: int = 0
    texts: int = 0
    seconds: float = 0
    steps: int = 0
    size: int = 0
    space: int = 0


def forecast(engine: Engine) -> Forecast:
    """Estimate the work of an upgrade.

    :raises DatabaseUnusableError: the database is newer than the code, or another program's.
    :raises sqlalchemy.exc.DBAPIError: it cannot be read.
    """
    with engine.connect() as connection:
        before = migration.version(connection)
        if before is None:
            return Forecast(None)
        is_current = migration.is_current(connection)
        ids = backfill.unrendered(connection) if before >= RENDERED_SINCE else _ids(connection)
        entries, comments = (_count(connection, table) for table in ("entry", "comment"))
        texts = search_index.stale(connection) if is_current else entries + comments
        each, growth = _sample(connection, ids[:: len(ids) // SAMPLE + 1])
    file = file_of(engine.url)
    size = file.stat().st_size if file is not None and file.is_file() else 0
    # The factors are upper bounds of the measurements of benchmarks/upgrade.py.
    seconds = len(ids) * (each / backfill.processes(len(ids)) + 0.0004) + texts * 0.0003
    space = int(len(ids) * growth + texts * 400) + LOG
    if is_current:
        return Forecast(before, len(ids), texts, seconds, 0, size, space)
    # A rebuilt table exists beside the old one, and both are in the write-ahead log.
    space += 2 * size
    seconds += (entries + comments) * 0.0001
    return Forecast(before, len(ids), texts, seconds, 50 * entries + 210 * comments, size, space)


def _sample(connection: Connection, ids: Sequence[int]) -> tuple[float, float]:
    """Return the seconds and bytes per entry, measured by rendering some."""
    found = (connection.execute(_ANY, {"id": id_}).mappings().one_or_none() for id_ in ids)
    backfill.render_rows([_PLAIN])  # warm-up: the first call imports and compiles
    start = time.process_time()
    made = backfill.render_rows([_PLAIN | dict(row) for row in found if row])
    each = (time.process_time() - start) / max(1, len(made))
    return each, sum(map(_stored, made)) / max(1, len(made))


def _stored(rendered: dict[str, Any]) -> int:
    """Return the size of a rendering and of the text in the index, in bytes of 4 KiB pages."""
    words = len(rendered["text"].encode())
    row = words + sum(len(rendered[name].encode()) for name in ("html", "teaser", "description"))
    return words + sum(4096 // (4061 // n) if n < 4061 else n + 2048 for n in (words + 1, row + 1))


def _ids(connection: Connection) -> list[int]:
    return list(connection.scalars(text("SELECT id FROM entry ORDER BY id")))


def _count(connection: Connection, table: str) -> int:
    counted = connection.exec_driver_sql(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
    return int(counted.scalar_one())
