"""A message for the page that a visitor is sent to next, carried by a signed cookie."""

from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug import Response

from blog.request import Request

COOKIE = "threadleaf-flash"


def messages(request: Request) -> list[str]:
    """Return what the request before had to say."""
    try:
        found: list[str] = _serializer(request).loads(request.cookies.get(COOKIE, ""))
    except BadSignature:
        return []
    return found


def carry(request: Request, response: Response) -> None:
    """Send the messages of this request along, or forget those that its page has shown."""
    path = request.root_path or "/"
    if request.messages_to_flash:
        response.set_cookie(
            COOKIE,
            _serializer(request).dumps(request.messages_to_flash),
            path=path,
            secure=request.config.site_url.startswith("https:"),
            httponly=True,
            samesite="Lax",
        )
    elif COOKIE in request.cookies and response.mimetype == "text/html":
        response.delete_cookie(COOKIE, path=path)
        # A page with somebody's message on it is not the page that others get.
        response.headers["Cache-Control"] = "private, no-store"


def _serializer(request: Request) -> URLSafeSerializer:
    return URLSafeSerializer(request.secret, salt="flash")
