"""Our templates in the Jinja environments of the peers."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from typing import Any, cast

from jinja2 import Environment

from blog import templating
from blog.comments.forms import CommentForm
from blog.config import Config
from blog.feeds import json_ld
from blog.http.static_files import immutable_name
from blog.markup import first_picture, render_comment
from blog.models.comment import threads
from blog.request import Request
from blog.templating import csrf_token
from blog.views.pagination import Page
from blog.views.reader import headings

FOLDERS = [str(folder) for folder in templating.FOLDERS]


@dataclass
class Near:
    """The entries that the page of another one links to."""

    older: Any | None
    newer: Any | None
    related: Sequence[Any]


#: The number of the newest entries of each tag that related entries are chosen from.
CANDIDATES = 50


def most_related(entry: int, carriers: Iterable[Sequence[tuple[int, datetime]]]) -> list[int]:
    """Return the ids of the four entries that share most tags with one; a rare tag counts more.

    :param carriers: for each of its tags, id and timestamp of the newest entries with it.
    """
    shared: Counter[int] = Counter()
    timestamps: dict[int, Any] = {}
    for found in carriers:
        timestamps.update(found)
        shared.update({id_: 1_000_000 // len(found) for id_, _ in found})
    del shared[entry]
    return nlargest(4, shared, key=lambda id_: (shared[id_], timestamps[id_], id_))


class Site:
    """The part of a request that our JSON-LD reads."""

    def __init__(self, config: Config, url_for: Callable[..., str]) -> None:
        self.config = config
        self._url_for = url_for

    def absolute_url_for(self, endpoint: str, **values: Any) -> str:
        return self.config.site_url + self._url_for(endpoint, **values)


def front_context(site: Site, page: Page[Any], featured: list[Any]) -> dict[str, Any]:
    """Return the context of the template of the front page."""
    return {
        "config": site.config,
        "page": page,
        "featured": featured,
        "structured": json_ld.blog(cast("Request", site)),
    }


def entry_context(site: Site, entry: Any, comments: Sequence[Any], near: Near) -> dict[str, Any]:
    """Return the context of the template of an entry page."""
    described = json_ld.posting(cast("Request", site), entry, entry.shown, None)
    return {
        "config": site.config,
        "entry": entry,
        "shown": entry.shown,
        "contents": headings(entry.shown),
        "part": None,
        "older": near.older,
        "newer": near.newer,
        "related": near.related,
        "structured": described,
        "comments": list(threads(comments)),
        "accepts_comments": entry.comments_open,
        "form": CommentForm(),
    }


def additions(url_for: Callable[..., str], site_url: str) -> dict[str, Any]:
    """Return the globals that the templates expect, with addresses made by `url_for`."""
    return {
        "url_for": url_for,
        "absolute_url_for": lambda endpoint, **values: site_url + url_for(endpoint, **values),
        "static": lambda name: url_for("files.static", name=immutable_name(name)),
        "csrf_token": csrf_token,
        "flashed": list,
    }


def translated(rule: str, number: str, text: str) -> str:
    """Return a rule of our URL map in the syntax of another framework.

    :param number: its syntax for a part that is a whole number, as in ``<int:{}>``.
    :param text: its syntax for any other part.
    """

    def part(found: re.Match[str]) -> str:
        return (number if found[1].startswith("int") else text).format(found[2])

    return re.sub(r"<((?:[^>]*:)?)(\w+)>", part, rule)


#: The filters of our templates. All peers are mounted at the root.
FILTERS: dict[str, Callable[..., Any]] = templating.environment.filters | {
    "comment_html": render_comment,
    "mounted": lambda html: html,
    "picture": first_picture,
}


def dress(environment: Environment, url_for: Callable[..., str], site_url: str) -> None:
    """Let `environment` fill in our templates."""
    # Without these, the white space of a page would differ.
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= FILTERS
    environment.globals |= additions(url_for, site_url)
