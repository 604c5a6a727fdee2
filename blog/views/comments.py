"""What visitors add."""

from werkzeug import Response
from werkzeug.exceptions import Forbidden
from werkzeug.utils import redirect

from blog.database import begin_writing
from blog.forms import CommentForm
from blog.models import Comment
from blog.request import Request
from blog.views.reader import entry_page, find_entry


def add(request: Request, slug: str) -> Response:
    """Take a comment and lead to it; or show the form as it was typed, with what is wrong."""
    form = CommentForm.parse(request.form, request.config)
    if not form.errors:
        begin_writing(request.db)
    entry = find_entry(request, slug)
    if not (request.config.comments and entry.comments_open):
        raise Forbidden("This entry takes no comments any more.")
    if form.errors:
        return entry_page(request, entry, form, status=422)
    comment = Comment(
        entry_id=entry.id, text=form.text, name=form.name or None, created=request.now
    )
    request.db.add(comment)
    request.db.commit()
    request.flash("Thank you. Your comment is published.")
    return redirect(f"{request.url_for('reader.entry', slug=slug)}#comment-{comment.id}", 303)
