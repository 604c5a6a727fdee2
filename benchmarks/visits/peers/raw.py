"""A WSGI function with the driver of the standard library and f-strings.

https://peps.python.org/pep-3333/#the-application-framework-side,
https://docs.python.org/3/library/sqlite3.html#tutorial
"""

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from itsdangerous import Signer
from jinja2.utils import htmlsafe_json_dumps
from sqlalchemy import make_url

from benchmarks.visits.corpus import SECRET
from benchmarks.visits.peers import rows
from benchmarks.visits.peers.appearance import Near, Site
from blog import markup
from blog.config import Config
from blog.feeds import json_ld
from blog.http.static_files import immutable_name
from blog.models.comment import threads
from blog.urls import path_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FORMATS = (
    ("atom", "Atom", "application/atom+xml"),
    ("rss", "RSS", "application/rss+xml"),
    ("json", "JSON Feed", "application/feed+json"),
)


class Own(threading.local):
    """A connection for each thread."""

    def __init__(self, file: str) -> None:
        self.connection = rows.connect(file)


def application(config: Config) -> "WSGIApplication":
    """Make the application."""
    own = Own(make_url(config.database).database or "")
    site: Any = Site(config, path_of)

    def wsgi_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path, db = environ["PATH_INFO"], own.connection
        if path == "/blog":
            number = int(parse_qs(environ.get("QUERY_STRING", "")).get("page", ["1"])[0])
            page: str | None = front(site, db, number)
        else:
            page = entry(site, db, path.removeprefix("/blog/"))
        if page is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Not found"]
        body = page.encode()
        start_response(
            "200 OK",
            [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))],
        )
        return [body]

    return wsgi_app


def front(site: Any, db: Any, number: int) -> str:
    """The front page."""
    config = site.config
    page = rows.front(db, number, config.per_page)
    featured = rows.featured(db, [entry.id for entry in page.items]) if number == 1 else []
    highlights = "".join(
        f"""\
<li class="h-entry"><a class="u-url p-name" href="/blog/{entry.slug}">{escape(entry.title)}</a>
{moment(entry.timestamp, "dt-published")}</li>
"""
        for entry in featured
    )
    if highlights:
        highlights = f"""\
<section class="highlights" aria-labelledby="tl-featured">
<h2 id="tl-featured">Featured</h2>
<ul>
{highlights}</ul>
</section>
"""
    excerpts = "".join(
        f"""\
<article class="h-entry">
<h2 class="p-name"><a class="u-url" rel="bookmark" href="/blog/{entry.slug}">{escape(entry.title)}</a></h2>
{meta(entry, entry.author, entry.minutes)}
<p class="p-summary">{entry.teaser}</p>
</article>
"""
        for entry in page.items
    )
    newer = older = ""
    if number > 1:
        address = f"/blog?page={number - 1}" if number > 2 else "/blog"
        newer = (
            f'<a rel="prev" href="{address}"><span aria-hidden="true">←</span> Newer entries</a>\n'
        )
    if page.has_next:
        address = f"/blog?page={number + 1}"
        older = (
            f'<a rel="next" href="{address}">Older entries <span aria-hidden="true">→</span></a>\n'
        )
    return layout(
        config,
        db,
        here="/blog",
        address="/blog" if number == 1 else f"/blog?page={number}",
        title="" if number == 1 else f"Page {number}",
        about=config.tagline,
        body=' class="h-feed"',
        head=description(json_ld.blog(site)),
        masthead=f"""\
<div class="masthead">
<h1 class="site p-name"><a class="u-url" href="/blog">{escape(config.title)}</a></h1>
<p class="tagline p-summary">{escape(config.tagline)}</p>
</div>
""",
        content=f"""\
{highlights}{excerpts}
<nav class="pager" aria-label="Pages">
{newer}<span>Page {number}</span>
{older}</nav>
""",
    )


