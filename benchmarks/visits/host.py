"""A server process of one contender: `python -m benchmarks.visits.host NAME FILE THREADS`.

The first line that it prints is its address.
"""

import logging
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.request import urlopen

from waitress import create_server

from benchmarks.visits import corpus, peers
from benchmarks.visits.calls import CACHED, PAGES, UNCACHED, call
from blog.application import Blog, create_app
from blog.comments import spam
from blog.config import Config
from blog.http.page_cache import Finish
from blog.server import listen, serve
from blog.server.limits import Limits

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CEILING = "constant bytes"

#: The path of the number of GET requests that the page cache has passed on.
RENDERED = "/benchmark/rendered"


class CountingBlog(Blog):
    """Ours, with a count of the GET requests that the page cache passes on."""

    def __init__(self, config: Config) -> None:
        made = create_app(config)
        super().__init__(config, made.engine, made.secret)
        self._rendered = 0
        self._lock = Lock()

    def serve(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        finish: Finish,
        failure: Exception | None = None,
    ) -> Iterable[bytes]:
        """Count, and respond."""
        if environ["PATH_INFO"] == RENDERED:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"%d" % self._rendered]
        if environ["REQUEST_METHOD"] == "GET":
            with self._lock:
                self._rendered += 1
        return super().serve(environ, start_response, finish, failure)


def rendered(url: str) -> int:
    """Return the number of GET requests that the page cache of ours has passed on."""
    with urlopen(url + RENDERED, timeout=60) as response:  # noqa: S310 - our own server
        return int(response.read())


def constant(pages: dict[str, bytes]) -> "WSGIApplication":
    """Return an application that only sends finished pages."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        page = pages[environ["PATH_INFO"]]
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(page)))]
        start_response("200 OK", headers)
        return [page]

    return application


def announce(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def main(name: str, file: Path, threads: int) -> None:
    """Serve until this process is ended."""
    # Waitress warns of each request that has to wait for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    config = corpus.configuration(file, threads=threads)
    if name in {CACHED, UNCACHED}:
        if name == UNCACHED:
            config = replace(config, page_cache=0)
        # A run takes seconds, and the filter's limit per hour would hold most of its comments. All
        # other checks of a comment stay.
        spam.COMMENTS_AN_HOUR = sys.maxsize
        # As `threadleaf serve` does.
        serve(
            CountingBlog(config),
            listen("127.0.0.1", 0),
            Limits.of(config),
            threads=threads,
            trusted_proxy=config.trusted_proxy,
            on_ready=announce,
        )
        return
    if name == CEILING:
        ours = create_app(config)
        application = constant({address: call(ours, address)() for address in PAGES.values()})
    else:
        application = peers.application(name, config)
    server = create_server(application, host="127.0.0.1", port=0, threads=threads)
    announce(f"http://127.0.0.1:{server.effective_port}")
    server.run()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
