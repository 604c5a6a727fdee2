"""X-Forwarded-For: used from a trusted proxy, reported from any other."""

import ipaddress
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from blog.http.client_network import address_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

_FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"


class BehindProxy:
    """A WSGI middleware, the one closest to the server.

    It reduces the X-Forwarded-For of the trusted proxy to a bare IP address: waitress 3.0 would
    read ``[2001:db8::1]:80`` as a client's name, and ``::ffff:192.0.2.1`` as ``::ffff``. The first
    X-Forwarded-For from any other peer in a private network is logged, because all visitors behind
    that proxy have its address, and share the limits on comments.

    :param application: the application to wrap.
    :param trusted_proxy: the IP address of the proxy, or "".
    :param remedy: the operator's remedy in the log; ``{peer}`` is replaced by the proxy's address.
    """

    def __init__(self, application: "WSGIApplication", trusted_proxy: str, remedy: str) -> None:
        self._application = application
        self._trusted_proxy = trusted_proxy
        self._remedy = remedy
        self._reported = False

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        forwarded = environ.get(_FORWARDED_FOR)
        if forwarded is not None:
            peer = environ.get("REMOTE_ADDR", "")
            if peer and peer == self._trusted_proxy:
                # The trusted proxy appended the last address; the client may have sent the rest.
                client = address_of(forwarded.rpartition(",")[2])
                environ[_FORWARDED_FOR] = client if client is not None else peer
            elif not self._reported and _is_private(peer):
                self._report(peer)
        return self._application(environ, start_response)

    def _report(self, peer: str) -> None:
        self._reported = True
        log.warning(
            "A request from %s has X-Forwarded-For: it came through a proxy that is not trusted, "
            "so all visitors count as one and share the limits on comments. %s",
            peer,
            self._remedy.format(peer=peer),
        )


def _is_private(peer: str) -> bool:
    address = address_of(peer)
    return address is not None and ipaddress.ip_address(address).is_private
