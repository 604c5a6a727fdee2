"""Guards: access control, one per section of the site."""

from collections.abc import Callable

from blog.request import Request

Guard = Callable[[Request], None]


def anyone(request: Request) -> None:
    """Allow every request."""


#: The guard of each section (the part of the endpoint before the dot).
#: The application does not start if a section is missing here. With any guard other than
#: :func:`anyone` the responses are private, and never cached.
GUARDS: dict[str, Guard] = {
    "reader": anyone,
    "search": anyone,
    "comments": anyone,
    "feeds": anyone,
    "crawlers": anyone,
    "files": anyone,
    "health": anyone,
}
