"""Reverse proxies: the client's address, and the log line for an untrusted one.

A socket that sends X-Forwarded-For acts as the proxy.
"""

import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from blog.http.client_network import address_of, network_of
from tests.processes import PATIENCE, THREADLEAF, Server, environment, start
from tests.test_cli import done

#: Responds with REMOTE_ADDR and the remaining header, as the server passes them on.
ECHO = """
import sys
from blog.config import Config
from blog.operations.logs import log_to_stderr
from blog.server import listen, serve
from blog.server.limits import Limits

def application(environ, start_response):
    seen = environ["REMOTE_ADDR"], environ.get("HTTP_X_FORWARDED_FOR", "nothing")
    body = " ".join(seen).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

log_to_stderr("%(message)s")
serve(application, listen("127.0.0.1", 0), Limits.of(Config()), trusted_proxy=sys.argv[1] or None,
      on_ready=lambda url: print(url, flush=True))
"""


def echo(trusted_proxy: str) -> Server:
    return Server(start([sys.executable, "-c", ECHO, trusted_proxy]))


def forward(url: str, forwarded: str, path: str = "/") -> str:
    """Return the body of the response to a request forwarded for `forwarded`."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    connection.request("GET", path, headers={"X-Forwarded-For": forwarded})
    with connection.getresponse() as response:
        body = response.read().decode()
    connection.close()
    return body


#: A client as proxies write it, and its IP address.
CLIENTS = [
    ("203.0.113.7", "203.0.113.7"),
    ("203.0.113.7:50000", "203.0.113.7"),
    ("2001:db8::1", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:db8::1]:80", "2001:db8::1"),
    ('"[2001:db8::1]:80"', "2001:db8::1"),
    ("2001:DB8:0:0::1", "2001:db8::1"),
    ("::ffff:1.2.3.9", "1.2.3.9"),
    ("[::ffff:1.2.3.9]:80", "1.2.3.9"),
    ("64:ff9b::1.2.3.9", "64:ff9b::102:309"),
    ("fe80::1%eth0.1", "fe80::1"),
]

#: Not the address of a client: the request counts as the proxy's own.
STRANGE = ["unknown", "_hidden", "", ":80", "[", "]:", "a:b:c.", "1.2.3", "x" * 5000]


def test_ip_address_notations() -> None:
    with echo("127.0.0.1") as server:
        for written, address in CLIENTS:
            # Addresses before the last one come from the client.
            for chain in (written, f"192.0.2.66, {written}", f"nonsense,{written}"):
                assert forward(server.url, chain).split()[0] == address, chain
        for written in STRANGE:
            assert forward(server.url, written).split()[0] == "127.0.0.1", written
        server.stop()
        assert server.ended()[2] == ""


@pytest.mark.parametrize("trusted_proxy", ["", "192.0.2.1", "::1"])
def test_untrusted_proxy_is_logged_once(trusted_proxy: str) -> None:
    with echo(trusted_proxy) as server:
        for _ in range(3):
            assert forward(server.url, "203.0.113.7") == "127.0.0.1 nothing"
        server.stop()
        logged = server.ended()[2]
    assert logged.count("\n") == 1
    assert logged.startswith("A request from 127.0.0.1 has X-Forwarded-For: ")
    assert 'Set trusted_proxy = "127.0.0.1" in the settings.' in logged


def test_serve_reports_untrusted_proxy(tmp_path: Path) -> None:
    done(tmp_path, "init", "blog")
    said: list[str] = []
    for trusted_proxy in ("", "127.0.0.1"):
        settings = {
            "THREADLEAF_SITE_URL": "https://blog.example",
            "THREADLEAF_TRUSTED_PROXY": trusted_proxy,
        }
        command = [*THREADLEAF, "serve", "--port", 0]
        with Server(start(command, tmp_path / "blog", environment(**settings))) as server:
            for path in ("/blog", "/blog", "/blog/tags"):
                forward(server.url, "203.0.113.7", path)
            server.stop()
            said.append(server.ended()[2])
    at_start, at_request = said[0].splitlines()
    assert "Set trusted_proxy to the address of the proxy" in at_start
    assert 'Set trusted_proxy = "127.0.0.1"' in at_request
    assert said[1] == ""


@pytest.mark.parametrize(("written", "address"), CLIENTS)
def test_address_and_network(written: str, address: str) -> None:
    assert address_of(written) == address
    assert network_of(written) == network_of(address)


@pytest.mark.parametrize("written", STRANGE)
def test_invalid_address_is_own_network(written: str) -> None:
    assert address_of(written) is None
    assert network_of(written) == written
