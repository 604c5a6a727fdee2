"""What a page costs without a server: WSGI calls in this process, in CPU time."""

import gc
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.util import setup_testing_defaults

from benchmarks.visits import corpus, peers
from blog.application import create_app
from blog.urls import path_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

K = TypeVar("K")

KEPT, MADE = "Threadleaf", "Threadleaf, nothing kept"

FRONT, ENTRY = "front page", "entry page"

#: The pages that all contenders have.
PAGES = {FRONT: "/blog", ENTRY: f"/blog/{corpus.SLUG}"}

#: What is measured in a small blog and in a large one.
GROWING = {
    "front": "/blog",
    "entry": f"/blog/{corpus.SLUG}",
    "tag": path_of("reader.tag", slug=corpus.TAG),
    "archive": "/blog/archive",
    "feed": "/blog/feed.atom",
    "search, a word": path_of("search.results", q="garden"),
    "search, two words": path_of("search.results", q="winter willow"),
    "search, a phrase": path_of("search.results", q='"quiet rain"'),
}

#: Microseconds of each round.
Series = list[float]

#: By name of the contender and of the page.
Pages = dict[tuple[str, str], Series]


def measure_pages(file: Path, rounds: int, seconds: float) -> Pages:
    """Measure all contenders with the database in `file`. There is one Django in a process.

    :param rounds: how many samples are taken of each.
    :param seconds: how long a sample takes.
    :raises RuntimeError: a contender's page does not say the same as ours.
    """
    kept = corpus.configuration(file)
    applications: dict[str, WSGIApplication] = {
        KEPT: create_app(kept),
        MADE: create_app(corpus.configuration(file, page_cache=0)),
        **{name: peers.application(name, kept) for name in peers.present()},
    }
    calls = {
        (name, page): call(application, address)
        for name, application in applications.items()
        for page, address in PAGES.items()
    }
    for (name, page), get in calls.items():
        if _words(get()) != _words(calls[KEPT, page]()):
            raise RuntimeError(f"The {page} of {name} does not say the same as ours.")
    return _rounds(calls, rounds, seconds)


def measure_growth(
    small: Path, large: Path, far: int, rounds: int, seconds: float
) -> dict[tuple[str, Path], Series]:
    """Measure what our pages cost with either database, by name of the page and file.

    :param far: the number of a page of the front in the large one; is called ``far``.
    """
    applications = {
        file: create_app(corpus.configuration(file, page_cache=0)) for file in (small, large)
    }
    calls = {
        (page, file): call(application, address)
        for file, application in applications.items()
        for page, address in GROWING.items()
    }
    calls["far", large] = call(applications[large], f"/blog?page={far}")
    return _rounds(calls, rounds, seconds)


def _words(page: bytes) -> list[str]:
    """What a reader sees of a page."""
    return unescape(re.sub(r"<[^>]*>", " ", page.decode())).split()


def call(application: "WSGIApplication", address: str) -> Callable[[], bytes]:
    """Return what asks for a page as a server does, and returns its bytes."""
    path, _, query = address.partition("?")
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query}
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, _headers: object, _exc_info: object = None) -> Any:
        statuses.append(status)

    def get() -> bytes:
        statuses.clear()
        body = application(environ.copy(), start_response)
        try:
            page = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        if statuses != ["200 OK"]:
            raise RuntimeError(f"{address} was answered with {statuses}")
        return page

    return get


def _rounds(
    calls: Mapping[K, Callable[[], object]], rounds: int, seconds: float
) -> dict[K, Series]:
    """Take `rounds` samples of each call, all in turn, each of about `seconds`."""
    counts = {}
    for key, function in calls.items():
        function()
        counts[key] = max(1, int(seconds * 1e6 / _sample(function, 3)))
    results: dict[K, Series] = {key: [] for key in calls}
    with _without_old_garbage():
        for _ in range(rounds):
            for key in random.sample(list(calls), len(calls)):
                gc.collect()  # of what the sample before has left
                results[key].append(_sample(calls[key], counts[key]))
    return results


@contextmanager
def _without_old_garbage() -> Iterator[None]:
    # Else each collection would go through all modules of all contenders.
    gc.freeze()
    yield
    gc.unfreeze()


def _sample(function: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        function()
    # The clock of Windows, which ticks every 16 ms, may not have moved in a quick sample.
    return max(time.process_time() - start, 1e-6) * 1e6 / count
