"""The comment form: validation, messages, and no loss of typed text."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import html
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from blog import database
from blog.application import Blog
from blog.config import Config
from blog.database import begin_writing, session_factory
from blog.models import Comment
from tests.conftest import BlogClient, MakeEntry, form_token
from tests.locks import write_lock


def stored(db: Session) -> list[tuple[str | None, str]]:
    db.rollback()
    return [(c.name, c.text) for c in db.scalars(select(Comment).order_by(Comment.id))]


def test_comment_is_stored_and_shown(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    response = client.send_comment("a-title", text=" Well said.\r\nIndeed. ", name=" Ann ")

    assert response.status_code == 303
    assert response.location == f"/blog/a-title#comment-{db.scalars(select(Comment.id)).one()}"
    assert stored(db) == [("Ann", "Well said.\nIndeed.")]
    page = client.get(response.location).text
    assert "Well said.<br" in page
    assert "Your comment has been published." in page
    assert "Your comment has been published." not in client.get("/blog/a-title").text


def test_comment_name_is_optional(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment("a-title", text="No name")

    assert stored(db) == [(None, "No name")]
    assert "Anonymous" in client.get("/blog/a-title").text


def test_longest_comment_is_accepted(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    # A browser submits a line end as two characters; its maxlength counts one.
    text = "é\n" * 249 + "éé"
    response = client.send_comment("a-title", text=text.replace("\n", "\r\n"), name="n" * 80)

    assert response.status_code == 303
    assert stored(db) == [("n" * 80, text)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": ""}, "Please enter a comment."),
        ({"text": " \r\n\t "}, "Please enter a comment."),
        ({}, "Please enter a comment."),
        ({"text": "x" * 501}, "has 501 characters; the limit is 500"),
        ({"text": "kept text", "name": "n" * 81}, "has 81 characters; the limit is 80"),
    ],
)
def test_comment_error_keeps_input(
    client: BlogClient,
    db: Session,
    make_entry: MakeEntry,
    fields: dict[str, str],
    message: str,
) -> None:
    make_entry()
    response = client.send_comment("a-title", **fields)

    assert response.status_code == 422
    assert message in response.text
    for value in fields.values():
        assert value.strip() in response.text
    assert stored(db) == []


def test_comment_is_escaped(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    attack = '<script>alert(1)</script><img src=x onerror=alert(1)>"'
    client.send_comment("a-title", text=attack, name=attack[:80])

    page = client.get("/blog/a-title").text
    assert "<script>" not in page
    assert "<img" not in page


@pytest.mark.parametrize("token", ["", "false", "ÿ", "x" * 5000])
def test_comment_token_is_required(
    client: BlogClient, db: Session, make_entry: MakeEntry, token: str
) -> None:
    make_entry()
    data = {"text": "Long thought about", "csrf_token": token}
    response = client.post("/blog/a-title/comments", data=data)

    assert response.status_code == 403
    assert "Long thought about" in response.text
    assert stored(db) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://blog.example"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://blog.example"}, 303),
        ({"Origin": "http://localhost"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://proxied"}, 303),
    ],
)
def test_comment_from_other_site_is_refused(
    client: BlogClient, make_entry: MakeEntry, headers: dict[str, str], status: int
) -> None:
    make_entry()
    page = client.get("/blog/a-title").text
    token = form_token(page)
    data = {"text": "Hello", "csrf_token": token}

    assert client.post("/blog/a-title/comments", data=data, headers=headers).status_code == status


def test_comment_on_deleted_entry_keeps_input(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry("Other")
    entry = make_entry()
    token = form_token(client.get("/blog/other").text)
    db.delete(entry)
    db.commit()
    data = {"text": "Long thought about", "csrf_token": token}
    response = client.post("/blog/a-title/comments", data=data)

    assert response.status_code == 404
    assert "Long thought about" in response.text


def test_closed_comments_are_shown(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry("Other")
    make_entry(comments_open=False)
    token = form_token(client.get("/blog/other").text)

    assert "<textarea" not in client.get("/blog/a-title").text
    data = {"text": "Too late", "csrf_token": token}
    response = client.post("/blog/a-title/comments", data=data)
    assert response.status_code == 403
    assert "Too late" in response.text
    assert stored(db) == []


@contextmanager
def watched(engine: Engine, *files: str) -> Iterator[Counter[tuple[str, bool]]]:
    """Count calls by source file, and by whether others could write during them."""
    sessions = session_factory(engine)
    counts: Counter[tuple[str, bool]] = Counter()

    def can_write() -> bool:
        with sessions() as db:
            try:
                begin_writing(db, nowait=True)
            except OperationalError:
                return False
            return True

    def look(frame: FrameType, event: str, _: object) -> None:
        name = Path(frame.f_code.co_filename).name
        if event == "call" and name in files:
            counts[name, can_write()] += 1

    sys.setprofile(look)
    try:
        yield counts
    finally:
        sys.setprofile(None)


def test_rendering_does_not_block_writers(
    client: BlogClient, app: Blog, engine: Engine, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    client = BlogClient(Blog(replace(app.config, comment_format="markdown"), engine, app.secret))
    written = f"Some *words*, not rendered before: {uuid4()}."
    with watched(engine, "sanitising.py", "hmac.py") as counts:
        client.send_comment("a-title", text=written, remember="yes")

    assert stored(db) == [(None, written)]
    assert counts["sanitising.py", True] > 0
    assert counts["hmac.py", True] > 0
    assert {name for name, is_free in counts if not is_free} == set()


def test_locked_database_keeps_input(
    client: BlogClient,
    db: Session,
    engine: Engine,
    make_entry: MakeEntry,
) -> None:
    make_entry()
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with write_lock(engine.url.database):
        assert client.get("/blog/a-title").status_code == 200, "readers do not wait"
        response = client.send_comment("a-title", text="Long thought about")
        trapped = client.send_comment("a-title", text="Buy", subject="Great offer")
    assert trapped.status_code == 403, "a form refused without the database waits for no lock"
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "Long thought about" in response.text
    assert stored(db) == []
    assert client.send_comment("a-title", text="Long thought about").status_code == 303


def test_read_only_database_serves_readers(
    config: Config, app: Blog, engine: Engine, make_entry: MakeEntry
) -> None:
    make_entry()
    engine.dispose()
    url = config.database.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
    read_only = database.connect(url)
    client = BlogClient(Blog(config, read_only, app.secret))

    assert client.get("/blog").status_code == 200
    response = client.send_comment("a-title", text="Long thought about")
    assert response.status_code == 503
    assert "Long thought about" in response.text
    read_only.dispose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=600), name=st.text(max_size=90))
def test_any_comment_is_stored_or_explained(
    client: BlogClient, db: Session, make_entry: MakeEntry, text: str, name: str
) -> None:
    if client.get("/blog/a-title").status_code == 404:
        make_entry()
    before = len(stored(db))
    # A single network would soon reach the limit.
    client.address = f"10.{before // 250}.{before % 250}.1"
    response = client.send_comment("a-title", text=text, name=name)

    if "\0" in text + name:
        assert response.status_code == 400
    else:
        assert response.status_code in {303, 422}
    assert len(stored(db)) == before + (response.status_code == 303)
    assert client.get("/blog/a-title/feed.atom").status_code == 200


def test_comment_has_one_microformat_content(
    client: BlogClient, make_entry: MakeEntry, make_comment: Callable[..., Comment]
) -> None:
    make_comment(make_entry(), "Some words.")
    page = html.document_fromstring(client.get("/blog/a-title").text)

    (content,) = page.xpath("//*[contains(@class, 'h-cite')]//*[contains(@class, '-content')]")
    assert content.get("class") == "e-content"
