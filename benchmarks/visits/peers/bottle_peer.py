"""Bottle with sqlite3, and a connection for each request.

https://bottlepy.org/docs/stable/tutorial_app.html, with Jinja as in
https://bottlepy.org/docs/stable/stpl.html and https://bottlepy.org/docs/stable/api.html
"""

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bottle import Bottle, HTTPError, jinja2_template, request
from sqlalchemy import make_url

from benchmarks.visits.corpus import SECRET
from benchmarks.visits.peers import appearance, rows
from blog.config import Config
from blog.urls import url_map

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def application(config: Config) -> "WSGIApplication":
    """Make the application."""
    file = make_url(config.database).database or ""
    app: Any = Bottle()

    def url_for(endpoint: str, **values: Any) -> str:
        given = {name: value for name, value in values.items() if value is not None}
        address: str = app.get_url(endpoint, **given)
        return address

    site = appearance.Site(config, url_for)
    settings = {
        "trim_blocks": True,
        "lstrip_blocks": True,
        "autoescape": True,
        # Otherwise Bottle's loader compiles each template again for each page.
        "auto_reload": False,
        "filters": appearance.FILTERS,
        "globals": appearance.additions(url_for, config.site_url),
    }

    def page(db: Any, template: str, context: dict[str, Any]) -> Any:
        request.mount, request.secret, request.now = "", SECRET, datetime.now(UTC)
        request.pages = [tuple(row) for row in rows.pages(db)]
        return jinja2_template(
            template,
            template_lookup=appearance.FOLDERS,
            template_settings=settings,
            request=request,
            **context,
        )

    def blog() -> Any:
        with closing(rows.connect(file)) as db:
            found = rows.front(db, int(request.query.get("page", 1)), config.per_page)
            shown = [entry.id for entry in found.items]
            featured = rows.featured(db, shown) if found.number == 1 else []
            return page(db, "reader/blog.html", appearance.front_context(site, found, featured))

    def entry(slug: str) -> Any:
        with closing(rows.connect(file)) as db:
            found = rows.entry(db, slug)
            if found is None:
                raise HTTPError(404)
            context = appearance.entry_context(site, found, found.comments, rows.near(db, found))
            return page(db, "reader/entry.html", context)

    views = {"reader.blog": blog, "reader.entry": entry}
    for rule in url_map.iter_rules():
        if not rule.alias:
            path = appearance.translated(rule.rule, "<{}:int>", "<{}>")
            methods = sorted(rule.methods or ())
            app.route(path, methods, views.get(rule.endpoint, not_here), name=rule.endpoint)
    made: WSGIApplication = app
    return made


def not_here(**_values: object) -> None:
    raise HTTPError(404)
