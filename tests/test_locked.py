"""A locked database: who waits, for how long, and who is still served."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from blog.application import Blog, create_app
from blog.config import Config
from blog.models import Comment
from blog.operations import migration
from pool import ThreadLocalPool
from pool.sqlite import configure
from tests.conftest import BlogClient, MakeEntry, form_token
from tests.locks import write_lock
from tests.processes import PATIENCE

#: Far longer than a request takes without a lock, in seconds.
TIMEOUT = 2.0


def at_once(number: int, ask: Callable[[], Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("path", ["/blog", "/blog/search?q=a"])
def test_readers_wait_once_and_in_parallel(
    config: Config, engine: Engine, make_entry: MakeEntry, path: str
) -> None:
    make_entry()
    # With an open connection, no other program could lock readers out.
    engine.dispose()
    blog_engine = create_engine(config.database, poolclass=ThreadLocalPool)
    attempts: list[object] = []
    # Before those of configure(): no listener is called after one that returns a connection.
    event.listen(blog_engine, "do_connect", lambda *given: attempts.append(given))
    configure(blog_engine, busy_timeout=TIMEOUT)
    app = Blog(config, blog_engine, migration.check(blog_engine).secret)
    blog_engine.pool.dispose()
    attempts.clear()
    answers: list[int] = []

    def ask() -> None:
        answers.append(BlogClient(app).get(path).status_code)

    with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        for thread in at_once(4, ask):
            thread.join()
        took = time.monotonic() - start

    assert answers == [503] * 4
    assert len(attempts) == 4, "each request waits"
    assert took < 3 * TIMEOUT, "in parallel"
    assert BlogClient(app).get(path).status_code == 200
    blog_engine.dispose()


def test_cached_page_needs_no_lock(app: Blog, make_entry: MakeEntry) -> None:
    """Under a write lock whose transaction is not committed yet."""
    make_entry()
    client = BlogClient(app)
    first = client.get("/blog")
    with write_lock(app.engine.url.database) as other:
        other.execute("UPDATE entry SET title = 'Not yet'")
        assert client.get("/blog").data == first.data
        other.execute("ROLLBACK")
    assert client.get("/blog").data == first.data


def test_waiting_writers_leave_threads_free(
    config: Config, app: Blog, make_entry: MakeEntry
) -> None:
    make_entry()
    token = form_token(BlogClient(app).get("/blog/a-title").text)
    blog = create_app(replace(config, threads=8))
    numbers = iter(range(100))
    answers: list[tuple[int, str]] = []

    def send() -> None:
        number = next(numbers)
        response = BlogClient(blog).post(
            "/blog/a-title/comments",
            data={"csrf_token": token, "text": f"My text {number}"},
            environ_base={"REMOTE_ADDR": f"203.0.{number}.7"},
        )
        answers.append((response.status_code, response.text))

    with write_lock(app.engine.url.database) as other:
        writers = at_once(8, send)
        wait_for(lambda: len(answers) == 4)
        # The queue has not moved, so one more writer is refused at once.
        send()
        assert len(answers) == 5
        wait_for(lambda: sum(thread.is_alive() for thread in writers) == 4)
        assert BlogClient(blog).get("/blog").status_code == 200
        other.execute("ROLLBACK")
        for thread in writers:
            thread.join()

    statuses = [status for status, _ in answers]
    assert statuses == [503] * 5 + [303] * 4
    for status, page in answers:
        assert status == 303 or "My text" in page
    send()
    assert answers[-1][0] == 303
    blog.engine.dispose()


@pytest.mark.parametrize(
    ("change", "status", "stored"),
    [
        ("DELETE FROM entry", 404, []),
        ("UPDATE entry SET state = 'draft'", 404, []),
        ("UPDATE entry SET comments_open = 0", 403, []),
        ("DELETE FROM comment", 303, [(None,)]),
        ("UPDATE comment SET state = 'spam'", 303, [(None,)]),
    ],
)
def test_change_during_wait_counts(
    app: Blog,
    make_entry: MakeEntry,
    make_comment: Callable[..., Comment],
    change: str,
    status: int,
    stored: list[tuple[int | None]],
) -> None:
    parent = make_comment(make_entry()).id
    token = form_token(BlogClient(app).get("/blog/a-title").text)
    data = {"csrf_token": token, "text": "My reply", "parent": str(parent)}
    answers: list[tuple[int, str]] = []

    def send() -> None:
        response = BlogClient(app).post("/blog/a-title/comments", data=data)
        answers.append((response.status_code, response.text))

    with write_lock(app.engine.url.database) as other:
        (writer,) = at_once(1, send)
        time.sleep(0.2)
        assert answers == []
        other.execute(change)
        other.execute("COMMIT")
        writer.join()
        replies = other.execute("SELECT parent_id FROM comment WHERE text = 'My reply'").fetchall()

    assert answers[0][0] == status
    assert status == 303 or "My reply" in answers[0][1]
    assert replies == stored


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_burst_of_writers_is_not_an_outage(
    config: Config, app: Blog, make_entry: MakeEntry
) -> None:
    make_entry()
    token = form_token(BlogClient(app).get("/blog/a-title").text)
    blog = create_app(replace(config, threads=8))
    numbers = iter(range(100))
    answers: list[int] = []

    def send() -> None:
        for _ in range(3):
            number = next(numbers)
            response = BlogClient(blog).post(
                "/blog/a-title/comments",
                data={"csrf_token": token, "text": f"My text {number}"},
                environ_base={"REMOTE_ADDR": f"203.0.{number}.7"},
            )
            answers.append(response.status_code)

    for thread in at_once(8, send):
        thread.join()

    assert Counter(answers) == {303: 24}
    blog.engine.dispose()
