"""The sitemap and ``robots.txt``."""

from collections.abc import Iterator
from datetime import datetime
from xml.sax.saxutils import escape

from sqlalchemy import Select, func, select
from werkzeug import Response
from werkzeug.exceptions import NotFound

from blog.feeds.documents import rfc3339
from blog.models import Entry, Series
from blog.request import Request

#: The most entries in one sitemap file: 50,000 addresses are allowed, and the first file has the
#: front page and the series, too (https://www.sitemaps.org/protocol.html).
SITEMAP_SIZE = 49_000

NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


def sitemap(request: Request) -> Response:
    """All addresses, or an index of sitemap files if they do not fit into one."""
    number = request.db.scalar(select(func.count()).select_from(listed(request).subquery())) or 0
    if number <= SITEMAP_SIZE:
        return sitemap_part(request, 1)
    parts = range(1, (number - 1) // SITEMAP_SIZE + 2)
    addresses = [request.absolute_url_for("crawlers.sitemap_part", part=part) for part in parts]
    return document(
        "sitemapindex", [f"<sitemap><loc>{escape(a)}</loc></sitemap>" for a in addresses]
    )


def sitemap_part(request: Request, part: int) -> Response:
    """The addresses of one file of the sitemap, with front page and series in the first."""
    statement = listed(request).limit(SITEMAP_SIZE).offset((part - 1) * SITEMAP_SIZE)
    rows = request.db.execute(statement).all()
    if not rows and part > 1:
        raise NotFound(f"The sitemap has no part {part}.")
    addresses = [location(request, *row) for row in rows]
    return document("urlset", [*front(request), *addresses] if part == 1 else addresses)


def front(request: Request) -> Iterator[str]:
    """Yield what comes before the entries: the front page and the series."""
    yield f"<url><loc>{escape(request.absolute_url_for('reader.blog'))}</loc></url>"
    series = Series.begun(request.now).limit(50_000 - SITEMAP_SIZE - 1)
    for slug, updated in request.db.execute(series):
        yield location(request, "series", slug, updated)


def listed(request: Request) -> "Select[str, str, datetime]":
    """Select kind, slug and last change of each visible entry and page."""
    return (
        select(Entry.kind, Entry.slug, Entry.updated)
        .where(Entry.is_visible(request.now))
        .order_by(Entry.timestamp, Entry.id)
    )


def location(request: Request, page: str, slug: str, updated: datetime) -> str:
    address = escape(request.absolute_url_for(f"reader.{page}", slug=slug))
    return f"<url><loc>{address}</loc><lastmod>{rfc3339(updated)}</lastmod></url>"


def document(root: str, parts: list[str]) -> Response:
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<{root} xmlns="{NAMESPACE}">', *parts]
    return Response("\n".join([*lines, f"</{root}>\n"]), mimetype="application/xml")


def robots(request: Request) -> Response:
    """Allow everything, and name the sitemap."""
    sitemap_address = request.absolute_url_for("crawlers.sitemap")
    return Response(
        f"User-agent: *\nDisallow:\n\nSitemap: {sitemap_address}\n", mimetype="text/plain"
    )
