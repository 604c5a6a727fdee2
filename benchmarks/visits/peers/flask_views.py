"""The pages in Flask, for both peers that use it.

https://flask.palletsprojects.com/en/stable/quickstart/
"""

from datetime import UTC, datetime
from typing import Any, Protocol

from flask import Flask, Request, abort, redirect, render_template, request, url_for
from werkzeug import Response

from benchmarks.visits.corpus import SECRET
from benchmarks.visits.peers import appearance
from benchmarks.visits.peers.appearance import Near, Site
from blog.config import Config
from blog.urls import url_map
from blog.views.pagination import Page


class Queries(Protocol):
    """The queries of the two peers."""

    def front(self, number: int) -> Page[Any]: ...
    def featured(self, shown: list[int]) -> list[Any]: ...
    def pages(self) -> list[Any]: ...
    def entry(self, slug: str) -> Any | None: ...
    def near(self, entry: Any) -> Near: ...
    def add_comment(self, entry: Any, text: str, name: str) -> int: ...


def make(config: Config, queries: Queries) -> Flask:
    """Make the application."""
    app = Flask(__name__, template_folder=appearance.FOLDERS[-1], static_folder=None)

    class PeerRequest(Request):
        mount = ""
        secret = SECRET

        @property
        def now(self) -> datetime:
            return datetime.now(UTC)

        @property
        def pages(self) -> list[Any]:
            return [(page.slug, page.title) for page in queries.pages()]

    app.request_class = PeerRequest
    site = Site(config, url_for)
    appearance.dress(app.jinja_env, url_for, config.site_url)

    def blog() -> str:
        page = queries.front(int(request.args.get("page", 1)))
        featured = queries.featured([entry.id for entry in page.items]) if page.number == 1 else []
        context = appearance.front_context(site, page, featured)
        return render_template("reader/blog.html", **context)

    def entry(slug: str) -> str:
        found = queries.entry(slug) or abort(404)
        comments = [comment for comment in found.comments if comment.state == "published"]
        context = appearance.entry_context(site, found, comments, queries.near(found))
        return render_template("reader/entry.html", **context)

    def add(slug: str) -> Response:
        found = queries.entry(slug) or abort(404)
        number = queries.add_comment(found, request.form["text"], request.form["name"])
        return redirect(url_for("reader.entry", slug=slug, _anchor=f"comment-{number}"), 303)

    views: dict[str, Any] = {"reader.blog": blog, "reader.entry": entry, "comments.add": add}
    for rule in url_map.iter_rules():
        view = views.get(rule.endpoint, not_here)
        app.add_url_rule(rule.rule, rule.endpoint, view, methods=rule.methods, alias=rule.alias)
    return app


def not_here(**_values: object) -> None:
    abort(404)
