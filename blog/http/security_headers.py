"""Headers of every response."""

from werkzeug.datastructures import Headers

from blog.config import Config

_ALWAYS = {
    # No script runs that could connect to anything, but Chromium loads robots.txt in the page's
    # name for those who audit it.
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; style-src 'self'; "
        "img-src 'self' https: http: data:; media-src 'self' https:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # For browsers that do not know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}

#: A year in seconds, https://www.rfc-editor.org/rfc/rfc6797#section-6.1. Other hosts below the
#: site's name may not have https.
_HTTPS_ONLY = "max-age=31536000"


def secure(headers: Headers, config: Config) -> None:
    """Add what keeps a response from being used for what it is not meant for.

    What a view has set itself stays.
    """
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    if config.site_url.startswith("https:"):
        headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)
