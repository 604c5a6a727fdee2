"""Headers of every response."""

from blog.config import Config

_ALWAYS = {
    # No script may run, so connect-src matters to Lighthouse only: its fetch of robots.txt in
    # Chromium is subject to the page's policy.
    "Content-Security-Policy": (
        "default-src 'none'; connect-src 'self'; style-src 'self'; "
        "img-src 'self' https: http: data:; media-src 'self' https:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # For browsers without support for frame-ancestors.
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}

#: A year in seconds, https://www.rfc-editor.org/rfc/rfc6797#section-6.1. Without
#: includeSubDomains: subdomains may not have https.
_HTTPS_ONLY = "max-age=31536000"


def security_headers(config: Config) -> dict[str, str]:
    """Return the headers of every response, unless its view sets them itself."""
    if config.site_url.startswith("https:"):
        return _ALWAYS | {"Strict-Transport-Security": _HTTPS_ONLY}
    return _ALWAYS
