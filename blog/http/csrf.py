"""The cross-site check: a form is taken only from a page of this site.

First by what the browser says of the request itself (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/),
then by its Origin, and always by a signed token in the form. The token is the same for all
visitors of a day, so that pages with a form can be kept and compared like any other; what it proves
is that the form came from a page of ours, and how old that is. It gives nobody anything, because no
visitor is logged in.
"""

from datetime import date, timedelta
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer
from werkzeug.exceptions import Forbidden

from blog.request import Request

FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def token(request: Request) -> str:
    """Return what a form of this site carries in its field :data:`FIELD`."""
    return _signer(request).sign(request.now.date().isoformat()).decode()


def protect(request: Request) -> None:
    """Let an unsafe method through only when it comes from a form of this site.

    :raises Forbidden: it comes from another site, or its token is missing or false.
    """
    if request.method in SAFE_METHODS:
        return
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is None:
        same_site = _is_own_origin(request)
    else:
        same_site = fetch_site in {"same-origin", "none"}
    if not same_site:
        raise Forbidden("The form was sent from a page of another site.")
    if _day(request) is None:
        raise Forbidden("The form has no valid token. Open the page again, and send it from there.")


def age(request: Request) -> timedelta:
    """Return the age of a form that :func:`protect` has let through, in whole days."""
    day = _day(request)
    return timedelta.max if day is None else request.now.date() - day


def _day(request: Request) -> date | None:
    """Return when the page with the form was made, or None if its token is false."""
    try:
        signed = _signer(request).unsign(request.form.get(FIELD, ""))
        return date.fromisoformat(signed.decode())
    except (BadSignature, ValueError):
        return None


def _is_own_origin(request: Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    own = {urlsplit(request.config.site_url).netloc, request.environ.get("HTTP_HOST")}
    # Not urlsplit, which raises for what is none.
    return origin.partition("://")[2] in own


def _signer(request: Request) -> Signer:
    return Signer(request.secret, salt="csrf")
