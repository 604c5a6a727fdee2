"""Recognising visitors without accounts who chose to be remembered."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import URLSafeSerializer
from werkzeug import Response

from blog.http import cookies
from blog.http.client_network import network_of
from blog.request import Request

PURPOSE = "person"

#: The lifetime of the cookie, in seconds: a year.
MAX_AGE = 365 * 24 * 3600


@dataclass(frozen=True)
class Person:
    """The content of a remembered visitor's cookie. ``id`` is secret."""

    name: str = ""
    website: str = ""
    id: str = ""


@dataclass(frozen=True)
class Visitor:
    """The sender of a form, as far as a blog without accounts can identify one.

    :param id: the secret id of a visitor who chose to be remembered; empty for any other.
    :param person: a keyed hash of the id; None for an empty one.
    :param network: a keyed hash of the client's network.
    """

    id: str
    person: str | None
    network: str


def recall(request: Request) -> Person:
    """Return the remembered visitor; an empty :class:`Person` if there is no valid cookie."""
    try:
        name, website, id_ = cookies.read(_serializer(request), cookies.get(request, PURPOSE))
    except (TypeError, ValueError):
        return Person()
    return Person(name, website, id_)


def identify(request: Request, *, remember: bool) -> Visitor:
    """Return the sender of a form.

    :param remember: whether they chose to be remembered. A returning visitor keeps the same id.
    """
    network = network_of(request.remote_addr or "")
    id_ = (recall(request).id or secrets.token_urlsafe(16)) if remember else ""
    person = _keyed(request.secret, "person", id_) if id_ else None
    return Visitor(id_, person, _keyed(request.secret, "network", network))


def keep(request: Request, response: Response, person: Person) -> None:
    """Set the cookie of a visitor who chose to be remembered; delete that of any other.

    :param person: without an id for any other.
    """
    if person.id:
        value = _serializer(request).dumps((person.name, person.website, person.id))
        cookies.put(request, response, PURPOSE, str(value), MAX_AGE)
    elif cookies.get(request, PURPOSE):
        cookies.put(request, response, PURPOSE, "", max_age=0)


def _serializer(request: Request) -> URLSafeSerializer:
    return URLSafeSerializer(request.secret, salt="person")


def _keyed(secret: str, purpose: str, value: str) -> str:
    """Return a keyed hash: without the secret it cannot be reversed by trying all values."""
    key = f"{purpose}:{secret}".encode()
    return hmac.new(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
