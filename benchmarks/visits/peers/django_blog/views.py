"""The two pages, and the addresses of all others."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from jinja2 import Environment

from benchmarks.visits.corpus import SECRET
from benchmarks.visits.peers import appearance
from benchmarks.visits.peers.appearance import CANDIDATES, Near, Site, most_related
from benchmarks.visits.peers.django_blog.models import Entry
from blog.templating import csrf_token
from blog.urls import url_map
from blog.views.pagination import Page


def blog(request: HttpRequest) -> HttpResponse:
    """The front page."""
    number, size = int(request.GET.get("page", 1)), settings.PEER.per_page
    entries = Entry.published().select_related("shown").prefetch_related("tagged")
    found = list(entries[(number - 1) * size : number * size + 1])
    page = Page(found[:size], number, len(found) > size)
    shown = [entry.id for entry in page.items]
    others = Entry.published().filter(featured=True).exclude(id__in=shown)
    featured = list(others[:3]) if number == 1 else []
    context = appearance.front_context(site(), page, featured)
    return render(request, "reader/blog.html", context)


def entry(request: HttpRequest, slug: str) -> HttpResponse:
    """The page of an entry."""
    entries = Entry.published().select_related("shown").prefetch_related("tagged")
    found = entries.filter(slug=slug).first()
    if found is None:
        raise Http404
    comments = found.comments.filter(state="published").order_by("id")
    context = appearance.entry_context(site(), found, list(comments), near(found))
    return render(request, "reader/entry.html", context)


def near(entry: Entry) -> Near:
    """The entries that the page of `entry` links to."""
    carriers = [
        list(Entry.published().filter(tagged=tag).values_list("id", "timestamp")[:CANDIDATES])
        for tag in entry.tags
    ]
    best = most_related(entry.id, carriers)
    known = Entry.objects.in_bulk(best)
    older = Q(timestamp__lt=entry.timestamp) | Q(timestamp=entry.timestamp, id__lt=entry.id)
    newer = Q(timestamp__gt=entry.timestamp) | Q(timestamp=entry.timestamp, id__gt=entry.id)
    return Near(
        Entry.published().filter(older).first(),
        Entry.published().filter(newer).reverse().first(),
        [known[id_] for id_ in best],
    )


def site() -> Site:
    return Site(settings.PEER, url_for)


def not_here(_request: HttpRequest, **_values: object) -> HttpResponse:
    """Respond to all other addresses."""
    raise Http404


def url_for(endpoint: str, page: int | None = None, **values: Any) -> str:
    """Reverse an address; a page number becomes the query."""
    address = reverse(endpoint, kwargs=values)
    return f"{address}?{urlencode({'page': page})}" if page is not None else address


def environment(**options: Any) -> Environment:
    """Return the Jinja environment, as the option `environment` requires."""
    made = Environment(**options)  # noqa: S701 - Django passes autoescape
    appearance.dress(made, url_for, settings.PEER.site_url)
    return made


def context(request: Any) -> dict[str, Any]:
    """Return the context of each template."""
    request.mount, request.secret, request.now = "", SECRET, timezone.now()
    request.pages = list(Entry.visible("page").order_by("title").values_list("slug", "title"))
    # Django's own is a string; our templates expect a function.
    return {"csrf_token": csrf_token}


VIEWS = {"reader.blog": blog, "reader.entry": entry}

urlpatterns = [
    path(
        appearance.translated(rule.rule, "<int:{}>", "<str:{}>").removeprefix("/"),
        VIEWS.get(rule.endpoint, not_here),
        name=rule.endpoint,
    )
    for rule in url_map.iter_rules()
    if not rule.alias
]
