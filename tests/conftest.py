"""A real database file and a real application for each test."""

import gc
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.test import Client, TestResponse

from blog import demo
from blog.application import Blog
from blog.config import Config
from blog.database import connect, session_factory
from blog.entries.rendering import render_entry
from blog.importing.run import import_path
from blog.models import Comment, Entry, Tag
from blog.operations import migration

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"

SITE_URL = "https://blog.example"

NOW = datetime.now(UTC)

MakeEntry = Callable[..., Entry]


@pytest.fixture(scope="module", autouse=True)
def garbage() -> Iterator[None]:
    """Report what a module has left open at this module, and not at a later one."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an empty blog, created once; each test gets a copy."""
    path = tmp_path_factory.mktemp("migrated") / "blog.db"
    engine = connect(f"sqlite:///{path.as_posix()}")
    migration.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def config(tmp_path: Path, migrated: Path) -> Config:
    path = tmp_path / "blog.db"
    shutil.copy(migrated, path)
    return Config(title="Test blog", site_url=SITE_URL, database=f"sqlite:///{path.as_posix()}")


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    engine = connect(config.database)
    yield engine
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()


@pytest.fixture
def db(engine: Engine) -> Iterator[Session]:
    with session_factory(engine)() as session:
        yield session


@pytest.fixture
def app(config: Config, engine: Engine) -> Blog:
    return Blog(config, engine, migration.check(engine).secret)


def form_token(page: str) -> str:
    """Return the security token of a page's comment form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found, "the page has no comment form"
    return found[1]


class BlogClient(Client):
    """A browser without JavaScript: it reads each response to the end and closes it."""

    #: The IP address that comments come from.
    address = "203.0.113.7"

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        # By default Werkzeug's client never closes a response, and the hook would not run.
        kwargs.setdefault("buffered", True)
        return super().open(*args, **kwargs)

    def send_comment(self, slug: str, **fields: str) -> TestResponse:
        """Open an entry's page, fill in the form, and submit it."""
        page = self.get(f"/blog/{slug}").text
        data = {"csrf_token": form_token(page), **fields}
        return self.post(
            f"/blog/{slug}/comments", data=data, environ_base={"REMOTE_ADDR": self.address}
        )


@pytest.fixture
def client(app: Blog) -> BlogClient:
    return BlogClient(app)


@pytest.fixture
def make_entry(db: Session) -> MakeEntry:
    """Return a function that stores an entry, by default one published an hour ago."""

    def make(title: str = "A title", *, tags: tuple[str, ...] = (), **values: Any) -> Entry:
        known = {tag.slug: tag for tag in db.query(Tag)}
        entry = Entry(
            **{
                "title": title,
                "slug": title.lower().replace(" ", "-"),
                "body": f"The body of *{title}*.",
                "timestamp": NOW - timedelta(hours=1),
                **values,
            },
            tags=[known.get(name) or Tag(name=name, slug=name) for name in tags],
        )
        db.add(entry)
        render_entry(db, entry)
        db.commit()
        return entry

    return make


@pytest.fixture
def make_comment(db: Session) -> Callable[..., Comment]:
    """Return a function that stores a comment on an entry."""

    def make(entry: Entry, text: str = "A comment.", **values: Any) -> Comment:
        comment = Comment(entry=entry, text=text, **{"created": NOW, **values})
        db.add(comment)
        db.commit()
        return comment

    return make


@pytest.fixture(scope="session")
def demo_blog(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Blog]:
    """The blog of `threadleaf demo`."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    shutil.copy(migrated, path)
    config = Config(title="Demo", site_url=SITE_URL, database=f"sqlite:///{path.as_posix()}")
    engine = connect(config.database)
    sessions = session_factory(engine)
    for _ in import_path(demo.HERE, sessions):
        pass
    with sessions() as db:
        demo.add_comments(db)
    yield Blog(config, engine, migration.check(engine).secret)
    engine.dispose()


@pytest.fixture(scope="session")
def samples() -> Path:
    """Real exports of other blogs, which are not part of the project."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no sample exports in {SAMPLES}")
    return SAMPLES
