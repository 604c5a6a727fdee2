"""The cost of a page without a server: CPU time of WSGI calls in this process."""

import gc
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.util import setup_testing_defaults

from benchmarks.visits import corpus, peers
from blog.application import create_app
from blog.urls import path_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

K = TypeVar("K")

CACHED, UNCACHED = "Threadleaf", "Threadleaf, not cached"

FRONT, ENTRY = "front page", "entry page"

#: The pages that all contenders have.
PAGES = {FRONT: "/blog", ENTRY: f"/blog/{corpus.SLUG}"}

#: The pages that are measured in a small blog and in a large one.
GROWING = {
    FRONT: "/blog",
    ENTRY: f"/blog/{corpus.SLUG}",
    "tag page": path_of("reader.tag", slug=corpus.TAG),
    "archive": "/blog/archive",
    "feed": "/blog/feed.atom",
    "search for a word": path_of("search.results", q="garden"),
    "search for two words": path_of("search.results", q="winter willow"),
    "search for a phrase": path_of("search.results", q='"quiet rain"'),
}

#: Microseconds of each round.
Series = list[float]

#: By contender and page.
Pages = dict[tuple[str, str], Series]


def measure_pages(file: Path, rounds: int, seconds: float) -> Pages:
    """Measure all contenders with the database in `file`. A process can have only one Django.

    :param rounds: the number of samples of each.
    :param seconds: the length of a sample.
    :raises RuntimeError: a contender's page has other words than ours.
    """
    config = corpus.configuration(file)
    applications: dict[str, WSGIApplication] = {
        CACHED: create_app(config),
        UNCACHED: create_app(corpus.configuration(file, page_cache=0)),
        **{name: peers.application(name, config) for name in peers.present()},
    }
    calls = {
        (name, page): call(application, address)
        for name, application in applications.items()
        for page, address in PAGES.items()
    }
    for (name, page), get in calls.items():
        if found := _difference(_words(get()), _words(calls[CACHED, page]())):
            raise RuntimeError(f"The {page} of {name} has other words than ours: {found}.")
    return _rounds(calls, rounds, seconds)


def measure_growth(
    small: Path, large: Path, far: int, rounds: int, seconds: float
) -> dict[tuple[str, Path], Series]:
    """Measure our pages with both databases, without the page cache.

    :param far: the number of a page of the front page in the large one.
    :return: the samples by page and file; the page above is called ``far``.
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
    """Return the words that a reader sees."""
    return unescape(re.sub(r"<[^>]*>", " ", page.decode())).split()


def _difference(theirs: list[str], ours: list[str]) -> str:
    """Return the first words that differ, with a few around them; empty if none do."""
    for place, (one, other) in enumerate(zip_longest(theirs, ours)):
        if one != other:
            near = slice(max(0, place - 3), place + 6)
            return f"{' '.join(theirs[near])!r}, not {' '.join(ours[near])!r}"
    return ""


def call(application: "WSGIApplication", address: str) -> Callable[[], bytes]:
    """Return a function that asks for a page as a server does, and returns its bytes."""
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
            raise RuntimeError(f"The response to {address} is {statuses}, not 200.")
        return page

    return get


def _rounds(
    calls: Mapping[K, Callable[[], object]], rounds: int, seconds: float
) -> dict[K, Series]:
    """Take `rounds` samples of about `seconds` of each call, in rounds of random order."""
    counts = {}
    for key, function in calls.items():
        function()
        counts[key] = max(1, int(seconds * 1e6 / _sample(function, 3)))
    results: dict[K, Series] = {key: [] for key in calls}
    with _without_old_garbage():
        for _ in range(rounds):
            for key in random.sample(list(calls), len(calls)):
                gc.collect()  # the garbage of the sample before
                results[key].append(_sample(calls[key], counts[key]))
    return results


@contextmanager
def _without_old_garbage() -> Iterator[None]:
    # Otherwise each collection would go through all modules of all contenders.
    gc.freeze()
    yield
    gc.unfreeze()


def _sample(function: Callable[[], object], count: int) -> float:
    start = time.process_time()
    for _ in range(count):
        function()
    # The clock of Windows ticks every 16 ms, and may not have moved in a quick sample.
    return max(time.process_time() - start, 1e-6) * 1e6 / count
