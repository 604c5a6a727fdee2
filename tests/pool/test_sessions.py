"""Sessions for a unit of work and for a request: nothing stays open, however it ends."""

import io
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from sqlalchemy import Engine, QueuePool, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.pool import Pool

from pool import ThreadLocalPool
from pool.sessions import ClosingBody, ClosingHook, SessionPerRequest, UnitOfWork
from tests.pool.servers import thread_per_request, waitress_threads
from tests.pool.watched import Worker, in_thread, make_engine, notes, open_files, pool_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Serving = Callable[["WSGIApplication"], AbstractContextManager[str]]


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"

    rowid: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@pytest.fixture(params=[False, True], ids=["unchecked", "check_same_thread"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(tmp_path, check_same_thread=request.param)
    yield engine
    assert pool_of(engine).checkedout() == 0
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


def in_use(sessions: sessionmaker[Session]) -> int:
    return pool_of(sessions.kw["bind"]).checkedout()


# One unit of work


def test_work_connects_at_first_query(
    sessions: sessionmaker[Session],
) -> None:
    with UnitOfWork(sessions) as work:
        assert work.session is work.session
        assert in_use(sessions) == 0
        work.session.execute(text("SELECT 1"))
        assert in_use(sessions) == 1
    assert in_use(sessions) == 0


def test_work_rolls_back_uncommitted(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    with UnitOfWork(sessions) as work:
        work.session.add(Note(text="committed"))
        work.session.commit()
        work.session.add(Note(text="flushed"))
        work.session.flush()
        work.session.add(Note(text="pending"))

    assert notes(tmp_path) == ["committed"]


@pytest.mark.parametrize("error", [RuntimeError("in the work"), KeyboardInterrupt()])
def test_work_exception(
    sessions: sessionmaker[Session], tmp_path: Path, error: BaseException
) -> None:
    def work_and_fail() -> None:
        with UnitOfWork(sessions) as work:
            work.session.add(Note(text="not committed"))
            work.session.flush()
            raise error

    with pytest.raises(type(error)):
        work_and_fail()
    assert in_use(sessions) == 0
    assert notes(tmp_path) == []


def test_objects_readable_after_work(sessions: sessionmaker[Session]) -> None:
    with UnitOfWork(sessions) as work:
        work.session.add(Note(text="a note"))
        work.session.commit()
    with UnitOfWork(sessions) as work:
        note = work.session.get_one(Note, 1)

    assert note.text == "a note"


def test_work_closed_twice(sessions: sessionmaker[Session]) -> None:
    work = UnitOfWork(sessions)
    work.close()
    work.session.execute(text("SELECT 1"))
    work.close()
    work.close()

    assert in_use(sessions) == 0


def test_session_after_close_is_new(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    work = UnitOfWork(sessions)
    first = work.session
    first.add(Note(text="not committed"))
    first.flush()
    work.close()

    assert work.session is not first
    assert work.session.query(Note).all() == []
    work.close()
    assert in_use(sessions) == 0


def test_work_closed_in_other_thread(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    work = UnitOfWork(sessions)
    with Worker() as worker:
        worker.run(lambda: work.session.execute(text("INSERT INTO note VALUES ('unsaid')")))
        work.close()
        assert in_use(sessions) == 0
        assert notes(tmp_path) == []


@pytest.mark.parametrize("poolclass", [ThreadLocalPool, QueuePool])
def test_failed_rollback_is_logged(
    tmp_path: Path, poolclass: type[Pool], caplog: pytest.LogCaptureFixture
) -> None:
    class FailingConnection(sqlite3.Connection):
        failing = False

        def rollback(self) -> None:
            if self.failing:
                raise sqlite3.OperationalError("disk I/O error")
            super().rollback()

    engine = create_engine(
        f"sqlite:///{(tmp_path / 'blog.db').as_posix()}",
        poolclass=poolclass,
        connect_args={"factory": FailingConnection},
    )
    work = UnitOfWork(sessionmaker(engine))
    work.session.connection().connection.dbapi_connection.failing = True  # type: ignore[union-attr]
    session = work.session  # or the garbage collector could do what close() should
    work.close()

    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert "disk I/O error" in caplog.text
    assert not session.in_transaction()
    with UnitOfWork(sessionmaker(engine)) as next_work:
        assert next_work.session.scalar(text("SELECT 1")) == 1
    engine.dispose()


# The response-closing hook


class Body:
    """A body that records calls and can fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.calls: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        yield b"begun, "
        if self.failing == "iteration":
            raise OSError("in the middle")
        yield b"done"

    def close(self) -> None:
        self.calls.append("body")
        if self.failing == "close":
            raise OSError("in close")

    def hook(self) -> None:
        self.calls.append("hook")


def test_hook_after_body() -> None:
    body = Body()
    closing = ClosingBody(body, body.hook)

    assert b"".join(closing) == b"begun, done"
    assert body.calls == []
    closing.close()
    assert body.calls == ["body", "hook"]


def test_body_closed_twice() -> None:
    body = Body()
    closing = ClosingBody(body, body.hook)
    closing.close()
    closing.close()

    assert body.calls == ["body", "hook"]


def test_hook_after_failed_body_close() -> None:
    body = Body("close")
    closing = ClosingBody(body, body.hook)

    with pytest.raises(OSError, match="in close"):
        closing.close()
    assert body.calls == ["body", "hook"]


@pytest.mark.parametrize("body", [[b"a ", b"list"], iter([b"a ", b"list"]), (b"a ", b"list")])
def test_body_without_close(body: Iterable[bytes]) -> None:
    closed: list[bool] = []
    closing = ClosingBody(body, lambda: closed.append(True))

    assert b"".join(closing) == b"a list"
    closing.close()
    assert closed == [True]


# A session per request: kinds of response, on the standard library's server


def test_file_wrapper_object_is_kept() -> None:
    environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
    closed: list[bool] = []
    hook, file = ClosingHook(environ), io.BytesIO(b"content")
    body = environ["wsgi.file_wrapper"](file, 4096)

    assert hook.attach(body, lambda: closed.append(file.closed)) is body
    assert isinstance(body, FileWrapper)
    assert b"".join(body) == b"content"
    assert closed == []
    body.close()
    body.close()
    assert closed == [True], "once, after the file"


def test_unused_file_wrapper() -> None:
    environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
    hook = ClosingHook(environ)
    closed: list[bool] = []
    environ["wsgi.file_wrapper"](io.BytesIO(b"not sent")).close()
    body = hook.attach([b"sent"], lambda: closed.append(True))

    assert list(body) == [b"sent"]
    assert closed == []
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_hook_after_failed_file_close() -> None:
    class File(io.BytesIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError("in close")

    environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
    hook = ClosingHook(environ)
    closed: list[bool] = []
    body: Any = hook.attach(environ["wsgi.file_wrapper"](File(b"x")), lambda: closed.append(True))
    with pytest.raises(OSError, match="in close"):
        body.close()
    assert closed == [True]


def test_no_file_wrapper() -> None:
    environ: dict[str, Any] = {}
    body = ClosingHook(environ).attach([b"sent"], lambda: None)

    assert list(body) == [b"sent"]
    assert environ == {}


def answer(application: "WSGIApplication") -> bytes:
    """What a client gets."""
    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    sent = io.BytesIO()
    SimpleHandler(io.BytesIO(), sent, io.StringIO(), environ).run(application)
    return sent.getvalue()


def begin(environ: "WSGIEnvironment", start_response: "StartResponse") -> Callable[..., object]:
    """Write a note without committing it, and begin the response."""
    environ["threadleaf.work"].session.execute(text("INSERT INTO note VALUES ('not committed')"))
    return start_response("200 OK", [("Content-Type", "text/plain")])


def a_list(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    begin(environ, start_response)
    return [b"begun, ", b"done"]


def a_tuple(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    begin(environ, start_response)
    return (b"begun, ", b"done")


def a_generator(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    begin(environ, start_response)
    yield b"begun, "
    environ["threadleaf.work"].session.execute(text("SELECT 1"))
    yield b"done"


def a_body_with_close(
    environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    begin(environ, start_response)
    return Body()


def a_file(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    begin(environ, start_response)
    body: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"begun, done"))
    return body


def by_write(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    write = begin(environ, start_response)
    write(b"begun, ")
    return [b"done"]


@pytest.mark.parametrize(
    "application", [a_list, a_tuple, a_generator, a_body_with_close, a_file, by_write]
)
def test_every_response_closes_session(
    sessions: sessionmaker[Session], tmp_path: Path, application: "WSGIApplication"
) -> None:
    sent = answer(validator(SessionPerRequest(application, sessions)))

    assert sent.startswith(b"HTTP/1.0 200 OK")
    assert sent.endswith(b"begun, done")
    assert in_use(sessions) == 0
    assert notes(tmp_path) == []


class ErrorInTheApplication(BaseException):
    """What only a handler for everything would catch."""


def failing_at_once(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    begin(environ, start_response)
    raise RuntimeError("before a body is there")


def ending_at_once(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    begin(environ, start_response)
    raise ErrorInTheApplication


def failing_in_the_middle(
    environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    begin(environ, start_response)
    return Body("iteration")


def failing_generator(
    environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    begin(environ, start_response)
    yield b"begun"
    raise ErrorInTheApplication


def without_a_body(environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
    begin(environ, start_response)


@pytest.mark.parametrize(
    ("application", "status"),
    [
        (failing_at_once, b"500"),
        (ending_at_once, b"500"),
        (failing_in_the_middle, b"200"),
        (failing_generator, b"200"),
        (without_a_body, b"500"),
    ],
)
def test_every_failure_closes_session(
    sessions: sessionmaker[Session], tmp_path: Path, application: "WSGIApplication", status: bytes
) -> None:
    sent = answer(SessionPerRequest(application, sessions))

    assert sent.startswith(b"HTTP/1.0 " + status)
    assert in_use(sessions) == 0
    assert notes(tmp_path) == []


def test_failing_start_response(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    def start_response(*_: Any) -> Any:
        raise OSError("the client has disconnected")

    environ: dict[str, Any] = {}
    with pytest.raises(OSError, match="disconnected"):
        SessionPerRequest(a_list, sessions)(environ, start_response)
    assert in_use(sessions) == 0
    assert notes(tmp_path) == []


def _start_response(*_: Any) -> Callable[[bytes], object]:
    return lambda _: None


def test_unstarted_generator() -> None:
    opened: list[Session] = []

    def sessions() -> Session:
        opened.append(Session())
        return opened[-1]

    body = SessionPerRequest(a_generator, sessions)({}, _start_response)
    body.close()  # type: ignore[attr-defined]

    assert opened == []


def test_client_disconnect_closes_session(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    body = SessionPerRequest(a_generator, sessions)({}, _start_response)
    iterator = iter(body)

    assert next(iterator) == b"begun, "
    assert in_use(sessions) == 1
    body.close()  # type: ignore[attr-defined]
    assert in_use(sessions) == 0
    assert notes(tmp_path) == []


def test_list_body_returns_early(
    sessions: sessionmaker[Session],
) -> None:
    body = SessionPerRequest(a_list, sessions)({}, _start_response)

    assert body == [b"begun, ", b"done"]
    assert in_use(sessions) == 0


def test_session_in_generator_close(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            yield b"begun"
        finally:
            begin(environ, start_response)
            environ["threadleaf.work"].session.commit()

    body = SessionPerRequest(application, sessions)({}, _start_response)
    assert next(iter(body)) == b"begun"
    body.close()  # type: ignore[attr-defined]

    assert in_use(sessions) == 0
    assert notes(tmp_path) == ["not committed"]


def test_server_closes_in_other_thread(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    body = SessionPerRequest(a_body_with_close, sessions)({}, _start_response)
    in_thread(body.close)  # type: ignore[attr-defined]

    assert in_use(sessions) == 0
    assert notes(tmp_path) == []


# Real servers, with many requests at once


def each_in_its_own_session(
    environ: "WSGIEnvironment", start_response: "StartResponse"
) -> Iterable[bytes]:
    """Add a note of the path's name; what the first part of the path says becomes of it."""
    _, ending, name = environ["PATH_INFO"].split("/")
    session: Session = environ["threadleaf.work"].session
    if session.info or session.in_transaction() or list(session):
        start_response("409 Conflict", [("Content-Type", "text/plain")])
        return [f"the session of {session.info}".encode()]
    session.info["name"] = name
    if ending == "stream":
        # Servers may notice a disconnect late, so no client should wait for this one.
        session.execute(text("SELECT * FROM note"))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (session.info["name"].encode() * 30_000 for _ in range(30))
    session.add(Note(text=name))
    session.flush()
    if ending == "commit":
        session.commit()
    elif ending == "raise":
        raise RuntimeError("this is meant")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [session.info["name"].encode()]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("serving", [thread_per_request, waitress_threads])
def test_load_leaves_no_connection(
    engine: Engine, sessions: sessionmaker[Session], tmp_path: Path, serving: Serving
) -> None:
    event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA busy_timeout = 30000"))
    endings = ["commit", "forget", "raise", "stream"]

    def visit(client: int) -> list[str]:
        wrong = []
        for number in range(16):
            ending = endings[(client + number) % 4]
            name = f"{client}.{number}"
            connection = HTTPConnection(address, timeout=30)
            connection.request("GET", f"/{ending}/{name}")
            with connection.getresponse() as response:
                # Streaming clients leave after a few bytes.
                begun = response.read(len(name)).decode()
            connection.close()
            status = 500 if ending == "raise" else 200
            if response.status != status or (status == 200 and begun != name):
                wrong.append(f"{ending} {name}: {response.status} {begun}")
        return wrong

    with serving(SessionPerRequest(each_in_its_own_session, sessions)) as url:
        address = url.removeprefix("http://")
        with ThreadPoolExecutor(8) as clients:
            wrong = [line for lines in clients.map(visit, range(8)) for line in lines]

    assert wrong == []
    committed = [f"{c}.{n}" for c in range(8) for n in range(16) if (c + n) % 4 == 0]
    assert sorted(notes(tmp_path)) == sorted(committed)
    assert (pool_of(engine).checkedout(), pool_of(engine).checkedin()) == (0, 0)
    assert open_files(tmp_path) == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("serving", [thread_per_request, waitress_threads])
def test_concurrent_requests_have_own_sessions(
    sessions: sessionmaker[Session], serving: Serving
) -> None:
    together = threading.Barrier(4, timeout=30)
    met: list[Session] = []

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        session = environ["threadleaf.work"].session
        session.info["path"] = environ["PATH_INFO"]
        session.execute(text("SELECT * FROM note"))
        met.append(session)
        together.wait()
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield session.info["path"].encode()

    def visit(path: str) -> str:
        connection = HTTPConnection(address, timeout=30)
        connection.request("GET", path)
        with connection.getresponse() as response:
            seen = response.read().decode()
        connection.close()
        return seen

    with serving(SessionPerRequest(application, sessions)) as url:
        address = url.removeprefix("http://")
        with ThreadPoolExecutor(4) as clients:
            assert list(clients.map(visit, ["/1", "/2", "/3", "/4"])) == ["/1", "/2", "/3", "/4"]

    assert len({id(session) for session in met}) == 4
    assert in_use(sessions) == 0
