"""The server as a separate process: responses to real clients, and shutdown."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from blog.server import MAX_BODY, ServerError, listen
from tests import processes
from tests.processes import PATIENCE, STOP, WINE

pytestmark = pytest.mark.timeout(40)

SCRIPT = """
import json, os, signal, sys, threading, time
from blog.server import ServerError, listen, serve
from blog.server.limits import Limits

LARGE = bytes(range(256)) * 32768  # 8 MiB


class Endless:
    def __iter__(self):
        while True:
            yield LARGE

    def close(self):
        print("closed", flush=True)


def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    sent = environ["wsgi.input"].read()
    body = b"hello"
    if path == "/slow":
        print("began", flush=True)
        released.wait(float(query))
        body = b"finished"
    elif path == "/gone":
        print("began", flush=True)
        time.sleep(1)
        print("committed", flush=True)
    elif path == "/large":
        body = LARGE
    elif path == "/page":
        body = bytes(int(query))
    elif path == "/length":
        body = str(len(sent)).encode()
    elif path == "/environ":
        names = "REMOTE_ADDR", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST", "wsgi.url_scheme"
        body = json.dumps({name: environ[name] for name in names}).encode()
    elif path == "/endless":
        start_response("200 OK", [("Content-Length", str(len(LARGE) * 100))])
        return Endless()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def ready(url):
    print(url, flush=True)


def obey():
    for line in sys.stdin:
        if line == "release\\n":
            released.set()
        else:
            signal.raise_signal(int(line))


released = threading.Event()


threading.Thread(target=obey, daemon=True).start()
options = json.loads(sys.argv[1])
host, port = options.pop("host"), options.pop("port")
limits = Limits(**{"connections": 500, "idle": 60, "head": 20, "body": 60, "send": 60,
                   **options.pop("limits", {})})
if options.pop("in_thread", False):
    options["on_ready"] = ready
    arguments = application, listen(host, port), limits
    thread = threading.Thread(target=serve, args=arguments, kwargs=options)
    thread.start()
    thread.join()
if options.pop("as_nobody", False) and os.getuid() == 0:
    "".encode("idna")  # what resolving a name imports, while it can still be read
    os.setuid(65534)
before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
try:
    serve(application, listen(host, port), limits, **options, on_ready=ready)
except ServerError as error:
    sys.exit(f"{error}")
if before != (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)):
    sys.exit("the previous signal handlers are not back")
print("returned", flush=True)
"""


class Server(processes.Server):
    """A server process and its clients."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__(process)
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = parts.hostname, parts.port

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE)

    def send(self, path: str, headers: str = "") -> socket.socket:
        client = self.connect()
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: blog\r\n{headers}\r\n".encode())
        return client

    def stop(self, number: int = STOP) -> float:
        if not WINE:
            return super().stop(number)
        # wine delivers no console events, so the process raises the signal itself.
        before = time.monotonic()
        self._tell(f"{number}")
        return before

    def drain(self, number: int = STOP) -> None:
        """Send a signal; return once new connections are refused."""
        self.stop(number)
        while not self._refuses():
            time.sleep(0.01)

    def release(self) -> None:
        """Let the slow requests continue."""
        self._tell("release")

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def _refuses(self) -> bool:
        """Whether a connection is refused."""
        try:
            self.connect().close()
        except ConnectionError:
            return True
        return False


def answer(client: socket.socket) -> tuple[http.client.HTTPResponse, bytes]:
    response = http.client.HTTPResponse(client)
    response.begin()
    with response:
        return response, response.read()


def run(script: Path, options: dict[str, Any]) -> "subprocess.Popen[str]":
    return processes.start([sys.executable, "-W", "error", script, json.dumps(options)])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


Start = Callable[..., Server]


@pytest.fixture
def start(script: Path) -> Iterator[Start]:
    with ExitStack() as running:
        yield lambda **options: running.enter_context(
            Server(run(script, {"host": "127.0.0.1", "port": 0, **options}))
        )


# Serving


def test_port_0_is_announced(start: Start) -> None:
    server = start()
    assert server.address[1] != 0
    with server.send("/") as client:
        response, body = answer(client)
    assert (response.status, body) == (200, b"hello")
    assert response.headers["Server"] is None


@pytest.mark.parametrize("size", [0, 500, 10_000])
def test_head_and_body_are_sent_together(start: Start, size: int) -> None:
    server = start()
    with server.connect() as client:
        for _ in range(20):
            client.sendall(f"GET /page?{size} HTTP/1.1\r\nHost: blog\r\n\r\n".encode())
            head, _, body = client.recv(1 << 16).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert len(body) == size


