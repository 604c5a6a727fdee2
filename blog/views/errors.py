"""The error page."""

from werkzeug import Response
from werkzeug.exceptions import HTTPException

from blog.http import csrf
from blog.request import Request
from blog.templating import render

#: The explanations for exceptions without a message of ours.
EXPLANATIONS = {
    404: "There is no page at this address.",
    405: "This address does not accept this kind of request.",
    500: "Something went wrong on our side. The error has been logged.",
    503: "The blog cannot reach its database at the moment. Please try again shortly.",
}


def page(request: Request, error: HTTPException) -> Response:
    """Return the page for `error`, with the text of a posted form, so that nothing is lost."""
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
    """Return the non-empty fields of the posted form; none if it cannot be parsed."""
    try:
        return {name: text for name, text in request.form.items() if text and name != csrf.FIELD}
    except HTTPException:
        return {}
