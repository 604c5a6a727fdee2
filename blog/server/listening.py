"""The listening socket, and the remedies if it cannot be opened."""

import errno
import socket
import sys

#: Connections that may wait to be accepted. Beyond it, clients retry after one second, then after
#: two more. The system has its own limit, 4096 on Linux.
BACKLOG = 4096


class ServerError(Exception):
    """Cannot listen on the address. The message gives address, reason and remedy."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    :param host: an address of this machine, or a name: its first IPv4 address, or else its first.
    :param port: the TCP port; 0 lets the system choose a free one.
    :raises ServerError: it cannot listen on the address.
    """
    # Waitress can bind by itself, but it hides the reason of a failure and leaks sockets and
    # threads, and on Windows it sets SO_REUSEADDR, with which a second server takes over the port.
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ServerError(
            f"Cannot listen on {host!r}: the name has no address ({error}). "
            "Use an address of this machine, such as 127.0.0.1."
        ) from error
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise ServerError(_reason(host, port, error)) from error


def _reason(host: str, port: int, error: OSError) -> str:
    where = f"Cannot listen on port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where}: the port is in use. Stop the server that uses it, perhaps an earlier one "
            "of this blog, or choose another port."
        )
    # https://learn.microsoft.com/en-us/windows/win32/winsock/windows-sockets-error-codes-2#WSAEACCES
    if sys.platform == "win32" and error.errno == errno.EACCES:
        return (
            f"{where}: another program has the port exclusively, or Windows has reserved it "
            "(`netsh interface ipv4 show excludedportrange protocol=tcp` lists reserved ports). "
            "Choose another port."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where}: this user may not open it. Choose a port from 1024 up, and put a web server "
            "in front."
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return (
            f"{where}: this machine has no such address. Use 127.0.0.1 for connections from this "
            "machine only, or 0.0.0.0 for connections from every network."
        )
    return f"{where}: {error.strerror or error}."


def url_of(listener: socket.socket, url_prefix: str) -> str:
    host, port = listener.getsockname()[:2]
    return (
        f"http://[{host}]:{port}{url_prefix}"
        if ":" in host
        else f"http://{host}:{port}{url_prefix}"
    )
