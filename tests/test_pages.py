"""Rendered pages: which are cached, for how long, and how they are sent."""

import gzip
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, text, update
from sqlalchemy.orm import Session

from blog.application import Blog
from blog.caches import Cache
from blog.config import Config
from blog.models import Comment, Site
from blog.urls import PARAMETERS
from tests.conftest import NOW, BlogClient, MakeEntry, form_token
from tests.test_page_cache import ADDRESSES

MakeComment = Callable[..., Comment]

GZIP = {"Accept-Encoding": "gzip"}

#: Endpoints whose address in ADDRESSES gives a redirect, a private response, a file or an error.
UNCACHED = {
    "reader.home",
    "reader.series",
    "comments.add",
    "comments.receipt",
    "comments.reply",
    "files.media",
    "files.static",
    "health.healthz",
}


@contextmanager
def counting(engine: Engine) -> Iterator[list[str]]:
    """Record the statements of sessions, which only a rendered page executes."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def is_cached(client: BlogClient, engine: Engine, path: str, **options: object) -> bool:
    with counting(engine) as seen:
        assert client.get(path, **options).status_code == 200
    return not seen


@pytest.mark.parametrize(
    "path",
    [
        *("/blog", "/blog.html", "/blog/a-title", "/blog/archive", "/blog/tags", "/blog/tag/tea"),
        *("/blog/feed.atom", "/blog/feed.json", "/sitemap.xml", "/robots.txt", "/blog?page=1"),
    ],
)
def test_page_is_cached(
    client: BlogClient, engine: Engine, make_entry: MakeEntry, path: str
) -> None:
    make_entry(tags=("tea",))
    first = client.get(path)

    assert is_cached(client, engine, path)
    second = client.get(path)
    assert second.data == first.data
    assert second.headers == first.headers


def test_head_and_get_share_a_page(
    client: BlogClient, engine: Engine, make_entry: MakeEntry
) -> None:
    make_entry()
    head = client.head("/blog")

    assert is_cached(client, engine, "/blog")
    get = client.get("/blog")
    assert head.data == b""
    assert head.headers == get.headers


def test_unknown_parameters_share_a_page(
    client: BlogClient, engine: Engine, make_entry: MakeEntry
) -> None:
    for number in range(12):
        make_entry(f"Entry {number}")
    first = client.get("/blog?page=2")

    for query in ("utm_source=x&page=2", "page=2&page=1", "page=%32", "&&page=2&", "page=2&q%5B=ü"):
        assert is_cached(client, engine, f"/blog?{query}"), query
        assert client.get(f"/blog?{query}").data == first.data
    assert not is_cached(client, engine, "/blog?page=1&page=2")


@pytest.mark.parametrize("endpoint", sorted(ADDRESSES.keys() - UNCACHED))
def test_known_parameters_have_own_pages(
    client: BlogClient, engine: Engine, make_entry: MakeEntry, endpoint: str
) -> None:
    make_entry(tags=("tea",))
    make_entry("About", kind="page")
    path = ADDRESSES[endpoint]
    mark = "&" if "?" in path else "?"
    first = client.get(path)

    for name in {"q", "page", "tag", "year", "sort", "utm_source"} - PARAMETERS[endpoint]:
        assert is_cached(client, engine, f"{path}{mark}{name}=1"), name
        assert client.get(f"{path}{mark}{name}=1").data == first.data


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET title = 'Changed'",
        "INSERT INTO comment (entry_id, text, state, format, uid) "
        "SELECT id, 'Changed', 'published', 'text', 'u' FROM entry",
        "UPDATE entry SET body = 'Changed', summary = NULL",
    ],
)
def test_any_change_expires_all_pages(
    client: BlogClient, engine: Engine, make_entry: MakeEntry, change: str
) -> None:
    make_entry()
    client.get("/blog/a-title")
    with engine.begin() as connection:
        connection.execute(text(change))

    assert "Changed" in client.get("/blog/a-title").text
    assert not is_cached(client, engine, "/blog")


def test_invisible_change_expires_nothing(
    client: BlogClient, engine: Engine, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    client.get("/blog/a-title")
    make_comment(entry, state="held")
    make_entry("A draft", state="draft")

    assert is_cached(client, engine, "/blog/a-title")


def test_deleted_entry_is_gone_at_once(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    entry = make_entry()
    client.get("/blog/a-title")
    db.delete(entry)
    db.commit()

    assert client.get("/blog/a-title").status_code == 404


def test_version_of_other_history_differs(
    client: BlogClient, engine: Engine, make_entry: MakeEntry
) -> None:
    """After a restored backup, version numbers are reused."""
    make_entry()
    client.get("/blog")
    with engine.begin() as connection:
        connection.execute(text("UPDATE entry SET title = 'Restored'"))
        connection.execute(text("UPDATE site SET version = version - 1"))

    assert "Restored" in client.get("/blog").text


def test_message_is_not_cached(client: BlogClient, engine: Engine, make_entry: MakeEntry) -> None:
    make_entry()
    client.get("/blog")
    other = BlogClient(client.application, use_cookies=False)

    assert is_cached(other, engine, "/blog", headers={"Cookie": "theirs=1"})
    client.send_comment("a-title", text="Mine")
    assert "Your comment has been published" in client.get("/blog").text
    for _ in range(2):
        assert "Your comment has been published" not in other.get("/blog").text


def test_only_success_is_cached(client: BlogClient, engine: Engine, make_entry: MakeEntry) -> None:
    for path in ("/nowhere", "/", "/blog/", "/healthz"):
        for _ in range(2):
            with counting(engine) as seen:
                client.get(path)
        assert seen, path
    make_entry("Nowhere", kind="page")
    assert client.get("/nowhere").status_code == 200


def test_cache_of_size_0_is_off(
    config: Config, engine: Engine, app: Blog, make_entry: MakeEntry
) -> None:
    make_entry()
    client = BlogClient(Blog(replace(config, page_cache=0), engine, app.secret))
    client.get("/blog")

    assert not is_cached(client, engine, "/blog")


def test_least_recently_used_page_is_evicted(
    config: Config, engine: Engine, app: Blog, make_entry: MakeEntry
) -> None:
    for number in range(30):
        make_entry(f"Entry {number}", body="word " * 10_000)
    client = BlogClient(Blog(replace(config, page_cache=1), engine, app.secret))

    client.get("/blog/entry-0")
    for number in range(1, 30):
        client.get(f"/blog/entry-{number}")
        assert is_cached(client, engine, "/blog/entry-0"), "requested all the time"
    assert is_cached(client, engine, "/blog/entry-29")
    assert not is_cached(client, engine, "/blog/entry-1")


def test_lookup_during_eviction() -> None:
    cache: Cache[int, str] = Cache(20)
    is_over = threading.Event()

    def find() -> None:
        while not is_over.is_set():
            for number in range(40):
                cache.get(number)

    finding = [threading.Thread(target=find) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in finding:
            thread.start()
        for _ in range(1_500):
            for number in range(40):
                cache.put(number, f"{number}", 1)
    finally:
        sys.setswitchinterval(interval)
        is_over.set()
        for thread in finding:
            thread.join()

    # Without other threads now, whose lookups had moved entries to the end.
    for number in range(40):
        cache.put(number, f"{number}", 1)
    assert cache.get(39) == "39"
    assert cache.get(0) is None


def test_concurrent_requests_render_once(app: Blog, engine: Engine, make_entry: MakeEntry) -> None:
    make_entry()
    together = threading.Barrier(8)
    answers: list[bytes] = []

    def ask() -> None:
        together.wait(10)
        answers.append(BlogClient(app).get("/blog").data)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with counting(engine) as seen:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert sum("max(entry.timestamp)" in statement for statement in seen) == 1


def test_page_is_compressed_on_request(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    plain = client.get("/blog")
    packed = client.get("/blog", headers=GZIP)

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for answer in (plain, packed):
        assert {"Accept-Encoding", "Cookie"} <= set(answer.vary.as_set(preserve_casing=True))
        same = {"If-None-Match": answer.headers["ETag"]}
        if answer is packed:
            same |= GZIP
        again = client.get("/blog", headers=same)
        assert again.status_code == 304
        assert again.headers["ETag"] == answer.headers["ETag"]
        assert "Content-Encoding" not in again.headers


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("*;q=0", None),
        ("deflate", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x, gzip;q=0.1", "gzip"),
        (";;q=,", None),
    ],
)
def test_encoding_is_negotiated(
    client: BlogClient, make_entry: MakeEntry, accepted: str, encoding: str | None
) -> None:
    make_entry()
    answer = client.get("/blog", headers={"Accept-Encoding": accepted})

    assert answer.headers.get("Content-Encoding") == encoding


def test_form_response_is_not_compressed(client: BlogClient, make_entry: MakeEntry) -> None:
    """It has the form's token and input of the visitor: https://www.breachattack.com/"""
    make_entry()
    page = client.get("/blog/a-title").text
    token = form_token(page)
    data = {"csrf_token": token, "text": ""}
    answer = client.post("/blog/a-title/comments", data=data, headers=GZIP)

    assert token in answer.text
    assert "Content-Encoding" not in answer.headers


def test_stylesheet_is_compressed(client: BlogClient) -> None:
    address = client.get("/blog").text.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = client.get(address, headers=GZIP)

    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.cache_control.immutable
    assert len(answer.data) < len(client.get(address).data) / 2


def test_last_modified_waits_for_settled_page(
    client: BlogClient, engine: Engine, app: Blog, make_entry: MakeEntry
) -> None:
    make_entry()
    app.page_cache.started = NOW - timedelta(days=1)
    assert "Last-Modified" not in client.get("/blog").headers
    with engine.begin() as connection:
        connection.execute(update(Site).values(changed=NOW - timedelta(hours=1)))

    modified = client.get("/blog").headers["Last-Modified"]
    assert client.get("/blog", headers={"If-Modified-Since": modified}).status_code == 304
