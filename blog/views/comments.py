"""Posting comments, and the pages that tell visitors what happened to them."""

from itsdangerous import BadSignature, Signer
from werkzeug import Response
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.utils import redirect

from blog.comments import commenter
from blog.comments.commenter import Person
from blog.comments.forms import CommentForm
from blog.comments.rate_limit import TooManyError
from blog.comments.submission import (
    CLOSED,
    Posted,
    RefusedError,
    replied_to,
    submit,
    takes_comments,
)
from blog.http import csrf
from blog.models import Comment, Entry
from blog.request import Request
from blog.templating import render
from blog.views.lookup import find_entry


def add(request: Request, slug: str) -> Response:
    """Post a comment and redirect to it; or show the form again, with a preview or its errors."""
    form = CommentForm.parse(request.form, request.config, csrf.age(request))
    if form.errors or form.is_preview:
        return form_page(request, find_open(request, slug), form)
    visitor = commenter.identify(request, remember=form.remember)
    try:
        posted = submit(request.db, request.config, form.submission(slug, visitor, request.now))
    except (RefusedError, TooManyError) as error:
        return refusal(request, slug, form, error)
    if posted.state == "published":
        request.flash("Thank you. Your comment has been published.")
    response = redirect(place_of(request, slug, posted), 303)
    commenter.keep(request, response, Person(form.name, form.website, visitor.id))
    return response


def reply(request: Request, slug: str, id: int) -> Response:
    """A comment, and the form to reply to it."""
    entry = find_entry(request, slug)
    is_open = takes_comments(request.config, entry, request.now)
    if not is_open or replied_to(request.db, entry, id) is None:
        raise NotFound("There is no comment to reply to at this address.")
    form = CommentForm.blank(commenter.recall(request))
    form.parent = id
    return form_page(request, entry, form)


def receipt(request: Request, slug: str, receipt: str) -> Response:
    """The status of a held comment, at an address that only its sender has."""
    try:
        id_ = int(receipts(request).unsign(receipt))
    except (BadSignature, ValueError) as error:
        raise NotFound("There is no comment at this address.") from error
    comment = request.db.get(Comment, id_)
    if comment is None or comment.entry is None:
        raise NotFound("This comment has been removed.")
    entry = find_entry(request, comment.entry.slug)
    if entry.slug != slug:  # the entry has been renamed
        return redirect(request.url_for("comments.receipt", slug=entry.slug, receipt=receipt), 302)
    response = render(request, "comments/receipt.html", entry=entry, comment=comment)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def privacy(request: Request) -> Response:
    """What the blog stores about its readers and commenters."""
    return render(request, "comments/privacy.html")


def place_of(request: Request, slug: str, posted: Posted) -> str:
    """Return the address of a published comment, or of the receipt for a held one."""
    if posted.state == "published":
        return f"{request.url_for('reader.entry', slug=slug)}#comment-{posted.id}"
    number = receipts(request).sign(str(posted.id)).decode()
    return request.url_for("comments.receipt", slug=slug, receipt=number)


def refusal(
    request: Request, slug: str, form: CommentForm, error: RefusedError | TooManyError
) -> Response:
    """Return the form as it was submitted, with the reason for the refusal."""
    form.errors["form"] = str(error)
    page = form_page(request, find_open(request, slug), form)
    page.status_code = 403
    if isinstance(error, TooManyError):
        page.status_code = 429
        page.headers["Retry-After"] = str(error.wait)
    return page


def find_open(request: Request, slug: str) -> Entry:
    """Return the entry at `slug`.

    :raises NotFound: there is none, or readers may not see it yet.
    :raises Forbidden: its comments are closed.
    """
    entry = find_entry(request, slug)
    if not takes_comments(request.config, entry, request.now):
        raise Forbidden(CLOSED)
    return entry


def form_page(request: Request, entry: Entry, form: CommentForm) -> Response:
    """Return the page with `form`, the comment it replies to, and a preview if requested."""
    return render(
        request,
        "comments/form.html",
        422 if form.errors else 200,
        entry=entry,
        form=form,
        parent=replied_to(request.db, entry, form.parent),
        preview=form.is_preview and not form.errors,
    )


def receipts(request: Request) -> Signer:
    return Signer(request.secret, salt="receipt")
