"""The cross-site check: a form is accepted only from a page of this site.

It checks Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/) or, without that header, Origin;
and always a signed token in the form. The token is the same for all visitors on a day, so that
pages with a form can be cached and compared like any other. It proves that the form came from a
page of this site, and how old that page is. No visitor is logged in, so a forged form gains
nothing.
"""

from datetime import date, timedelta
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer
from werkzeug.exceptions import Forbidden

from blog.request import Request

FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def token(request: Request) -> str:
    """Return the token for the field :data:`FIELD` of a form."""
    return _signer(request).sign(request.now.date().isoformat()).decode()


def protect(request: Request) -> None:
    """Refuse an unsafe method unless it comes from a form of this site.

    :raises Forbidden: it comes from another site, or its token is missing or invalid.
    """
    if request.method in SAFE_METHODS:
        return
    fetch_site = request.headers.get("Sec-Fetch-Site")
    if fetch_site is None:
        same_site = _is_own_origin(request)
    else:
        same_site = fetch_site in {"same-origin", "none"}
    if not same_site:
        raise Forbidden("This form was submitted from another site.")
    if _day(request) is None:
        raise Forbidden(
            "The form's security token is missing or invalid. "
            "Go back, reload the page and try again."
        )


def age(request: Request) -> timedelta:
    """Return the age of a form that :func:`protect` has accepted, in whole days."""
    day = _day(request)
    return timedelta.max if day is None else request.now.date() - day


def _day(request: Request) -> date | None:
    """Return the day of the form's token, or None if the token is invalid."""
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
    # Not urlsplit(), which raises ValueError for some invalid values.
    return origin.partition("://")[2] in own


def _signer(request: Request) -> Signer:
    return Signer(request.secret, salt="csrf")
