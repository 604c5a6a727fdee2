"""A process that writes successive numbers to a blog and records when.

    python -m tests.writers DATABASE BLOG NOTES KIND…

It prints a line once it has written a few numbers of each kind, and continues until its standard
input ends. Each line of NOTES is a write: its kind, its number, and the moments before it began and
after its commit (monotonic; all processes share the clock).
"""

import random
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click
from sqlalchemy import make_url

#: Seconds between two writes of a process: some follow at once, others let pages be cached.
PAUSES = [0.0, 0.001, 0.01, 0.03, 0.1]

#: The number that all kinds have reached when the process reports.
FEW = 6

#: A function that writes a number, made for a database and a blog.
Act = Callable[[int], None]


def with_models(database: str) -> dict[str, Act]:
    """Writes by the blog's own models: an edit, and a deletion with a replacement."""
    # Imported here because it takes a second and only this writer needs it.
    from blog.database import begin_writing, connect, session_factory
    from blog.entries.rendering import render_entry
    from blog.models import Entry

    sessions = session_factory(connect(database))

    def edit(number: int) -> None:
        with sessions() as db:
            begin_writing(db)
            entry = db.query(Entry).filter_by(slug="model").one()
            entry.title = f"model {number}"
            render_entry(db, entry)
            db.commit()

    def swap(number: int) -> None:
        with sessions() as db:
            begin_writing(db)
            old = db.query(Entry).filter_by(slug=f"swap-{number - 1}").one()
            title, slug = f"swap {number}", f"swap-{number}"
            entry = Entry(title=title, slug=slug, body="New.", timestamp=old.timestamp)
            db.delete(old)
            db.add(entry)
            render_entry(db, entry)
            db.commit()

    return {"model": edit, "swap": swap}


def by_hand(database: str) -> dict[str, Act]:
    """Writes from an SQL shell."""
    execute = shell(database)
    is_sqlite = make_url(database).get_backend_name() == "sqlite"

    def edit(number: int) -> None:
        execute(f"UPDATE entry SET title = 'raw {number}' WHERE slug = 'raw'")
        if is_sqlite and number % 5 == 0:
            # Restarts the log.
            execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if number % 20 == 0:
            execute("VACUUM")

    def publish(number: int) -> None:
        # Not yet visible.
        execute(
            "INSERT INTO entry (title, slug, uid, body, timestamp, updated, kind, format, state, "
            f"featured, comments_open) SELECT 'draft {number}', 'draft-{number}', "
            f"'urn:draft:{number}', 'New.', timestamp, updated, kind, format, 'draft', featured, "
            "comments_open FROM entry WHERE slug = 'draft-1'"
        )
        execute(f"UPDATE entry SET state = 'published' WHERE slug = 'draft-{number}'")

    def rename(number: int) -> None:
        execute(f"UPDATE tag SET name = 'subject {number}' WHERE slug = 'one'")

    def add(number: int) -> None:
        execute(f"UPDATE comment SET text = 'An aside {number}.' WHERE text LIKE 'An aside %'")

    return {"raw": edit, "draft": publish, "subject": rename, "aside": add}


def shell(database: str) -> Callable[[str], object]:
    """Return a function that runs one statement without the blog and SQLAlchemy."""
    url = make_url(database)
    if url.get_backend_name() == "sqlite":
        return sqlite3.connect(str(url.database), isolation_level=None, timeout=30).execute
    import psycopg

    address: Any = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True).execute


def as_visitor(database: str, blog: str) -> dict[str, Act]:
    """Comments of visitors, through page and form, approved by the author."""
    connection = HTTPConnection(urlsplit(blog).netloc, timeout=30)
    execute = shell(database)

    def ask(method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        connection.request(method, path, body, headers)
        with connection.getresponse() as response:
            return response.status, response.read().decode()

    def comment(number: int) -> None:
        # Each visitor has another network.
        visitor = {"X-Forwarded-For": f"10.{number // 250}.{number % 250}.1"}
        _, page = ask("GET", "/blog/talk", **visitor)
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
        form = {name: unescape(value) for name, value in fields}
        words = f"This is my remark {number}."
        body = urlencode({**form, "name": "Reader", "text": words})
        visitor["Content-Type"] = "application/x-www-form-urlencoded"
        status, answer = ask("POST", "/blog/talk/comments", body, **visitor)
        if status != 303:
            raise RuntimeError(f"Comment {number} got {status}: {answer}")
        # The hourly limits hold some of them.
        execute(f"UPDATE comment SET state = 'published' WHERE text = '{words}' AND state = 'held'")

    return {"remark": comment}


def write(acts: dict[str, Act], notes: Path, stopped: Callable[[], bool]) -> None:
    """Write repeatedly, beginning with number 2, and record when."""
    numbers = dict.fromkeys(acts, 1)
    with notes.open("w", encoding="ascii") as file:
        while not stopped():
            kind = random.choice(list(acts))
            numbers[kind] += 1
            began = time.monotonic()
            acts[kind](numbers[kind])
            file.write(f"{kind} {numbers[kind]} {began} {time.monotonic()}\n")
            if min(numbers.values()) == FEW:
                click.echo(FEW)
            time.sleep(random.choice(PAUSES))


def main(database: str, blog: str, notes: str, *kinds: str) -> None:
    sources: dict[str, Callable[[], dict[str, Act]]] = {
        **dict.fromkeys(("model", "swap"), partial(with_models, database)),
        **dict.fromkeys(("raw", "draft", "subject", "aside"), partial(by_hand, database)),
        "remark": partial(as_visitor, database, blog),
    }
    known: dict[str, Act] = {}
    for kind in kinds:
        if kind not in known:
            known |= sources[kind]()
    over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    write({kind: known[kind] for kind in kinds}, Path(notes), over.is_set)


if __name__ == "__main__":
    main(*sys.argv[1:])