def test_ipv6(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    server = start(host="::1")
    assert server.url.startswith("http://[::1]:")
    with server.send("/environ") as client:
        assert json.loads(answer(client)[1])["REMOTE_ADDR"] == "::1"


def test_url_prefix(start: Start) -> None:
    server = start(url_prefix="/journal")
    assert server.url.endswith("/journal")
    with server.send("/journal/environ") as client:
        environ = json.loads(answer(client)[1])
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/journal", "/environ")


FORWARDED = (
    "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org\r\n"
)


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [
        (None, ("127.0.0.1", "http", "blog")),
        ("192.0.2.1", ("127.0.0.1", "http", "blog")),
        ("127.0.0.1", ("203.0.113.7", "https", "example.org")),
    ],
)
def test_only_trusted_proxy_is_believed(
    start: Start, trusted: str | None, seen: tuple[str, str, str]
) -> None:
    server = start(trusted_proxy=trusted)
    with server.send("/environ", FORWARDED) as client:
        environ = json.loads(answer(client)[1])
    assert seen == (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], environ["HTTP_HOST"])


def test_body_over_limit_is_refused(start: Start) -> None:
    with start().send("/length", f"Content-Length: {MAX_BODY + 1}\r\n") as client:
        assert answer(client)[0].status == 413


def test_serve_outside_main_thread(start: Start) -> None:
    server = start(in_thread=True)
    with server.send("/") as client:
        assert answer(client)[0].status == 200
    if os.name == "posix":
        server.stop()
        assert server.ended()[0] == -signal.SIGTERM


# Failing to start


def test_used_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServerError) as caught:
            listen("127.0.0.1", port)
    assert str(caught.value) == (
        f"Cannot listen on port {port} of 127.0.0.1: the port is in use. Stop the server that "
        "uses it, perhaps an earlier one of this blog, or choose another port."
    )


def test_second_server_cannot_share_port(start: Start, script: Path) -> None:
    host, port = start().address
    second = run(script, {"host": host, "port": port})
    printed, said = second.communicate(timeout=PATIENCE)
    assert (second.returncode, printed) == (1, "")
    assert "the port is in use" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "Cannot listen on port 0 of 192.0.2.1: this machine has no such address"),
        (
            "no-such-host.invalid",
            "Cannot listen on 'no-such-host.invalid': the name has no address",
        ),
        ("a..b", "Cannot listen on 'a..b': the name has no address"),
    ],
)
def test_unknown_bind_host_is_reported(host: str, reason: str) -> None:
    with pytest.raises(ServerError) as caught:
        listen(host, 0)
    assert str(caught.value).startswith(reason)


@pytest.mark.skipif(sys.platform != "linux", reason="rules for low ports differ between systems")
def test_privileged_port_is_reported(script: Path) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 7:
        pytest.skip("this machine has no privileged ports")
    process = run(script, {"host": "127.0.0.1", "port": 7, "as_nobody": True})
    printed, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (1, "")
    assert said.startswith("Cannot listen on port 7 of 127.0.0.1: this user may not open it.")


# Stopping


@pytest.mark.parametrize(
    "name", ["SIGTERM", "SIGINT", "SIGHUP"] if os.name == "posix" else ["SIGBREAK"]
)
def test_drain_finishes_running_request(start: Start, name: str) -> None:
    server = start()
    with server.send(f"/slow?{PATIENCE}") as client:
        assert server.line() == "began"
        server.drain(getattr(signal, name))
        server.release()
        response, body = answer(client)
        assert (response.status, body) == (200, b"finished")
        assert response.headers["Connection"] == "close"
    assert server.ended()[:2] == (0, "returned\n")


def test_drain_finishes_queued_requests(start: Start) -> None:
    server = start(threads=1)
    clients = [server.send(f"/slow?{PATIENCE}") for _ in range(4)]
    assert server.line() == "began"
    server.drain()
    server.release()
    assert [answer(client)[1] for client in clients] == [b"finished"] * 4
    for client in clients:
        client.close()
    assert server.ended()[0] == 0


def test_drain_finishes_pipelined_requests(start: Start) -> None:
    server = start()
    with server.send(f"/slow?{PATIENCE}") as client:
        client.sendall(b"GET /length HTTP/1.1\r\nHost: blog\r\n\r\n")
        assert server.line() == "began"
        server.drain()
        server.release()
        received = b""
        while data := client.recv(4096):
            received += data
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert server.ended()[0] == 0


