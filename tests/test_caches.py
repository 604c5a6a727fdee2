"""Caches are bounded by bytes, whatever visitors send."""

import gc
import string
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.test import create_environ, run_wsgi_app

from blog import markup
from blog.application import Blog
from blog.caches import Cache
from blog.comments.forms import CommentForm
from blog.config import Config
from blog.http.cached_response import CachedResponse
from tests.conftest import BlogClient, MakeEntry

MIB = 1024 * 1024


@given(
    st.integers(0, 50),
    st.lists(
        st.tuples(st.sampled_from(["get", "put", "resize"]), st.integers(0, 9), st.integers(0, 30))
    ),
)
def test_cache_evicts_least_recently_used(capacity: int, steps: list[tuple[str, int, int]]) -> None:
    cache: Cache[int, str] = Cache(capacity)
    expected: dict[int, tuple[str, int]] = {}
    for number, (step, key, size) in enumerate(steps):
        value = expected[key][0] if step == "resize" and key in expected else f"{number}"
        if step == "get":
            assert cache.get(key) == expected.get(key, (None, 0))[0]
            size = expected.get(key, ("", 0))[1]
            value = expected.get(key, ("", 0))[0]
        elif step == "put":
            cache.put(key, value, size)
        else:
            cache.resize(key, value, size)
        if step == "put" or key in expected:
            expected.pop(key, None)
            if size <= capacity:
                expected[key] = value, size
        while sum(size for _, size in expected.values()) > capacity:
            del expected[next(iter(expected))]

    assert cache.size == sum(size for _, size in expected.values()) <= capacity
    assert {key: cache.get(key) for key in range(10) if cache.get(key) is not None} == {
        key: value for key, (value, _) in expected.items()
    }


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the growth of Python's memory since the start, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()

        def grown() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before

        yield grown
    finally:
        tracemalloc.stop()


def word(random: Random, length: int) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=length))


def ask(blog: Blog, path: str, query: str, **headers: str) -> None:
    """Send a request without Werkzeug's client, which caches addresses."""
    environ = create_environ("/", headers={n.replace("_", "-"): v for n, v in headers.items()})
    environ |= {"PATH_INFO": path, "QUERY_STRING": query}
    run_wsgi_app(blog, environ, buffered=True)


def test_strangers_do_not_grow_memory(
    config: Config, engine: Engine, app: Blog, make_entry: MakeEntry
) -> None:
    for number in range(5):
        make_entry(f"Entry {number}", body="tea " * 300, tags=("tea",))
    blog = Blog(replace(config, page_cache=1), engine, app.secret)
    random = Random(10)
    paths = ["/blog", "/blog/entry-1", "/blog/search", "/blog/tag/tea", "/sitemap.xml", "/nowhere"]

    def visit(times: int) -> None:
        for number in range(times):
            path = random.choice(paths)
            # Punctuation only, which has no words to mark.
            query = f"q={'!' * 30_000}{number}&tag={word(random, 30_000)}&{word(random, 9)}=1"
            long = {name: word(random, 8_000) for name in ("Accept_Encoding", "Cookie", "X_Any")}
            ask(blog, path, query, **long)
            ask(blog, path, "", Host=f"[fe80::1%{word(random, 8_000)}]")
            query = f"q=%22%22&year={number}&tag={word(random, 700)}"
            ask(blog, "/blog/search", query, Accept_Encoding=f"gzip, {word(random, 150)}")

    visit(5)
    with growth() as grown:
        visit(60)
        # They have sent 6 MB.
        assert grown() < 1.5 * MIB


@pytest.mark.parametrize("size", [30, 3_000, 60_000])
def test_cached_pages_take_counted_memory(
    config: Config, engine: Engine, app: Blog, make_entry: MakeEntry, size: int
) -> None:
    random = Random(11)
    text = " ".join(word(random, random.randint(2, 9)) for _ in range(size // 6))
    for number in range(8):
        make_entry(f"Entry {number}", body=text)
    blog = Blog(replace(config, page_cache=2), engine, app.secret)
    client = BlogClient(blog, use_cookies=False)
    accepted = [{"Accept-Encoding": encoding} for encoding in ("", "gzip", "br", "zstd")]

    def visit(times: int) -> None:
        for number in range(times):
            for headers in accepted:
                client.get(f"/blog/search?year={number}", headers=headers)
                client.get(f"/blog/entry-{number % 8}", headers=headers)

    visit(20)
    blog.page_cache.responses = Cache(2 * MIB)
    with growth() as grown:
        visit(100)
        counted = blog.page_cache.responses.size

        assert counted <= 2 * MIB
        assert 0.5 * counted < grown() < 1.1 * counted + 0.1 * MIB


@pytest.mark.parametrize("cookie", ["", "__Host-threadleaf-person=x.y", "a=b"])
def test_evicted_page_is_freed(
    config: Config, engine: Engine, app: Blog, make_entry: MakeEntry, cookie: str
) -> None:
    """Freed by reference counting, because the next garbage collection may be far away."""
    for number in range(30):
        make_entry(f"Entry {number}", body="word " * 10_000)
    client = BlogClient(Blog(replace(config, page_cache=1), engine, app.secret), use_cookies=False)
    gc.collect()
    gc.disable()
    try:
        for number in range(30):
            client.get(f"/blog/entry-{number}", headers={"Cookie": cookie})
        cached = [each for each in gc.get_objects() if type(each) is CachedResponse]
    finally:
        gc.enable()

    assert sum(len(each.body) for each in cached) <= MIB


def test_unchanged_body_is_compressed_once(
    client: BlogClient, app: Blog, make_entry: MakeEntry, db: Session
) -> None:
    make_entry(body="word " * 500)
    other = make_entry("Other")
    headers = {"Accept-Encoding": "gzip"}
    client.get("/blog/a-title", headers=headers)
    key = ("", "/blog/a-title", ())
    before = app.page_cache.responses.get(key)
    other.body = "Changed"
    db.commit()
    client.get("/blog/a-title", headers=headers)
    after = app.page_cache.responses.get(key)

    assert before is not None
    assert after is not None
    assert after is not before
    assert after.body is before.body
    assert after._compress("gzip") is before._compress("gzip")


def test_forms_do_not_grow_memory(config: Config) -> None:
    random = Random(12)
    with growth() as grown:
        for _ in range(40):
            website = f"https://{word(random, 100_000)}.example"
            form = CommentForm.parse(ImmutableMultiDict({"text": "x", "website": website}), config)
            assert form.errors
        del form, website
        assert grown() < 0.5 * MIB


def test_previews_do_not_grow_memory() -> None:
    for number in range(50):
        markup.render_comment(f"{number}" * 50, "text")
    with growth() as grown:
        for number in range(400):
            markup.render_comment(f"{number} " + "😀" * 20_000, "text")
        assert grown() < 5 * MIB
