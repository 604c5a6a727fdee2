"""One page for each way in which a request can go wrong."""

from werkzeug import Response
from werkzeug.exceptions import HTTPException

from blog.http import csrf
from blog.request import Request
from blog.templating import render

#: What is said where the exception itself says nothing that a visitor could use.
EXPLANATIONS = {
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    500: "Something went wrong here. It has been noted, and it was not your doing.",
    503: "The blog cannot reach its database just now. Please try again in a moment.",
}


def page(request: Request, error: HTTPException) -> Response:
    """Return the page for `error`, with what the visitor had typed, so that nothing is lost."""
    code = error.code or 500
    own_words = error.description if error.description != type(error).description else None
    response = render(
        request,
        "errors/error.html",
        code,
        code=code,
        name=error.name,
        explanation=own_words or EXPLANATIONS.get(code, error.description),
        typed=typed(request),
    )
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    return response


def typed(request: Request) -> dict[str, str]:
    """Return what stands in the posted form, as far as it can be read."""
    try:
        return {name: text for name, text in request.form.items() if text and name != csrf.FIELD}
    except HTTPException:
        return {}
