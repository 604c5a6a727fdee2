"""A server process of one contender: `python -m benchmarks.visits.host NAME FILE THREADS`.

The first line that it prints is its address.
"""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from waitress import create_server

from benchmarks.visits import corpus, peers
from benchmarks.visits.calls import KEPT, MADE, PAGES, call
from blog.application import create_app
from blog.server import listen, serve
from blog.server.limits import Limits

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CEILING = "constant bytes"


def constant(pages: dict[str, bytes]) -> "WSGIApplication":
    """Return what does nothing but to send finished pages."""

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
    """Serve until somebody ends this process."""
    # Waitress warns of each request that has to wait for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    config = corpus.configuration(file)
    if name in {KEPT, MADE}:
        if name == MADE:
            config = corpus.configuration(file, page_cache=0)
        # As `threadleaf serve` does.
        serve(
            create_app(config),
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
