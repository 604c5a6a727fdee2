"""Every address of the blog, grouped by audience.

An endpoint names its view: ``reader.entry`` is the function ``entry`` in ``blog/views/reader.py``,
and its page is ``templates/reader/entry.html``.
"""

from functools import lru_cache
from typing import Any

from werkzeug.routing import EndpointPrefix, Map, Rule


def get(address: str, endpoint: str, *, alias: bool = False) -> Rule:
    return Rule(address, endpoint=endpoint, methods=["GET"], alias=alias)


def post(address: str, endpoint: str) -> Rule:
    return Rule(address, endpoint=endpoint, methods=["POST"])


YEAR = "<int(fixed_digits=4, min=1, max=9998):year>"
MONTH = "<int(fixed_digits=2, min=1, max=12):month>"
FEED = "feed.<any(atom, rss, json):format>"

#: The query parameters that pages listen to; all others make no other page.
PARAMETERS = frozenset({"page", "q", "tag", "year"})

url_map = Map(
    [
        EndpointPrefix(
            "reader.",
            [
                get("/", "home"),
                get("/blog", "blog"),
                get("/blog.html", "blog", alias=True),
                get("/blog/archive", "archive"),
                get(f"/blog/{YEAR}", "year"),
                get(f"/blog/{YEAR}/{MONTH}", "month"),
                get("/blog/tags", "tags"),
                get("/blog/tag/<slug>", "tag"),
                get("/blog/series/<slug>", "series"),
                get("/blog/<slug>", "entry"),
                get("/<slug>", "page"),
            ],
        ),
        EndpointPrefix(
            "comments.",
            [
                post("/blog/<slug>/comments", "add"),
                get("/blog/<slug>/comments/<receipt>", "receipt"),
                get("/blog/<slug>/reply/<int(max=999999999):id>", "reply"),
                get("/blog/privacy", "privacy"),
            ],
        ),
        EndpointPrefix(
            "search.",
            [get("/blog/search", "results"), get("/blog/search.xml", "description")],
        ),
        EndpointPrefix(
            "feeds.",
            [
                get(f"/blog/{FEED}", "blog"),
                get(f"/blog/tag/<slug>/{FEED}", "tag"),
                get(f"/blog/<slug>/{FEED}", "comments"),
            ],
        ),
        EndpointPrefix(
            "machines.",
            [
                get("/sitemap.xml", "sitemap"),
                get("/sitemap-<int(min=1, max=50000):part>.xml", "sitemap_part"),
                get("/robots.txt", "robots"),
                get("/healthz", "healthz"),
                get("/static/<name>", "static"),
            ],
        ),
        EndpointPrefix("media.", [get("/media/<path:name>", "file")]),
    ],
    # An address with doubled slashes is another address, and has no page.
    merge_slashes=False,
    # /blog.html is answered where it is; its page names the canonical address.
    redirect_defaults=False,
)

_paths = url_map.bind("localhost")


@lru_cache(maxsize=4096)
def path_of(endpoint: str, **values: Any) -> str:
    """Return the path of a page, from where the blog is mounted.

    :param values: what the rule of `endpoint` asks for; others become the query, and None nothing.
    """
    return _paths.build(endpoint, values)
