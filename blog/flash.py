"""A message for the page that a visitor is sent to next, carried by a signed cookie."""

from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug import Response

from blog import cookies
from blog.request import Request

PURPOSE = "flash"

#: Stands in the Cookie header of everybody who has a message.
COOKIE = f"{cookies.MARK}-{PURPOSE}"


def messages(request: Request) -> list[str]:
    """Return what the request before had to say."""
    try:
        found: list[str] = _serializer(request).loads(cookies.get(request, PURPOSE))
    except BadSignature:
        return []
    return found


def carry(request: Request, response: Response) -> None:
    """Send the messages of this request along, or forget those that its page has shown."""
    if request.messages_to_flash:
        message = _serializer(request).dumps(request.messages_to_flash)
        cookies.put(request, response, PURPOSE, str(message))
    elif cookies.get(request, PURPOSE) and response.mimetype == "text/html":
        cookies.put(request, response, PURPOSE, "", max_age=0)
        # A page with somebody's message on it is not the page that others get.
        response.headers["Cache-Control"] = "private, no-store"


def _serializer(request: Request) -> URLSafeSerializer:
    return URLSafeSerializer(request.secret, salt="flash")
