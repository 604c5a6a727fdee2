"""The response-closing hook: a connection is returned however a response ends."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen
from wsgiref.validate import validator

import pytest
from sqlalchemy import Engine, text
from werkzeug import Response
from werkzeug.test import Client, create_environ, run_wsgi_app
from werkzeug.utils import send_file

from blog.application import Blog
from blog.http.page_cache import Finish
from blog.request import Request
from tests.conftest import BlogClient, MakeEntry
from tests.pool.servers import waitress_threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def in_use(engine: Engine) -> int:
    out: int = engine.pool.checkedout()  # type: ignore[attr-defined]
    return out


def responding(app: Blog, respond: Callable[[Request], Response]) -> Blog:
    """Return the application `app` with `respond` in place of its own."""

    class Other(Blog):
        def respond(self, request: Request, finish: Finish) -> "WSGIApplication":
            return finish(request, respond(request))

    return Other(app.config, app.engine, app.secret)


def use_database(request: Request) -> None:
    request.db.execute(text("SELECT title FROM entry")).all()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "status"),
    [("/blog", 200), ("/blog/a-title", 200), ("/blog/none", 404), ("/blog/feed.atom", 200)],
)
def test_connection_is_back_before_first_byte(
    app: Blog, engine: Engine, make_entry: MakeEntry, method: str, path: str, status: int
) -> None:
    make_entry()
    at_start: list[int] = []

    def start_response(*_: Any) -> Callable[[bytes], object]:
        at_start.append(in_use(engine))
        return lambda _: None

    body = app(create_environ(path, method=method), start_response)

    assert at_start == [0]
    assert b"".join(body) != b"" or method == "HEAD"
    body.close()  # type: ignore[attr-defined]
    assert in_use(engine) == 0
    assert BlogClient(app).open(path, method=method).status_code == status


def test_not_modified_closes_session(
    client: BlogClient, engine: Engine, make_entry: MakeEntry
) -> None:
    make_entry()
    etag = client.get("/blog").headers["ETag"]

    assert client.get("/blog", headers={"If-None-Match": etag}).status_code == 304
    assert in_use(engine) == 0


def test_file_closes_session(app: Blog, engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("content")

    def respond(request: Request) -> Response:
        use_database(request)
        return send_file(file, request.environ)

    assert BlogClient(responding(app, respond)).get("/").text == "content"
    assert in_use(engine) == 0


def streaming(request: Request) -> Response:
    """Stream rows from a session that is reopened while the body is sent."""

    def rows() -> Iterator[str]:
        for number in range(1000):
            request.db.execute(text("SELECT 1")).one()
            yield f"{number:05}" + "." * 1000

    use_database(request)
    return Response(rows())


def test_streamed_body_read_to_end(app: Blog, engine: Engine) -> None:
    response = Client(responding(app, streaming)).get("/")

    assert len(response.data) == 1005 * 1000
    assert in_use(engine) == 1, "the session of the body stays open until close()"
    response.close()
    assert in_use(engine) == 0


def test_streamed_body_never_read(app: Blog, engine: Engine) -> None:
    response = Client(responding(app, streaming)).open("/", method="HEAD")

    response.close()
    assert in_use(engine) == 0


def test_streamed_body_abandoned(app: Blog, engine: Engine) -> None:
    body, _, _ = run_wsgi_app(responding(app, streaming), create_environ("/"))
    next(iter(body))

    assert in_use(engine) == 1
    body.close()  # type: ignore[attr-defined]
    assert in_use(engine) == 0


def test_body_raises(app: Blog, engine: Engine) -> None:
    def failing(request: Request) -> Iterator[str]:
        use_database(request)
        yield "begun"
        raise RuntimeError("in the middle")

    client = Client(responding(app, lambda request: Response(failing(request))))
    response = client.get("/")

    with pytest.raises(RuntimeError, match="in the middle"):
        response.get_data()
    assert in_use(engine) == 1
    response.close()
    assert in_use(engine) == 0


@pytest.mark.parametrize("error", [RuntimeError("early"), KeyboardInterrupt(), SystemExit(3)])
def test_application_raises_before_body(app: Blog, engine: Engine, error: BaseException) -> None:
    def respond(request: Request) -> Response:
        use_database(request)
        raise error

    with pytest.raises(type(error)):
        Client(responding(app, respond)).get("/")
    assert in_use(engine) == 0


def test_start_response_raises(app: Blog, engine: Engine) -> None:
    def start_response(*_: Any) -> Any:
        raise OSError("the connection is gone")

    with pytest.raises(OSError, match="gone"):
        app(create_environ("/blog"), start_response)
    assert in_use(engine) == 0


def test_inner_close_raises(app: Blog, engine: Engine) -> None:
    class Body:
        def __init__(self, request: Request) -> None:
            self.request = request

        def __iter__(self) -> Iterator[bytes]:
            use_database(self.request)
            yield b"content"

        def close(self) -> None:
            raise RuntimeError("in close")

    response = Client(responding(app, lambda request: Response(Body(request)))).get("/")
    assert response.data == b"content"

    with pytest.raises(RuntimeError, match="in close"):
        response.close()
    assert in_use(engine) == 0


def test_uncommitted_change_is_rolled_back(
    app: Blog, engine: Engine, make_entry: MakeEntry
) -> None:
    make_entry()

    def respond(request: Request) -> Response:
        request.db.execute(text("UPDATE entry SET title = 'Changed'"))
        return Response("done")

    BlogClient(responding(app, respond)).get("/")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT title FROM entry")) == "A title"


def test_application_conforms_to_pep_3333(app: Blog, make_entry: MakeEntry) -> None:
    make_entry()
    client = BlogClient(validator(app))

    for path in ("/blog", "/blog/a-title", "/nowhere", "/robots.txt"):
        assert client.get(path).status_code in {200, 404}
        assert client.head(path).data == b""


def test_server_closes_session_of_lost_client(app: Blog, engine: Engine) -> None:
    with waitress_threads(responding(app, streaming)) as address:
        for _ in range(5):
            with urlopen(address) as response:
                assert response.read(10)
        with urlopen(address) as response:
            assert len(response.read()) == 1005 * 1000
    assert in_use(engine) == 0
