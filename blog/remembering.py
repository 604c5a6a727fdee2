"""Visitors who want to be remembered: a name, a website, and a number that nobody can guess."""

from dataclasses import dataclass

from itsdangerous import URLSafeSerializer
from werkzeug import Response

from blog import cookies
from blog.request import Request

PURPOSE = "person"

#: For how long, in seconds: a year.
MAX_AGE = 365 * 24 * 3600


@dataclass(frozen=True)
class Person:
    """Somebody who has commented here before, by what the browser says. ``id`` is secret."""

    name: str = ""
    website: str = ""
    id: str = ""


def recall(request: Request) -> Person:
    """Return who the visitor is; a :class:`Person` without an id if we were not to remember."""
    try:
        name, website, id_ = cookies.read(_serializer(request), cookies.get(request, PURPOSE))
    except (TypeError, ValueError):
        return Person()
    return Person(name, website, id_)


def remember(request: Request, response: Response, person: Person) -> None:
    """Let the visitor's browser keep who this is, from now on."""
    value = _serializer(request).dumps((person.name, person.website, person.id))
    cookies.put(request, response, PURPOSE, str(value), MAX_AGE)


def forget(request: Request, response: Response) -> None:
    """Let the visitor's browser keep nothing any more."""
    if cookies.get(request, PURPOSE):
        cookies.put(request, response, PURPOSE, "", max_age=0)


def _serializer(request: Request) -> URLSafeSerializer:
    return URLSafeSerializer(request.secret, salt="person")
