"""Names and attributes of our cookies."""

from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug import Response

from blog.request import MARK, Request


def get(request: Request, purpose: str) -> str:
    """Return the value of a cookie of ours, or "" if there is none."""
    return request.our_cookie(_name(request, purpose))


def read(serializer: URLSafeSerializer, value: str) -> Any:
    """Return the signed content of a cookie; None if it is empty or the signature is invalid."""
    if not value:
        return None
    try:
        return serializer.loads(value)
    except BadSignature as error:
        # itsdangerous refers to the error from a frame of its traceback: a cycle, which would keep
        # the whole request alive until the next garbage collection.
        error.__traceback__ = None
        return None


def put(
    request: Request, response: Response, purpose: str, value: str, max_age: int | None = None
) -> None:
    """Set a cookie.

    :param max_age: its lifetime in seconds; None for a session cookie, 0 to delete it.
    """
    response.set_cookie(
        _name(request, purpose),
        value,
        max_age=max_age,
        path=request.mount or "/",
        secure=_is_https(request),
        httponly=True,
        samesite="Lax",
    )


def _name(request: Request, purpose: str) -> str:
    # Browsers accept the prefix only from this host itself, over https, with the path "/".
    # https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
    prefix = "__Host-" if _is_https(request) and not request.mount else ""
    return f"{prefix}{MARK}-{purpose}"


def _is_https(request: Request) -> bool:
    return request.config.site_url.startswith("https:")