def entry(site: Any, db: Any, slug: str) -> str | None:
    """The page of an entry."""
    config = site.config
    found = rows.entry(db, slug)
    if found is None:
        return None
    title, address = escape(found.title), f"/blog/{found.slug}"
    revised = ""
    if found.updated.date() > found.timestamp.date():
        revised = f'<p class="revised">Last updated on {moment(found.updated, "dt-updated")}.</p>\n'
    number = len(found.comments)
    head = f"""\
<meta property="article:published_time" content="{found.timestamp.isoformat(timespec="seconds")}">
{feeds(f"{address}/feed", f"Comments on {title}")}
{description(json_ld.posting(site, found, found.shown, None))}"""
    content = f"""\
<article class="h-entry">
<header>
<h1 class="p-name">{title}</h1>
{meta(found, found.author or config.author, found.minutes)}
<data class="u-url" value="{config.site_url}{address}"></data>
</header>
<div class="prose e-content">
{found.shown.safe_html}
</div>
{revised}{nearby(rows.near(db, found))}<section id="comments" aria-labelledby="tl-comments">
<h2 id="tl-comments">{number or "No"} comment{"s" if number != 1 else ""}{"" if number else " yet"}</h2>
{discussion(address, found.comments)}
{form(config, address)}
</section>
</article>
"""
    return layout(
        config,
        db,
        here=address,
        address=address,
        title=title,
        about=found.shown.description,
        kind="article",
        head=head,
        masthead=f'<p class="site"><a href="/blog">{escape(config.title)}</a></p>\n',
        content=content,
    )


def description(thing: dict[str, Any]) -> str:
    """The description for search engines."""
    return (
        f'<script type="application/ld+json">{htmlsafe_json_dumps(thing, sort_keys=True)}</script>'
    )


def nearby(near: Near) -> str:
    """The older and the newer entry, and related ones."""
    ways = "".join(
        f'<p><span>{label}</span> <a rel="{rel}" href="/blog/{to.slug}">{escape(to.title)}</a></p>\n'
        for label, rel, to in (("Older", "prev", near.older), ("Newer", "next", near.newer))
        if to
    )
    related = "".join(
        f'<li><a href="/blog/{to.slug}">{escape(to.title)}</a> {moment(to.timestamp, "")}</li>\n'
        for to in near.related
    )
    if ways:
        ways = f'<nav class="onward" aria-label="Entries">\n{ways}</nav>\n'
    if related:
        related = f"""\
<section class="related" aria-labelledby="tl-related">
<h2 id="tl-related">Related entries</h2>
<ul>
{related}</ul>
</section>
"""
    return ways + related


def discussion(address: str, comments: Sequence[Any]) -> str:
    """The comments on an entry. The benchmark has no replies."""
    return "".join(
        f"""\
<li class="comment depth-{placed.depth} u-comment h-cite" id="comment-{placed.comment.id}">
<div class="meta">
<span class="p-author h-card">{escape(placed.comment.author)}</span>
<a class="u-url" href="#comment-{placed.comment.id}">{moment(placed.comment.created, "dt-published")}</a>
</div>
<div class="e-content">
{markup.render_comment(placed.comment.text, placed.comment.format)}
</div>
<p class="reply"><a rel="nofollow" href="{address}/reply/{placed.comment.id}" aria-label="Reply to {escape(placed.comment.author)}">Reply</a></p>
</li>
"""
        for placed in threads(comments)
    ).join(['<ol class="discussion">\n', "</ol>\n"])


def form(config: Config, address: str) -> str:
    """The form to add a comment."""
    length = config.comment_length
    day = datetime.now(UTC).date().isoformat()
    token = Signer(SECRET, salt="csrf").sign(day).decode()
    return f"""\
<form id="comment-form" method="post" action="{address}/comments">
<h2>Leave a comment</h2>
<p><label for="comment-text">Comment</label>
<span class="hint" id="tl-text-hint">Up to {length:,} characters.
A blank line starts a new paragraph.
</span></p>
<textarea id="comment-text" name="text" rows="6" required maxlength="{length}" aria-describedby="tl-text-hint">
</textarea>
<p><label for="comment-name">Name</label>
<span class="hint" id="tl-name-hint">Optional. Leave empty to post as Anonymous.</span></p>
<input id="comment-name" name="name" autocomplete="name" maxlength="{config.comment_name_length}" value="" aria-describedby="tl-name-hint">
<p><label for="comment-website">Website</label>
<span class="hint" id="tl-website-hint">Optional. Your name will link to it.</span></p>
<input id="comment-website" name="website" type="text" inputmode="url" autocomplete="url" maxlength="200" value="" aria-describedby="tl-website-hint">
<p class="check"><input id="comment-remember" type="checkbox" name="remember" value="yes">
<label for="comment-remember">Remember me in this browser</label></p>
<p class="trap"><label for="comment-subject">Leave this empty</label>
<input id="comment-subject" name="subject" tabindex="-1" autocomplete="off"></p>
<input type="hidden" name="csrf_token" value="{token}">
<p class="buttons"><button>Post comment</button> <button name="preview" value="yes" class="second">Preview</button></p>
<p class="hint"><a href="/blog/privacy">Privacy</a></p>
</form>
"""


