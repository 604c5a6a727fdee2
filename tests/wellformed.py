"""Rules for every response."""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from lxml import etree, html

from tests.conftest import SITE_URL
from tests.fuzz import Answer, Wanted


def faults(wanted: Wanted, answer: Answer, always: dict[str, str]) -> Iterator[str]:
    """Return the faults of a response.

    :param always: the headers of every response, with the values that pages have.
    """
    if not 200 <= answer.status < 500:
        yield f"the status is {answer.status}"
    names = [name.lower() for name, _ in answer.headers]
    for name in set(names) - {"set-cookie"}:
        if names.count(name) > 1:
            yield f"{name} is repeated"
    for name, value in answer.headers:
        if re.search(r"[^\x20-\x7e\x80-\xff\t]", name + value):
            yield f"{name} has a control character"
    for name, value in always.items():
        # A file may have a stricter policy than a page.
        if answer.get(name) is None or (
            answer.mimetype == "text/html" and answer.get(name) != value
        ):
            yield f"{name} is {answer.get(name)!r}"
    yield from _faults_of_status(wanted, answer)
    yield from _faults_of_cookies(answer)
    if answer.body and not answer.get("Content-Encoding") and answer.status != 206:
        yield from _faults_of_body(answer)


def _faults_of_status(wanted: Wanted, answer: Answer) -> Iterator[str]:
    length = answer.get("Content-Length")
    if wanted.method == "HEAD" or answer.status in {204, 304}:
        if answer.body:
            yield "it has a body"
    elif int(length or 0) != len(answer.body):
        yield f"Content-Length is {length} for {len(answer.body)} bytes"
    if answer.status in {204, 304} and length:
        yield "a response without a body has a length"
    if answer.status == 405 and not answer.get("Allow"):
        yield "405 without Allow"
    location = answer.get("Location")
    if (location is not None) != (answer.status in {301, 302, 303, 307, 308}):
        yield f"{answer.status} with Location {location!r}"
    if location and not re.match(rf"({re.escape(SITE_URL)})?/(?![/\\])", location):
        yield f"it redirects to {location!r}"
    etag = answer.get("ETag")
    if etag is not None and not re.fullmatch(r'(W/)?"[\x21\x23-\x7e]+"', etag):
        yield f"ETag is {etag!r}"


def _faults_of_cookies(answer: Answer) -> Iterator[str]:
    for name, value in answer.headers:
        if name == "Set-Cookie":
            given = {part.strip().partition("=")[0].lower() for part in value.split(";")[1:]}
            needed = {"httponly", "samesite", "path", "secure"}
            if "Max-Age=0" in value:
                # A deleted cookie has no value to protect.
                needed = {"path", "secure"} if value.startswith("__Host-") else {"path"}
            if not needed <= given or "domain" in given:
                yield f"the cookie {value!r} is not safe"


def _faults_of_body(answer: Answer) -> Iterator[str]:
    for word in (b"Traceback (most", b"sqlalchemy.exc", b"site-packages"):
        if word in answer.body:
            yield f"it shows {word!r}"
    try:
        if answer.mimetype == "text/html":
            yield from _faults_of_page(html.document_fromstring(answer.body.decode()))
        elif answer.mimetype.endswith("json"):
            json.loads(answer.body)
        elif answer.mimetype.endswith("xml"):
            etree.fromstring(answer.body)
    except (ValueError, etree.LxmlError) as error:
        yield f"it is not valid {answer.mimetype}: {error}"


def _faults_of_page(page: Any) -> Iterator[str]:
    if page.xpath("//fuzz | //script[not(@type='application/ld+json')] | //style | //@style"):
        yield "it has markup of the visitor, or an inline script or style"
    for attribute in {str(name) for name in page.xpath("//@*[starts-with(name(), 'on')]")}:
        yield f"it has a handler: {attribute}"
    for link in page.xpath("//@href | //@src | //@action"):
        if re.match(r"\s*(javascript|data|vbscript):", unescape(link), re.IGNORECASE):
            yield f"it links to {link}"
    ids = [str(each) for each in page.xpath("//@id")]
    if len(ids) != len(set(ids)):
        yield f"duplicate ids: {sorted({each for each in ids if ids.count(each) > 1})}"
    if page.findtext(".//title") != "Redirecting...":
        for part in ("//title", "//h1", "//main"):
            if len(page.xpath(part)) != 1:
                yield f"it has {len(page.xpath(part))} of {part}"
