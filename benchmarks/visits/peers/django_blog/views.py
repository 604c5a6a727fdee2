"""The two pages, and the addresses of all others."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from jinja2 import Environment

from benchmarks.visits.corpus import SECRET
from benchmarks.visits.peers import appearance
from benchmarks.visits.peers.django_blog.models import Entry
from blog.forms import CommentForm
from blog.models.comment import threads
from blog.pagination import Page
from blog.templating import csrf_token
from blog.urls import url_map


def blog(request: HttpRequest) -> HttpResponse:
    """The front page."""
    number, size = int(request.GET.get("page", 1)), settings.PEER.per_page
    entries = Entry.published().select_related("shown").prefetch_related("tagged")
    found = list(entries[(number - 1) * size : number * size + 1])
    page = Page(found[:size], number, len(found) > size)
    shown = [entry.id for entry in page.items]
    others = Entry.published().filter(featured=True).exclude(id__in=shown)
    featured = list(others[:3]) if number == 1 else []
    return render(request, "reader/blog.html", {"page": page, "featured": featured})


def entry(request: HttpRequest, slug: str) -> HttpResponse:
    """The page of an entry."""
    found = Entry.published().filter(slug=slug).select_related("shown").first()
    if found is None:
        raise Http404
    comments = found.comments.filter(state="published").order_by("id")
    values = {
        "entry": found,
        "comments": list(threads(comments)),
        "accepts_comments": found.comments_open,
        "form": CommentForm(),
    }
    return render(request, "reader/entry.html", values)


def not_here(_request: HttpRequest, **_values: object) -> HttpResponse:
    """Everything else."""
    raise Http404


def url_for(endpoint: str, page: int | None = None, **values: Any) -> str:
    """Reverse an address; a page number becomes the query."""
    address = reverse(endpoint, kwargs=values)
    return f"{address}?{urlencode({'page': page})}" if page is not None else address


def environment(**options: Any) -> Environment:
    """The Jinja environment, as the option `environment` asks for it."""
    made = Environment(**options)  # noqa: S701 - Django passes autoescape
    appearance.dress(made, url_for, settings.PEER.site_url)
    return made


def context(request: Any) -> dict[str, Any]:
    """What each template gets."""
    request.root_path, request.secret = "", SECRET
    request.pages = list(Entry.visible("page").order_by("title").values_list("slug", "title"))
    # Django's own is a text, where our templates call for a function.
    return {"config": settings.PEER, "csrf_token": csrf_token}


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
