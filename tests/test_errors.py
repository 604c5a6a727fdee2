"""Internal errors: the page for the visitor, and the log."""

import logging

import pytest
from jinja2 import TemplateError
from werkzeug import Response
from werkzeug.exceptions import HTTPException, RequestTimeout

from blog.application import Blog
from blog.request import Request
from tests.conftest import BlogClient


def failing(app: Blog, error: Exception) -> BlogClient:
    """Return a client of an application whose views all raise `error`."""

    class Failing(Blog):
        def dispatch(self, request: Request) -> Response:
            raise error

    return BlogClient(Failing(app.config, app.engine, app.secret))


def test_exception_is_page_and_logged_once(app: Blog, caplog: pytest.LogCaptureFixture) -> None:
    response = failing(app, ZeroDivisionError("a secret")).get("/blog?x=1")

    assert response.status_code == 500
    assert "The error has been logged." in response.text
    assert "a secret" not in response.text
    (record,) = caplog.records
    assert record.getMessage() == "GET /blog failed"
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_error_page_keeps_form_text(app: Blog) -> None:
    response = failing(app, ZeroDivisionError()).post(
        "/blog/a-title/comments", data={"text": "Long thought <about>", "csrf_token": "x"}
    )

    assert response.status_code == 500
    assert "Long thought &lt;about&gt;" in response.text


def test_client_error_is_not_logged(app: Blog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "blog")

    assert failing(app, RequestTimeout()).get("/blog").status_code == 408
    assert caplog.records == []


def test_failing_error_page_is_plain_text(app: Blog, caplog: pytest.LogCaptureFixture) -> None:
    class Unspeakable(HTTPException):
        code = 418
        name = "Teapot"

        def get_headers(self, *_: object) -> list[tuple[str, str]]:
            raise TemplateError

    response = failing(app, Unspeakable()).get("/blog")

    assert (response.status_code, response.text) == (418, "418 Teapot")
    assert [record.getMessage() for record in caplog.records] == [
        "The error page for GET /blog failed"
    ]


@pytest.mark.parametrize("path", ["/blog", "/nowhere", "/blog/none"])
def test_every_response_has_security_headers(client: BlogClient, path: str) -> None:
    headers = client.get(path).headers

    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
