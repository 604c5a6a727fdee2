"""JSON-LD for search engines, with the vocabulary of https://schema.org.

For the properties of an article, see
https://developers.google.com/search/docs/appearance/structured-data/article.
"""

from typing import Any

from blog.markup import first_picture
from blog.markup.titles import title_text
from blog.models import Entry, Rendering
from blog.models.nearby import Part
from blog.request import Request

Thing = dict[str, Any]


def blog(request: Request) -> Thing:
    """Describe the front page."""
    about = {"description": request.config.tagline} if request.config.tagline else {}
    return {"@context": "https://schema.org", **_blog(request), **about, **_language(request)}


def posting(request: Request, entry: Entry, shown: Rendering, part: Part | None) -> Thing:
    """Describe the page of an entry, with its breadcrumbs."""
    address = request.absolute_url_for("reader.entry", slug=entry.slug)
    picture = first_picture(shown.html, address, request.config.mount)
    headline = title_text(entry.title) or entry.timestamp.date().isoformat()
    described: Thing = {
        "@type": "BlogPosting",
        "@id": address,
        "url": address,
        "mainEntityOfPage": address,
        "headline": headline,
        "datePublished": entry.timestamp.isoformat(timespec="seconds"),
        "dateModified": entry.updated.isoformat(timespec="seconds"),
        "author": _author(request, entry),
        "isPartOf": [_blog(request), *([_series(request, part)] if part else [])],
        **_language(request),
        **({"description": shown.description} if shown.description else {}),
        **({"keywords": [tag.name for tag in entry.tags]} if entry.tags else {}),
        **({"image": picture} if picture else {}),
        **({"position": part.number} if part else {}),
    }
    way = [_step(1, request.config.title, request.absolute_url_for("reader.blog"))]
    if part:
        series = request.absolute_url_for("reader.series", slug=part.slug)
        way.append(_step(2, part.title, series))
    way.append(_step(len(way) + 1, headline, address))
    path = {"@type": "BreadcrumbList", "itemListElement": way}
    return {"@context": "https://schema.org", "@graph": [described, path]}


def _blog(request: Request) -> Thing:
    address = request.absolute_url_for("reader.blog")
    return {"@type": "Blog", "@id": address, "name": request.config.title, "url": address}


def _series(request: Request, part: Part) -> Thing:
    address = request.absolute_url_for("reader.series", slug=part.slug)
    return {"@type": "CreativeWorkSeries", "@id": address, "name": part.title, "url": address}


def _author(request: Request, entry: Entry) -> Thing:
    address = request.absolute_url_for("reader.blog")
    if name := entry.author or request.config.author:
        return {"@type": "Person", "name": name, "url": address}
    return {"@type": "Organization", "name": request.config.title, "url": address}


def _language(request: Request) -> Thing:
    return {"inLanguage": request.config.language}


def _step(position: int, name: str, address: str) -> Thing:
    return {"@type": "ListItem", "position": position, "name": name, "item": address}
