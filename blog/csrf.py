"""The cross-site check: a form is taken only from a page of this site.

First by what the browser says of the request itself (Fetch Metadata, https://www.w3.org/TR/fetch-metadata/),
then by its Origin, and always by a signed token in the form. The token is the same for all
visitors, so that pages with a form can be kept and compared like any other; what it proves is that
the form came from a page of ours. It gives nobody anything, because no visitor is logged in.
"""

from urllib.parse import urlsplit

from itsdangerous import Signer
from werkzeug.exceptions import Forbidden

from blog.request import Request

FIELD = "csrf_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def token(request: Request) -> str:
    """Return what a form of this site carries in its field :data:`FIELD`."""
    return _signer(request).get_signature(FIELD).decode()


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
    if not _signer(request).verify_signature(FIELD, request.form.get(FIELD, "")):
        raise Forbidden("The form has no valid token. Open the page again, and send it from there.")


def _is_own_origin(request: Request) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    own = {urlsplit(request.config.site_url).netloc, request.environ.get("HTTP_HOST")}
    return urlsplit(origin).netloc in own


def _signer(request: Request) -> Signer:
    return Signer(request.secret, salt="csrf")
