"""The pages for readers: entries, pages, lists and the archive."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Executable, Row
from werkzeug import Response
from werkzeug.exceptions import NotFound
from werkzeug.utils import redirect

from blog.comments import commenter
from blog.comments.forms import CommentForm
from blog.comments.submission import takes_comments
from blog.feeds import json_ld
from blog.markup.contents import Heading, contents
from blog.models import Comment, Entry, Rendering, Series
from blog.models.comment import threads
from blog.models.listed import FEATURED, NEWEST, TAGGED, TITLES, Listed, listed
from blog.models.nearby import neighbours, part, parts, related
from blog.request import Request
from blog.templating import render
from blog.views.lookup import find_entry, find_tag
from blog.views.pagination import Page, paginate

#: The number of titles per page of the archive.
TITLES_ON_A_PAGE = 100

#: The most featured entries on the front page besides the newest entries.
HIGHLIGHTS = 3

#: The least reading time of a text with a table of contents, in minutes.
LONG = 3


def home(request: Request) -> Response:
    """Redirect to the blog, or from an old WordPress address (``/?p=12``) to its entry."""
    return moved(request) or redirect(request.url_for("reader.blog"), 302)


def blog(request: Request) -> Response:
    """The newest entries; the first page also has featured ones that are not among them."""
    page = entries_page(request, NEWEST, request.config.per_page)
    featured: list[Listed] = []
    if page.number == 1:
        shown = [entry.id for entry in page.items]
        featured = listed(
            request.db, FEATURED, now=request.now, limit=HIGHLIGHTS, offset=0, shown=shown
        )
    described = json_ld.blog(request)
    return render(request, "reader/blog.html", page=page, featured=featured, structured=described)


def entry(request: Request, slug: str) -> Response:
    """An entry, its comments and the comment form."""
    entry = find_entry(request, slug)
    entry.load_tags(request.db)
    comments = Comment.below(request.db, entry.id)
    shown = entry.shown
    older, newer = neighbours(request.db, entry, request.now)
    place = part(request.db, entry, request.now)
    siblings = [each.id for each in place.parts] if place else []
    return render(
        request,
        "reader/entry.html",
        entry=entry,
        shown=shown,
        contents=headings(shown),
        part=place,
        older=older,
        newer=newer,
        related=related(request.db, entry, request.now, without=siblings),
        structured=json_ld.posting(request, entry, shown, place),
        comments=list(threads(comments)),
        accepts_comments=takes_comments(request.config, entry, request.now),
        form=CommentForm.blank(commenter.recall(request)),
    )


def page(request: Request, slug: str) -> Response:
    """A standing page."""
    found = Entry.by_slug(request.db, slug, request.now, kind="page")
    if found is None:
        raise NotFound("There is no page at this address.")
    shown = found.shown
    return render(request, "reader/page.html", entry=found, shown=shown, contents=headings(shown))


def archive(request: Request) -> Response:
    """All years and months, with the number of entries in each."""
    years: dict[int, list[tuple[datetime, int]]] = {}
    for month_, number in Entry.months(request.db, request.now).items():
        start = datetime.strptime(month_, "%Y-%m").replace(tzinfo=UTC)
        years.setdefault(start.year, []).append((start, number))
    return render(request, "reader/archive.html", years=years)


def year(request: Request, year: int) -> Response:
    """The titles of a year."""
    start = datetime(year, 1, 1, tzinfo=UTC)
    return period(request, "reader/year.html", start, datetime(year + 1, 1, 1, tzinfo=UTC))


def month(request: Request, year: int, month: int) -> Response:
    """The titles of a month."""
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return period(request, "reader/month.html", start, end)


def tags(request: Request) -> Response:
    """All tags, with the number of entries under each."""
    return render(request, "reader/tags.html", tags=Entry.tag_counts(request.db, request.now))


def tag(request: Request, slug: str) -> Response:
    """The entries under a tag."""
    found = find_tag(request, slug)
    page = entries_page(request, TAGGED, request.config.per_page, tag=found.id)
    return render(request, "reader/tag.html", tag=found, page=page)


def series(request: Request, slug: str) -> Response:
    """The published parts of a series, in order."""
    found = Series.by_slug(request.db, slug)
    published = parts(request.db, found.id, request.now) if found else []
    if not published:
        raise NotFound("There is no series at this address.")
    return render(request, "reader/series.html", series=found, parts=published)


def entries_page(
    request: Request, statement: Executable, size: int, **values: object
) -> Page[Listed]:
    """Return the requested page of the entries that `statement` selects."""

    def fetch(limit: int, offset: int) -> list[Listed]:
        given = {"now": request.now, "limit": limit, "offset": offset, **values}
        return listed(request.db, statement, **given)

    return paginate(fetch, request.args.get("page"), size)


def headings(shown: Rendering) -> list[Heading]:
    """Return the table of contents of a text; empty for a short one."""
    return contents(shown.html) if shown.minutes >= LONG else []


def period(request: Request, template: str, start: datetime, end: datetime) -> Response:
    """Return the page with the titles from `start` (inclusive) to `end` (exclusive)."""

    def fetch(limit: int, offset: int) -> "Sequence[Row[str, str, datetime]]":
        values = {"now": request.now, "start": start, "end": end, "limit": limit, "offset": offset}
        return request.db.execute(TITLES, values).all()

    page = paginate(fetch, request.args.get("page"), TITLES_ON_A_PAGE)
    if not page.items:
        raise NotFound(f"There are no entries from {start.year}.")
    return render(request, template, start=start, page=page)


def moved(request: Request) -> Response | None:
    """Redirect from a former address to its entry or page; None if there is none."""
    query = request.query_string.decode()
    former = Entry.formerly_at(request.path, query, request.mount, request.now)
    found = request.db.execute(former).first()
    if found is None:
        return None
    kind, slug = found
    return redirect(request.url_for(f"reader.{kind}", slug=slug), 301)
