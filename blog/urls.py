"""Every address of the blog, grouped by audience.

An endpoint names its view: ``reader.entry`` is the function ``entry`` in ``blog/views/reader.py``,
and its page is ``templates/reader/entry.html``.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from werkzeug.exceptions import HTTPException
from werkzeug.routing import EndpointPrefix, Map, Rule


class PageRule(Rule):
    """The rule of a page.

    :param parameters: the names of the query parameters that its view reads. Others neither reach
        the view nor distinguish pages.
    """

    def __init__(self, address: str, *, parameters: Collection[str] = (), **options: Any) -> None:
        super().__init__(address, **options)
        self.parameters = frozenset(parameters)

    def get_empty_kwargs(self) -> Mapping[str, Any]:
        return {**super().get_empty_kwargs(), "parameters": self.parameters}


def get(address: str, endpoint: str, *parameters: str, alias: bool = False) -> Rule:
    options = {"endpoint": endpoint, "methods": ["GET"], "alias": alias}
    return PageRule(address, parameters=parameters, **options)


def post(address: str, endpoint: str) -> Rule:
    return Rule(address, endpoint=endpoint, methods=["POST"])


YEAR = "<int(fixed_digits=4, min=1, max=9998):year>"
MONTH = "<int(fixed_digits=2, min=1, max=12):month>"
FEED = "feed.<any(atom, rss, json):format>"

url_map = Map(
    [
        EndpointPrefix(
            "reader.",
            [
                get("/", "home"),
                get("/blog", "blog", "page"),
                get("/blog.html", "blog", "page", alias=True),
                get("/blog/archive", "archive"),
                get(f"/blog/{YEAR}", "year", "page"),
                get(f"/blog/{YEAR}/{MONTH}", "month", "page"),
                get("/blog/tags", "tags"),
                get("/blog/tag/<slug>", "tag", "page"),
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
            [
                get("/blog/search", "results", "q", "tag", "year", "page"),
                get("/blog/search.xml", "description"),
            ],
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
            "crawlers.",
            [
                get("/sitemap.xml", "sitemap"),
                get("/sitemap-<int(min=1, max=50000):part>.xml", "sitemap_part"),
                get("/robots.txt", "robots"),
            ],
        ),
        EndpointPrefix(
            "files.", [get("/media/<path:name>", "media"), get("/static/<name>", "static")]
        ),
        EndpointPrefix("health.", [get("/healthz", "healthz")]),
    ],
    # An address with doubled slashes has no page.
    merge_slashes=False,
    # /blog.html is served without a redirect; its page names the canonical address.
    redirect_defaults=False,
)

_paths = url_map.bind("localhost")

#: The query parameters that the view of each page reads.
PARAMETERS: Mapping[str, frozenset[str]] = {
    rule.endpoint: rule.parameters for rule in url_map.iter_rules() if isinstance(rule, PageRule)
}

_VALUES = {rule.endpoint: frozenset(rule.arguments) for rule in url_map.iter_rules()}

#: The characters that Werkzeug leaves as they are in a query.
_PLAIN = "!$'()*,/:;?@"

#: Pages whose path may belong to another part of a larger site.
_COMMON = {"reader.home", "reader.page"}


def address_of(base: str, endpoint: str, /, **values: Any) -> str:
    """Return the address of a page below `base`.

    :param base: the path that the blog is mounted under, or the site URL.
    :param values: the variables of the rule; others become the query, unless they are None.
    """
    own = _VALUES[endpoint]
    if values.keys() <= own:
        return base + _path(endpoint, **values)
    # Not cached: a visitor may have typed it.
    query = {n: value for n, value in values.items() if n not in own and value is not None}
    path = _path(endpoint, **{name: value for name, value in values.items() if name in own})
    return f"{base}{path}?{urlencode(query, safe=_PLAIN)}" if query else base + path


#: Returns the path of a page, from where the blog is mounted.
path_of = partial(address_of, "")


@lru_cache(maxsize=4096)
def _path(endpoint: str, **values: Any) -> str:
    return _paths.build(endpoint, values)


def endpoint_at(path: str, method: str = "GET") -> str | None:
    """Return the endpoint of a path, or None if there is none for the method.

    :param path: percent-decoded, without the path that the blog is mounted under.
    """
    try:
        endpoint, _ = _paths.match(path, method=method)
    except HTTPException:
        return None
    return str(endpoint)


def parameters_of(endpoint: str, query: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters in a query that the view of `endpoint` reads, sorted by name.

    :param query: a query string; the first value of each parameter counts.
    """
    names = PARAMETERS.get(endpoint)
    if not names:
        return ()
    pairs = reversed(parse_qsl(query, keep_blank_values=True))
    return tuple(sorted({name: value for name, value in pairs if name in names}.items()))


def mounted(address: str, mount: str) -> str:
    """Return an address in a text with the mount in front, if it is one of the blog's own.

    Authors write ``/media/tea.jpg`` wherever the blog is mounted. ``/about`` may be a page of the
    larger site, and stays.

    :param mount: the path that the blog is mounted under, as ``/journal``; may be empty.
    """
    if not mount or not address.startswith("/") or address.startswith(("//", f"{mount}/")):
        return address
    path = address.partition("#")[0].partition("?")[0]
    endpoint = endpoint_at(unquote(path))
    return address if endpoint is None or endpoint in _COMMON else mount + address
