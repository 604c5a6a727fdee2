"""The feeds: of the blog, of a tag, and of the comments on an entry."""

from collections.abc import Sequence
from uuid import UUID, uuid5

from werkzeug import Response

from blog import markup
from blog.feeds.documents import FORMATS, Feed, Item
from blog.markup.titles import title_text
from blog.models import Comment, Entry, Site, Tag
from blog.models.comment import LONG_AGO
from blog.request import Request
from blog.views.lookup import find_entry, find_tag


def blog(request: Request, format: str) -> Response:
    """The newest entries, in full."""
    entries = request.db.scalars(Entry.published(request.now).limit(request.config.feed_size))
    items = [entry_item(request, entry) for entry in entries]
    page = request.absolute_url_for("reader.blog")
    return feed(request, format, "", request.config.title, page, items)


def tag(request: Request, slug: str, format: str) -> Response:
    """The newest entries under a tag, in full."""
    found = find_tag(request, slug)
    newest = Entry.tagged(found, request.now).limit(request.config.feed_size)
    items = [entry_item(request, entry) for entry in request.db.scalars(newest)]
    title = f"{request.config.title}: {found.name}"
    page = request.absolute_url_for("reader.tag", slug=slug)
    return feed(request, format, f"tag/{found.id}", title, page, items)


def comments(request: Request, slug: str, format: str) -> Response:
    """The newest comments on an entry."""
    entry = find_entry(request, slug)
    newest = Comment.published(entry.id).order_by(None).order_by(Comment.id.desc())
    found = request.db.scalars(newest.limit(request.config.feed_size))
    items = [comment_item(request, entry, comment) for comment in found]
    page = request.absolute_url_for("reader.entry", slug=slug)
    title = f"Comments on {title_text(entry.title)}"
    return feed(request, format, f"comments/{entry.uid}", title, page, items)


def feed(
    request: Request, format: str, name: str, title: str, page: str, items: Sequence[Item]
) -> Response:
    """Return a feed.

    :param name: what its id is derived from; empty for the blog's own feed.
    :param page: the absolute URL of the page with the same content.
    """
    endpoint, values = request.urls.match()
    site = Site.row(request.db)
    write, mimetype = FORMATS[format]
    document = write(
        Feed(
            id=uuid5(UUID(site.uid), name).urn if name else site.uid,
            title=title,
            description=request.config.tagline,
            url=page,
            address=request.absolute_url_for(endpoint, **values),
            language=request.config.language,
            author=request.config.author or request.config.title,
            updated=max((item.updated for item in items), default=LONG_AGO),
            items=items,
        )
    )
    return Response(document, mimetype=mimetype)


def entry_item(request: Request, entry: Entry) -> Item:
    """Return an entry as a feed item."""
    url = request.absolute_url_for("reader.entry", slug=entry.slug)
    return Item(
        id=entry.uid,
        title=title_text(entry.title),
        url=url,
        published=entry.timestamp,
        updated=max(entry.updated, entry.timestamp),
        author=entry.author or request.config.author or request.config.title,
        html=markup.absolute_links(entry.shown.html, url, request.config.mount),
        summary=markup.plain(markup.render_summary(entry.summary, request.config.language))
        if entry.summary
        else "",
        tags=[tag.name for tag in sorted(entry.tags, key=Tag.order)],
    )


def comment_item(request: Request, entry: Entry, comment: Comment) -> Item:
    """Return a comment as a feed item."""
    url = f"{request.absolute_url_for('reader.entry', slug=entry.slug)}#comment-{comment.id}"
    created = comment.created or LONG_AGO
    html = markup.render_comment(comment.text, comment.format, request.config.language)
    return Item(
        id=comment.uid,
        title=f"{comment.author} on {title_text(entry.title)}",
        url=url,
        published=created,
        updated=created,
        author=comment.author,
        html=markup.absolute_links(html, url, request.config.mount),
    )
