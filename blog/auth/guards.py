"""Who may enter which section: the guards."""

from collections.abc import Callable

from blog.request import Request

Guard = Callable[[Request], None]


def anyone(request: Request) -> None:
    """Let everybody in."""


#: The guard of each section (what stands before the dot of an endpoint).
#: A section that is missing here stops the start of the application. The responses of one with
#: another guard than :func:`anyone` are private, and in no cache.
GUARDS: dict[str, Guard] = {
    "reader": anyone,
    "search": anyone,
    "comments": anyone,
    "feeds": anyone,
    "crawlers": anyone,
    "files": anyone,
    "health": anyone,
}
