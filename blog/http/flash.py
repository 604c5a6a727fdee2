"""Flashed messages for the page after a redirect, in a signed cookie."""

from itsdangerous import URLSafeSerializer
from werkzeug import Response

from blog.http import cookies
from blog.request import Request

PURPOSE = "flash"


def messages(request: Request) -> list[str]:
    """Return the messages of the previous request."""
    found: list[str] | None = cookies.read(_serializer(request), _cookie(request))
    return found or []


def carry(request: Request, response: Response) -> None:
    """Store the messages of this request in the cookie, or delete those that have been shown."""
    if request.messages_to_flash:
        message = _serializer(request).dumps(request.messages_to_flash)
        cookies.put(request, response, PURPOSE, str(message))
    elif _cookie(request) and response.mimetype == "text/html":
        cookies.put(request, response, PURPOSE, "", max_age=0)


def _cookie(request: Request) -> str:
    return cookies.get(request, PURPOSE)


def _serializer(request: Request) -> URLSafeSerializer:
    return URLSafeSerializer(request.secret, salt="flash")
