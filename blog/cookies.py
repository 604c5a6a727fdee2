"""What browsers keep for us: names and attributes of cookies, in one place."""

from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug import Response

from blog.request import Request

#: Stands in the name of every cookie of ours.
MARK = "threadleaf"


def get(request: Request, purpose: str, *, is_in_key: bool = False) -> str:
    """Return what the visitor's browser keeps for a purpose; empty if nothing.

    :param is_in_key: no cached page is looked up for a visitor who has this cookie.
    """
    if not is_in_key:
        request.looked_at_cookies = True
    return request.our_cookie(_name(request, purpose))


def read(serializer: URLSafeSerializer, value: str) -> Any:
    """Return what was signed in the value of a cookie; None if nothing of ours was."""
    if not value:
        return None
    try:
        return serializer.loads(value)
    except BadSignature as error:
        # itsdangerous refers to the error from a frame of its traceback. The cycle would hold the
        # whole request until the garbage is collected.
        error.__traceback__ = None
        return None


def put(
    request: Request, response: Response, purpose: str, value: str, max_age: int | None = None
) -> None:
    """Let the visitor's browser keep `value`.

    :param max_age: for how many seconds; None until the browser is closed, 0 no longer.
    """
    response.set_cookie(
        _name(request, purpose),
        value,
        max_age=max_age,
        path=request.root_path or "/",
        secure=_is_https(request),
        httponly=True,
        samesite="Lax",
    )


def _name(request: Request, purpose: str) -> str:
    # A browser takes the prefix only from this very host, with https, and for all its paths.
    # https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#name-the-__host-prefix
    prefix = "__Host-" if _is_https(request) and not request.root_path else ""
    return f"{prefix}{MARK}-{purpose}"


def _is_https(request: Request) -> bool:
    return request.config.site_url.startswith("https:")
