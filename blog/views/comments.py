"""What visitors add, and what they are told about it."""

import secrets

from itsdangerous import BadSignature, Signer
from werkzeug import Response
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.utils import redirect

from blog import csrf, moderation, remembering
from blog.database import begin_writing
from blog.forms import CommentForm
from blog.lookup import find_entry
from blog.models import Comment, Entry
from blog.moderation import RefusedError, Sent, TooManyError
from blog.remembering import Person
from blog.request import Request
from blog.templating import render

OLD_FORM = (
    f"The page with this form was opened more than {csrf.MAX_AGE.days} days ago. "
    "Please send it once more."
)


def add(request: Request, slug: str) -> Response:
    """Take a comment and lead to it; or show it, if that is what was asked; or what is wrong."""
    form = CommentForm.parse(request.form, request.config)
    if csrf.is_old(request):
        form.errors["form"] = OLD_FORM
    entry = find_open(request, slug)
    if form.errors:
        return form_page(request, entry, form, status=422)
    if "preview" in request.form:
        return form_page(request, entry, form)
    # Somebody who is remembered keeps the number that nobody can guess.
    known = remembering.recall(request).id
    person = (known or secrets.token_urlsafe(16)) if form.remember else ""
    try:
        begin_writing(request.db)
        entry = find_open(request, slug)
        comment = moderation.receive(
            request.db,
            request.config,
            request.secret,
            entry,
            sent(request, entry, form, person),
            request.now,
        )
        answer = response_to(request, entry, comment)
        request.db.commit()
    except RefusedError as error:
        request.db.rollback()
        form.errors["form"] = str(error)
        return refusal(request, slug, form, error)
    if form.remember:
        remembering.remember(request, answer, Person(form.name, form.website, person))
    else:
        remembering.forget(request, answer)
    return answer


def reply(request: Request, slug: str, id: int) -> Response:
    """A comment, and the form to answer it."""
    entry = find_entry(request, slug)
    form = CommentForm.blank(remembering.recall(request))
    form.parent = id
    if not is_open(request, entry) or answered(request, entry, form) is None:
        raise NotFound("There is no comment here that could be answered.")
    return form_page(request, entry, form)


def receipt(request: Request, slug: str, receipt: str) -> Response:
    """What has become of a comment that had to wait, for whoever sent it."""
    try:
        id_ = int(receipts(request).unsign(receipt))
    except (BadSignature, ValueError) as error:
        raise NotFound("There is no comment at this address.") from error
    comment = request.db.get(Comment, id_)
    if comment is None or comment.entry is None:
        raise NotFound("This comment was removed.")
    entry = find_entry(request, comment.entry.slug)
    if entry.slug != slug:  # it has been given another one since
        return redirect(request.url_for("comments.receipt", slug=entry.slug, receipt=receipt), 302)
    response = render(request, "comments/receipt.html", entry=entry, comment=comment)
    response.headers["Cache-Control"] = "private, no-store"
    return response


def privacy(request: Request) -> Response:
    """What is stored about those who comment."""
    return render(request, "comments/privacy.html")


def response_to(request: Request, entry: Entry, comment: Comment) -> Response:
    """Lead to where the sender finds a comment, and say what has become of it."""
    if comment.state == "published":
        request.flash("Thank you. Your comment is published.")
        place = f"{request.url_for('reader.entry', slug=entry.slug)}#comment-{comment.id}"
        return redirect(place, 303)
    number = receipts(request).sign(str(comment.id)).decode()
    return redirect(request.url_for("comments.receipt", slug=entry.slug, receipt=number), 303)


def refusal(request: Request, slug: str, form: CommentForm, error: RefusedError) -> Response:
    """Return the form as it was sent, with the reason why it is not taken."""
    is_later = isinstance(error, TooManyError)
    page = form_page(request, find_open(request, slug), form, status=429 if is_later else 403)
    if isinstance(error, TooManyError):
        page.headers["Retry-After"] = str(error.wait)
    return page


def form_page(request: Request, entry: Entry, form: CommentForm, status: int = 200) -> Response:
    """Return the page with `form` alone, what it answers, and what the comment will look like."""
    response = render(
        request,
        "comments/form.html",
        status,
        entry=entry,
        form=form,
        answered=answered(request, entry, form),
        preview=request.method == "POST" and not form.errors,
    )
    # What was typed is in it, and the token.
    if request.method == "POST" or form.remember:
        response.headers["Cache-Control"] = "private, no-store"
    return response


def answered(request: Request, entry: Entry, form: CommentForm) -> Comment | None:
    """Return the comment that `form` answers, if readers see it below `entry`."""
    if form.parent is None:
        return None
    published = Comment.published(entry.id).where(Comment.id == form.parent)
    return request.db.scalars(published).one_or_none()


def find_open(request: Request, slug: str) -> Entry:
    """Return the entry at `slug`.

    :raises NotFound: there is none, or readers may not see it yet.
    :raises Forbidden: it takes no comments.
    """
    entry = find_entry(request, slug)
    if not is_open(request, entry):
        raise Forbidden("This entry takes no comments any more.")
    return entry


def is_open(request: Request, entry: Entry) -> bool:
    days = request.config.comments_close_after
    return request.config.comments and entry.takes_comments(request.now, days)


def sent(request: Request, entry: Entry, form: CommentForm, person: str) -> Sent:
    """Return what came with a form that has no errors."""
    # What was answered may be gone by now; the answer need not be.
    parent = answered(request, entry, form)
    return Sent(
        text=form.text,
        name=form.name,
        website=form.website,
        parent_id=parent.id if parent else None,
        address=request.remote_addr or "",
        person=person,
        trap=form.trap,
    )


def receipts(request: Request) -> Signer:
    return Signer(request.secret, salt="receipt")