def test_drain_finishes_arriving_request(start: Start) -> None:
    server = start()
    with server.send("/length", "Content-Length: 2000\r\n") as client:
        client.sendall(b"x" * 1000)
        time.sleep(0.2)
        server.stop()
        time.sleep(1)
        client.sendall(b"x" * 1000)
        assert answer(client)[1] == b"2000"
    assert server.ended()[0] == 0


def test_drain_finishes_slow_reader(start: Start) -> None:
    server = start()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(PATIENCE)
        client.connect(server.address)
        client.sendall(b"GET /large HTTP/1.1\r\nHost: blog\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        with response:
            body = bytearray(response.read(65536))
            server.stop()
            while data := response.read(65536):
                body += data
                time.sleep(0.01)
    assert body == bytes(range(256)) * 32768
    assert server.ended()[:2] == (0, "returned\n")


def test_work_outlives_its_client(start: Start) -> None:
    server = start()
    with server.send("/gone"):
        assert server.line() == "began"
    server.stop()
    code, printed, _ = server.ended()
    assert (code, printed) == (0, "committed\nreturned\n")


def test_drain_waits_for_partial_head(start: Start) -> None:
    server = start()
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHo")
        time.sleep(0.2)
        server.stop()
        client.sendall(b"st: blog\r\n\r\n")
        assert answer(client)[1] == b"hello"
    assert server.ended()[0] == 0


def test_drain_drops_late_head(start: Start) -> None:
    server = start()
    with server.connect() as half, server.send("/length", "Content-Length: 9\r\n") as body:
        half.sendall(b"GET /blog HT")
        time.sleep(0.2)
        stopped = server.stop()
        assert half.recv(1) == b""
        body.sendall(b"unhurried")
        assert answer(body)[1] == b"9"
        assert server.ended()[:2] == (0, "returned\n")
    assert time.monotonic() - stopped < 15


def test_drain_ignores_idle_connections(start: Start) -> None:
    server = start()
    with server.connect() as silent, server.send("/") as kept:
        assert answer(kept)[1] == b"hello"
        stopped = server.stop()
        assert silent.recv(1) == b""
        assert kept.recv(1) == b""
        assert server.ended()[:2] == (0, "returned\n")
    assert time.monotonic() - stopped < 15


def test_drain_refuses_new_connections(start: Start) -> None:
    server = start()
    with server.send(f"/slow?{PATIENCE}") as client:
        assert server.line() == "began"
        server.drain()
        assert server.process.poll() is None
        server.release()
        assert answer(client)[1] == b"finished"
    assert server.ended()[0] == 0


def test_second_signal_ends_at_once(start: Start) -> None:
    server = start()
    with server.send("/slow?30"), server.send("/endless") as unread:
        assert server.line() == "began"
        unread.recv(1)
        server.drain()
        time.sleep(0.8)  # earlier, it would count as an echo of the first
        assert server.process.poll() is None
        again = server.stop()
        code, printed, logged = server.ended()
    assert time.monotonic() - again < 15
    # The unread response was closed, too, with its resources.
    assert (code, printed) == (0, "closed\nreturned\n")
    assert "Stopped with 2 connections unfinished on a second signal" in logged


def test_drain_gives_up_unread_response(start: Start) -> None:
    server = start(drain_seconds=1)
    with server.send("/large") as client:
        client.recv(1)
        stopped = server.stop()
        code, _, logged = server.ended()
    assert 1 <= time.monotonic() - stopped < 15
    assert code == 0
    assert "Stopped with 1 connections unfinished after 1 seconds" in logged


if sys.platform != "win32":

    def test_drain_serves_kernel_backlog(start: Start) -> None:
        server = start()
        server.process.send_signal(signal.SIGSTOP)
        clients = [server.send("/") for _ in range(5)]
        server.stop()
        server.process.send_signal(signal.SIGCONT)
        assert [answer(client)[1] for client in clients] == [b"hello"] * 5
        for client in clients:
            client.close()
        assert server.ended()[0] == 0

    def test_ignored_hangup_stays_ignored(start: Start, script: Path) -> None:
        options = json.dumps({"host": "127.0.0.1", "port": 0})
        with Server(processes.start(["nohup", sys.executable, script, options])) as server:
            server.stop(signal.SIGHUP)
            with server.send("/slow?1.2") as client:
                assert answer(client)[1] == b"finished"
            server.stop()
            assert server.ended()[0] == 0

    def test_repeated_signal_is_one_signal(start: Start) -> None:
        server = start()
        with server.send("/slow?1.2") as client:
            assert server.line() == "began"
            # Sent at the same time, however busy the machine is.
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
                server.process.send_signal(number)
            assert answer(client)[1] == b"finished"
        assert server.ended()[0] == 0
