"""Servers for tests: the standard library's, with a thread per request, and waitress."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _Server(ThreadingMixIn, WSGIServer):
    request_queue_size = 64


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def thread_per_request(application: "WSGIApplication") -> Iterator[str]:
    """Serve `application` and yield its address. Afterwards all the server's threads have ended."""
    server = make_server("127.0.0.1", 0, application, _Server, _Handler)
    loop = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    loop.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        loop.join()
        server.server_close()


@contextmanager
def waitress_threads(application: "WSGIApplication", threads: int = 8) -> Iterator[str]:
    """Serve `application` with waitress and so many threads. Afterwards they have ended."""
    waitress = pytest.importorskip("waitress", reason="needs waitress")
    sockets: dict[int, Any] = {}
    server = waitress.create_server(
        application, map=sockets, host="127.0.0.1", port=0, threads=threads
    )
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            waitress.wasyncore.loop(timeout=0.05, map=sockets, count=1)

    loop = threading.Thread(target=run)
    loop.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stop.set()
        loop.join()
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        workers = [thread for thread in threading.enumerate() if thread.name.startswith("waitress")]
        server.task_dispatcher.shutdown()
        for worker in workers:
            worker.join()
        waitress.wasyncore.close_all(sockets)
