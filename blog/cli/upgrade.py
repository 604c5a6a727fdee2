"""The steps and messages of ``threadleaf upgrade``, also for ``init``, ``serve`` and ``import``."""

import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from threading import Event

import click
from sqlalchemy import Engine

from blog.config import Config
from blog.config.database_url import file_of, name_of
from blog.database import connect, search_index, session_factory, writing
from blog.entries import slugs
from blog.operations import backfill, migration
from blog.operations.forecast import Forecast, forecast
from blog.operations.logs import counted, say, visible
from blog.operations.migration import DatabaseUnusableError


def bring_up_to_date(config: Config) -> None:
    """Upgrade the database, and print the forecast and the result.

    :raises DatabaseUnusableError: it cannot be upgraded as it is, or a rendering process died.
    :raises SystemExit: Ctrl-C was pressed.
    """
    engine = connect(config.database, language=config.language)
    try:
        with migration.explaining(engine):
            before, after = upgrade_database(engine)
    except BrokenExecutor as error:
        raise DatabaseUnusableError(
            "A process of the upgrade was killed, perhaps because memory ran out. Finished work is "
            "saved: free some memory, then run `threadleaf upgrade` again."
        ) from error
    except KeyboardInterrupt:
        say("Stopped. Finished work is saved; run `threadleaf upgrade` to continue.")
        sys.exit(130)
    finally:
        engine.dispose()
    name = visible(name_of(engine.url))
    if before is None:
        say(f"Created database {name}.")
    elif before == after:
        say(f"{name} is already up to date.")
    else:
        say(f"Upgraded {name} from schema {before} to {after}.")


def upgrade_database(engine: Engine) -> tuple[str | None, str]:
    """Upgrade the schema, then render and index; return both schema versions.

    :raises KeyboardInterrupt: Ctrl-C was pressed; it stops between two transactions.
    """
    ahead = Forecast(None) if migration.is_missing(engine) else forecast(engine)
    if ahead.entries or ahead.texts:
        announce(engine, ahead)
    with interruptible() as interrupted:
        with click.progressbar(length=ahead.steps, label="Schema", hidden=not ahead.steps) as bar:

            def advance() -> None:
                if interrupted.is_set():
                    raise KeyboardInterrupt
                bar.update(migration.STEPS)

            versions = migration.upgrade(engine, advance)
            bar.update(ahead.steps)
        for address, new in give_way(engine):
            say(f"Moved {address} to {new}: the blog has its own page at that address.")
        with engine.connect() as connection:
            ids = backfill.unrendered(connection)
        show("Rendering", len(ids), backfill.render_all(engine, ids), interrupted)
        with engine.connect() as connection:
            texts = search_index.stale(connection)
        show("Indexing", texts, backfill.index_all(engine), interrupted)
    return versions


def show(label: str, length: int, portions: Iterable[int], interrupted: Event) -> None:
    """Work through portions, with a progress bar."""
    with click.progressbar(length=length, label=label, hidden=not length) as bar:
        for number in portions:
            bar.update(number)
            if interrupted.is_set():
                raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Event]:
    """Set an event on Ctrl-C, instead of raising KeyboardInterrupt within a transaction."""
    interrupted = Event()
    previous = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)


def give_way(engine: Engine) -> list[tuple[str, str]]:
    """Rename entries whose addresses the blog needs itself; return old and new addresses."""
    with session_factory(engine)() as db:
        if not slugs.shadowed(db):
            return []
        with writing(db):
            return slugs.give_way(db)


def announce(engine: Engine, ahead: Forecast) -> None:
    """Print how long an upgrade will take, and how much disk space.

    :raises DatabaseUnusableError: the disk has too little free space.
    """
    minutes = round(ahead.seconds / 60)
    duration = "less than a minute" if minutes < 1 else f"about {minutes} min"
    say(
        f"To render: {counted(ahead.entries, 'entry', 'entries')}. "
        f"To index: {counted(ahead.texts, 'text')}."
    )
    file = file_of(engine.url)
    if file is None or not ahead.size:
        say(f"Estimated time: {duration}.")
        return
    free = shutil.disk_usage(file.parent).free
    has, needs, left = (f"{each / 1e6:,.0f} MB" for each in (ahead.size, ahead.space, free))
    say(f"Estimated time: {duration}. Disk space: up to {needs} more; {has} now.")
    if free < ahead.space:
        raise DatabaseUnusableError(
            f"The database {name_of(engine.url)} was not changed: the upgrade may need {needs}, "
            f"and its disk has {left} free. Free some space, or move the database."
        )
