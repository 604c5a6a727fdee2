"""The host names of the site, against DNS rebinding."""

from urllib.parse import urlsplit

from blog.config import Config
from blog.config.rules import is_address

#: The longest Host header, in characters: a name in DNS has 253 at most, and there is the port.
LONGEST = 300


class OwnHosts:
    """The names under which the blog answers: ``request_host in OwnHosts(config)``.

    They are the host of ``site_url``, those of ``hosts``, localhost, and every IP address: DNS
    rebinding needs a foreign name that resolves to this server. Port, case and a final dot are
    ignored, and so is a missing header.
    """

    def __init__(self, config: Config) -> None:
        own = urlsplit(config.site_url).hostname or ""
        self._names = {own, *config.hosts.lower().split(), "localhost"}
        # Headers that were accepted, as they came.
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
        # With any port, a visitor can write a name in 65,536 ways.
        if len(self._seen) < 100:
            self._seen.add(host)
        return True


def _name(host: str) -> str | None:
    """Return the name in a Host header, or None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018 - raises for what is no number
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.removesuffix(".")