def layout(
    config: Config,
    db: Any,
    *,
    here: str,
    address: str,
    title: str,
    about: str,
    content: str,
    masthead: str,
    body: str = "",
    kind: str = "website",
    head: str = "",
) -> str:
    """The frame of a page."""
    blog, about = escape(config.title), escape(about)
    links = [("/blog", "Blog"), ("/blog/archive", "Archive"), ("/blog/tags", "Tags")]
    links.append(("/blog/search", "Search"))
    links += [(f"/{page['slug']}", page["title"]) for page in rows.pages(db)]
    links.append(("/blog/feed.atom", "Feed"))
    navigation = "\n".join(
        f'<a href="{to}"{current if to == here else ""}>{escape(label)}</a>'
        for current in [' aria-current="page"']
        for to, label in links
    )
    follow = ",\n".join(f'<a href="/blog/feed.{ending}">{name}</a>' for ending, name, _ in FORMATS)
    return f"""\
<!doctype html>
<html lang="{config.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}{" · " if title else ""}{blog}</title>
<meta name="description" content="{about}">
<link rel="stylesheet" href="/static/{immutable_name("style.css")}">
<link rel="icon" href="/static/{immutable_name("icon.svg")}" type="image/svg+xml">
<meta name="theme-color" content="#fdfcf8" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#171a18" media="(prefers-color-scheme: dark)">
<link rel="canonical" href="{config.site_url}{address}">
<meta property="og:title" content="{title or blog}">
<meta property="og:type" content="{kind}">
<meta property="og:url" content="{config.site_url}{address}">
<meta property="og:site_name" content="{blog}">
<meta property="og:description" content="{about}">
{feeds("/blog/feed", blog)}
<link rel="search" type="application/opensearchdescription+xml" title="{blog}" href="/blog/search.xml">
{head}
</head>
<body{body}>
<a id="skip" href="#content">Skip to content</a>
<header>
{masthead}<nav aria-label="Site">
{navigation}
</nav>
</header>
<main id="content" tabindex="-1">
{content}</main>
<footer>
<p>Written by <span class="p-author h-card">{escape(config.author)}</span>.</p>
<p>Subscribe:
{follow}
</p>
<p>Powered by Threadleaf.</p>
</footer>
</body>
</html>"""


def feeds(address: str, title: str) -> str:
    """The links by which a feed reader finds its feeds."""
    return "\n".join(
        f'<link rel="alternate" type="{kind}" title="{title} ({name})" href="{address}.{ending}">'
        for ending, name, kind in FORMATS
    )


def meta(entry: Any, author: str | None, minutes: int) -> str:
    """The line below the title of an entry."""
    featured = '<span class="featured">Featured</span>\n' if entry.featured else ""
    by = f'<span class="p-author h-card">{escape(author)}</span>\n' if author else ""
    tags = "".join(
        f'<a class="p-category" rel="tag" href="/blog/tag/{tag.slug}">{escape(tag.name)}</a>\n'
        for tag in entry.tags
    )
    return f"""\
<div class="meta">
{featured}{moment(entry.timestamp, "dt-published")}
{by}<span>{minutes} min read</span>
{tags}</div>"""


def moment(when: datetime, name: str) -> str:
    """A date."""
    written = f"{when.day} {when:%B %Y}"
    exact = f'{when.isoformat(timespec="seconds")}" title="{written}, {when:%H:%M:%S} UTC'
    given = f' class="{name}"' if name else ""
    return f'<time{given} datetime="{exact}">{written}</time>'
