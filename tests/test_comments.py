"""The comment form: what it takes, what it says, and that nothing typed is lost."""

import sqlite3
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
from tests.conftest import BlogClient, MakeEntry


def stored(db: Session) -> list[tuple[str | None, str]]:
    db.rollback()
    return [(c.name, c.text) for c in db.scalars(select(Comment).order_by(Comment.id))]


def test_a_comment_is_stored_and_shown_where_the_visitor_is_led(
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


def test_the_name_is_optional(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment("a-title", text="No name")

    assert stored(db) == [(None, "No name")]
    assert "Anonymous" in client.get("/blog/a-title").text


def test_a_comment_of_500_characters_is_taken_whole(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    # A browser sends each line end as two characters, and its maxlength counts one.
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
def test_a_mistake_is_explained_and_what_was_typed_is_kept(
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


def test_a_comment_is_text_and_no_markup(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    attack = '<script>alert(1)</script><img src=x onerror=alert(1)>"'
    client.send_comment("a-title", text=attack, name=attack[:80])

    page = client.get("/blog/a-title").text
    assert "<script>" not in page
    assert "<img" not in page


@pytest.mark.parametrize("token", ["", "false", "ÿ", "x" * 5000])
def test_a_missing_or_false_token_is_refused_and_the_text_kept(
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
def test_a_form_of_another_site_is_refused(
    client: BlogClient, make_entry: MakeEntry, headers: dict[str, str], status: int
) -> None:
    make_entry()
    page = client.get("/blog/a-title").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    data = {"text": "Hello", "csrf_token": token}

    assert client.post("/blog/a-title/comments", data=data, headers=headers).status_code == status


def test_a_comment_on_an_entry_that_is_gone_is_not_lost_to_its_writer(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry("Other")
    entry = make_entry()
    token = client.get("/blog/other").text.split('name="csrf_token" value="')[1].split('"')[0]
    db.delete(entry)
    db.commit()
    data = {"text": "Long thought about", "csrf_token": token}
    response = client.post("/blog/a-title/comments", data=data)

    assert response.status_code == 404
    assert "Long thought about" in response.text


def test_closed_comments_are_shown_and_no_more_are_taken(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry("Other")
    make_entry(comments_open=False)
    token = client.get("/blog/other").text.split('name="csrf_token" value="')[1].split('"')[0]

    assert "<textarea" not in client.get("/blog/a-title").text
    data = {"text": "Too late", "csrf_token": token}
    response = client.post("/blog/a-title/comments", data=data)
    assert response.status_code == 403
    assert "Too late" in response.text
    assert stored(db) == []


@contextmanager
def watched(engine: Engine, *files: str) -> Iterator[Counter[tuple[str, bool]]]:
    """Count the calls in source files, and whether others could write to the database meanwhile."""
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


def test_others_can_write_while_a_comment_is_rendered_and_hashed(
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


@contextmanager
def another_writer(engine: Engine) -> Iterator[None]:
    """Let another program hold the write lock of the database."""
    other = sqlite3.connect(str(engine.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_locked_database_costs_the_visitor_nothing(
    client: BlogClient,
    db: Session,
    engine: Engine,
    make_entry: MakeEntry,
) -> None:
    make_entry()
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with another_writer(engine):
        assert client.get("/blog/a-title").status_code == 200, "readers are not held up"
        response = client.send_comment("a-title", text="Long thought about")
        trapped = client.send_comment("a-title", text="Buy", subject="Great offer")
    assert trapped.status_code == 403, "what is refused by its form alone waits for no lock"
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "Long thought about" in response.text
    assert stored(db) == []
    assert client.send_comment("a-title", text="Long thought about").status_code == 303


def test_a_read_only_database_still_serves_readers(
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
def test_whatever_is_typed_is_stored_or_explained(
    client: BlogClient, db: Session, make_entry: MakeEntry, text: str, name: str
) -> None:
    if client.get("/blog/a-title").status_code == 404:
        make_entry()
    before = len(stored(db))
    # One network would soon have sent too many.
    client.address = f"10.{before // 250}.{before % 250}.1"
    response = client.send_comment("a-title", text=text, name=name)

    if "\0" in text + name:
        assert response.status_code == 400
    else:
        assert response.status_code in {303, 422}
    assert len(stored(db)) == before + (response.status_code == 303)
    assert client.get("/blog/a-title/feed.atom").status_code == 200


def test_a_comment_has_its_content_once_for_microformats(
    client: BlogClient, make_entry: MakeEntry, make_comment: Callable[..., Comment]
) -> None:
    make_comment(make_entry(), "Some words.")
    page = html.document_fromstring(client.get("/blog/a-title").text)

    (content,) = page.xpath("//*[contains(@class, 'h-cite')]//*[contains(@class, '-content')]")
    assert content.get("class") == "e-content"
