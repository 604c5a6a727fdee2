"""Rendering of templates, and the functions and filters that they use."""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from werkzeug import Response

from blog import markup
from blog.http import csrf, flash
from blog.http.static_files import immutable_name
from blog.markup.titles import title_html
from blog.models.comment import CommentFormat
from blog.request import Request

HERE = Path(__file__).parent

#: The templates are inside the installed package, and beside it in a checkout.
FOLDERS = [HERE / "templates", HERE.parent / "templates"]

environment = Environment(
    loader=FileSystemLoader(FOLDERS),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def render(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """Render a template as an HTML response.

    :param template: its path below the templates folder, such as ``reader/entry.html``.
    :param context: its variables, besides ``request`` and ``config``.
    """
    page = environment.get_template(template).render(
        request=request,
        config=request.config,
        url_for=request.url_for,
        absolute_url_for=request.absolute_url_for,
        **context,
    )
    return Response(page, status, mimetype="text/html")


@pass_context
def static(context: Context, name: str) -> str:
    request: Request = context["request"]
    return request.url_for("files.static", name=immutable_name(name))


@pass_context
def csrf_token(context: Context) -> str:
    return csrf.token(context["request"])


@pass_context
def flashed(context: Context) -> list[str]:
    return flash.messages(context["request"])


@pass_context
def mounted(context: Context, html: str) -> Markup:
    request: Request = context["request"]
    return markup.mounted(html, request.mount)


@pass_context
def picture(context: Context, html: str, address: str) -> str | None:
    request: Request = context["request"]
    return markup.first_picture(html, address, request.config.mount)


@pass_context
def comment_html(context: Context, text: str, format: CommentFormat) -> Markup:
    return mounted(context, markup.render_comment(text, format, context["config"].language))


def words(title: str) -> str:
    """Return a title, which may contain markup, as plain text."""
    return title.striptags() if isinstance(title, Markup) else title


def day(moment: datetime) -> str:
    """22 November 2026"""
    return f"{moment.day} {moment:%B} {moment.year:04}"


def exact(moment: datetime) -> str:
    """22 November 2026, 14:03:05 UTC"""
    return f"{day(moment)}, {moment:%H:%M:%S} UTC"


environment.globals |= {
    "static": static,
    "csrf_token": csrf_token,
    "flashed": flashed,
}
environment.filters |= {
    "day": day,
    "exact": exact,
    "comment_html": comment_html,
    "mounted": mounted,
    "picture": picture,
    "title_html": title_html,
    "words": words,
}
