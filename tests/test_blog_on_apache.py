"""The blog under a real Apache: each thread of each process, and one database file for all."""

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import NullPool, create_engine, select
from sqlalchemy.orm import Session

from blog import schema
from blog.config import FILE_VARIABLE
from blog.database import connect, session_factory
from blog.models import Comment, Entry, Tag
from tests.apache import Apache, daemon, embedded, hammer, missing, open_directory, python_home
from tests.processes import ROOT
from tests.test_apache import SITE, ask

pytestmark = [pytest.mark.apache, pytest.mark.timeout(180)]


@dataclass
class Installed:
    """The blog as `deploy/apache` wants it: the application, and a folder for the database."""

    folder: Path

    @property
    def script(self) -> Path:
        return self.folder / "app" / "app.wsgi"

    @property
    def database(self) -> Path:
        return self.folder / "data" / "blog.db"

    def set(self, settings: str, path: Path | None = None) -> None:
        """Write the settings, to `path` or beside app.wsgi."""
        (path or self.script.with_name("threadleaf.toml")).write_text(settings, encoding="utf-8")

    def stored(self) -> list[str]:
        """The texts of all comments."""
        engine = create_engine(f"sqlite:///{self.database}", poolclass=NullPool)
        with Session(engine) as db:
            return list(db.scalars(select(Comment.text)))


@pytest.fixture
def installed() -> Iterator[Installed]:
    with open_directory() as folder:
        blog = Installed(folder)
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("blog", "pool", "templates"):
            shutil.copytree(ROOT / name, folder / "app" / name, ignore=ignore)
        shutil.copy(ROOT / "app.wsgi", blog.script)
        reason = missing(blog.script)
        if reason is not None:
            pytest.skip(reason)
        blog.database.parent.mkdir()
        fill(f"sqlite:///{blog.database}")
        yield blog


def fill(url: str) -> None:
    engine = connect(url)
    schema.upgrade(engine)
    now = datetime.now(UTC)
    with session_factory(engine)() as db:
        tag = Tag(name="Tea", slug="tea")
        for number in range(30):
            entry = Entry(
                title=f"Entry {number}",
                slug=f"entry-{number}",
                body=f"The *body* of entry {number}.\n\n" * 5,
                timestamp=now - timedelta(days=number + 1),
                featured=number == 20,
                tags=[tag],
                comments=[Comment(text="Early", created=now)],
            )
            db.add(entry)
        db.commit()
    engine.dispose()


def send_comment(url: str, text: str, number: int = 0) -> int:
    """Fill in the form on an entry's page as a browser would, and return the answer's status.

    :param number: of the visitor's network, of which none may send many.
    """
    page = ask(url)[1].decode()
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    action = re.search(r'<form[^>]* action="([^"]+)"', page)
    assert token is not None
    assert action is not None
    response, _ = ask(
        re.sub(r"(://[^/]+)/.*", r"\1", url) + action[1],
        "POST",
        urlencode({"csrf_token": token[1], "text": text}).encode(),
        source=f"127.0.{number}.1",
        Content_Type="application/x-www-form-urlencoded",
    )
    return response.status


@pytest.mark.parametrize("check_same_thread", ["true", "false"])
@pytest.mark.parametrize("mode", [daemon, embedded])
def test_every_request_is_answered(
    installed: Installed, mode: Callable[..., str], check_same_thread: str
) -> None:
    url = f"sqlite:///{installed.database}?check_same_thread={check_same_thread}"
    # Twice as many as visitors, so that none of them finds the queue of writers full.
    installed.set(f'database = "{url}"\nthreads = 32\n')

    with Apache(installed.folder, mode(installed.script, processes=2, threads=15)) as apache:
        assert hammer([f"{apache.url}/blog", f"{apache.url}/blog.html"]) == {200: 1000}
        with ThreadPoolExecutor(16) as visitors:
            # With those that are there already fewer than would make others wait.
            texts = [f"Comment {number}" for number in range(30)]
            sent = visitors.map(send_comment, [f"{apache.url}/blog/entry-3"] * 30, texts, range(30))
            assert list(sent) == [303] * 30
        page = ask(f"{apache.url}/blog/entry-3")[1].decode()
        for text in texts:
            assert f"{text}<" in page
        assert "Traceback" not in apache.log()
    assert sorted(installed.stored()) == sorted(["Early"] * 30 + texts)


def test_below_a_path_of_a_larger_site(installed: Installed) -> None:
    settings = installed.folder / "elsewhere.toml"
    installed.set(
        f'site_url = "https://example.org/journal"\ndatabase = "{installed.database}"\n', settings
    )
    site = SITE.read_text(encoding="utf-8")
    for ours, theirs in [
        ("/srv/threadleaf/venv", str(python_home())),
        ("/srv/threadleaf", str(installed.folder)),
        ("user=threadleaf group=threadleaf ", ""),
        ("<VirtualHost *:80>", "<VirtualHost *:*>"),
        ("    WSGIScriptAlias / ", "    WSGIScriptAlias /journal "),
    ]:
        assert ours in site
        site = site.replace(ours, theirs)

    with Apache(installed.folder, site, {FILE_VARIABLE: str(settings)}) as apache:
        waiting, seen = ["/journal/blog"], {"/journal/blog"}
        while waiting:
            response, body = ask(apache.url + waiting.pop())
            assert response.status == 200
            if response.headers["Content-Type"].startswith("text/html"):
                if b'rel="canonical"' in body:
                    assert b'href="https://example.org/journal/' in body
                found = set(re.findall(r' (?:href|action|src)="(/[^"?#]*)', body.decode()))
                links = {link for link in found if not link.endswith("/comments")}
                waiting += links - seen
                seen |= links
        assert {link for link in seen if not link.startswith("/journal/")} == set()
        assert len(seen) > 30
        assert send_comment(f"{apache.url}/journal/blog/entry-1", "From below") == 303
        assert ask(f"{apache.url}/blog")[0].status == 404
    assert "From below" in installed.stored()
