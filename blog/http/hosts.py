"""The host names of the site, against DNS rebinding."""

from urllib.parse import urlsplit

from blog.config import Config
from blog.config.rules import is_address

#: The longest Host header, in characters: a DNS name has 253 at most, followed by the port.
LONGEST = 300


class OwnHosts:
    """The host names that the blog answers to: ``request_host in OwnHosts(config)``.

    They are the host of ``site_url``, those in ``hosts``, localhost, and every IP address: DNS
    rebinding needs a foreign name that resolves to this server. Port, case and a final dot are
    ignored. A missing header is accepted.
    """

    def __init__(self, config: Config) -> None:
        own = urlsplit(config.site_url).hostname or ""
        self._names = {own, *config.hosts.lower().split(), "localhost"}
        # Accepted headers, verbatim.
        self._seen = {""}

    def __contains__(self, host: str) -> bool:
        if host in self._seen:
            return True
        # urlsplit() caches its arguments.
        if len(host) > LONGEST:
            return False
        name = _name(host)
        if name is None or not (name in self._names or is_address(name)):
            return False
        # Bounded, because a client can combine a name with 65,536 ports.
        if len(self._seen) < 100:
            self._seen.add(host)
        return True


def _name(host: str) -> str | None:
    """Return the name in a Host header, or None if the header is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises for an invalid port
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.removesuffix(".")
