"""The blog under a real Apache: several processes and threads, one database file."""

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import NullPool, create_engine, select
from sqlalchemy.orm import Session

from blog.config import FILE_VARIABLE
from blog.database import connect, session_factory
from blog.models import Comment, Entry, Tag
from blog.operations import migration
from tests.apache import Apache, daemon, embedded, hammer, missing, open_directory, python_home
from tests.conftest import form_token
from tests.processes import PATIENCE, ROOT
from tests.test_apache import SITE, ask

pytestmark = [pytest.mark.apache, pytest.mark.timeout(180)]


@dataclass
class Installed:
    """The blog as `deploy/apache` expects it: the application, and a folder for the database."""

    folder: Path

    @property
    def script(self) -> Path:
        return self.folder / "app" / "app.wsgi"

    @property
    def database(self) -> Path:
        return self.folder / "data" / "blog.db"

    def set(self, settings: str, path: Path | None = None) -> None:
        """Write the settings to `path`, by default beside app.wsgi."""
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
    migration.upgrade(engine)
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


def site_file(installed: Installed) -> str:
    """Return the site file of `deploy/apache`, adapted to this machine."""
    site = SITE.read_text(encoding="utf-8")
    for ours, theirs in [
        ("/srv/threadleaf/venv", str(python_home())),
        ("/srv/threadleaf", str(installed.folder)),
        ("user=threadleaf group=threadleaf ", ""),
        ("<VirtualHost *:80>", "<VirtualHost *:*>"),
    ]:
        assert ours in site
        site = site.replace(ours, theirs)
    return site


def send_comment(url: str, text: str, number: int = 0) -> int:
    """Submit the form on an entry's page as a browser would, and return the status.

    :param number: the visitor's network, since each is limited.
    """
    page = ask(url)[1].decode()
    token = form_token(page)
    action = re.search(r'<form[^>]* action="([^"]+)"', page)
    assert action is not None
    response, _ = ask(
        re.sub(r"(://[^/]+)/.*", r"\1", url) + action[1],
        "POST",
        urlencode({"csrf_token": token, "text": text}).encode(),
        source=f"127.0.{number}.1",
        Content_Type="application/x-www-form-urlencoded",
    )
    return response.status


@pytest.mark.parametrize("check_same_thread", ["true", "false"])
@pytest.mark.parametrize("mode", [daemon, embedded])
def test_apache_serves_every_request(
    installed: Installed, mode: Callable[..., str], check_same_thread: str
) -> None:
    url = f"sqlite:///{installed.database}?check_same_thread={check_same_thread}"
    # Twice as many threads as visitors, so that the queue of writers is never full.
    installed.set(f'database = "{url}"\nthreads = 32\n')

    with Apache(installed.folder, mode(installed.script, processes=2, threads=15)) as apache:
        assert hammer([f"{apache.url}/blog", f"{apache.url}/blog.html"]) == {200: 1000}
        with ThreadPoolExecutor(16) as visitors:
            # With the existing comments, below the limits.
            texts = [f"Comment {number}" for number in range(30)]
            sent = visitors.map(send_comment, [f"{apache.url}/blog/entry-3"] * 30, texts, range(30))
            assert list(sent) == [303] * 30
        page = ask(f"{apache.url}/blog/entry-3")[1].decode()
        for text in texts:
            assert f"{text}<" in page
        assert "Traceback" not in apache.log()
    assert sorted(installed.stored()) == sorted(["Early"] * 30 + texts)


def test_apache_https_example(installed: Installed) -> None:
    installed.set(f'site_url = "https://blog.example.org"\ndatabase = "{installed.database}"\n')
    site = SITE.read_text(encoding="utf-8").partition("# Windows\n")[0]
    # As the file says: uncomment the host for https, and move the application there.
    plain, _, secure = site.partition("#<VirtualHost *:443>\n")
    begin = plain.index("    WSGIScriptAlias / ")
    end = plain.index("</Directory>") + len("</Directory>\n")
    secure = re.sub("^#", "", secure, flags=re.MULTILINE)
    # The test does not use TLS.
    secure = re.sub("^ *SSL.*\n", "", secure, flags=re.MULTILINE)
    site = (
        plain[: plain.index("<VirtualHost *:80>")]
        + "<VirtualHost *:*>\n"
        + plain[begin:end]
        + secure
    )
    for ours, theirs in [
        ("/srv/threadleaf/venv", str(python_home())),
        ("/srv/threadleaf", str(installed.folder)),
        ("user=threadleaf group=threadleaf ", ""),
    ]:
        assert ours in site
        site = site.replace(ours, theirs)

    with Apache(installed.folder, site) as apache:
        response, _ = ask(f"{apache.url}/blog")
    assert response.status == 200
    assert response.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]


def test_apache_below_path(installed: Installed) -> None:
    settings = installed.folder / "elsewhere.toml"
    installed.set(
        f'site_url = "https://example.org/journal"\ndatabase = "{installed.database}"\n', settings
    )
    site = site_file(installed)
    assert "    WSGIScriptAlias / " in site
    site = site.replace("    WSGIScriptAlias / ", "    WSGIScriptAlias /journal ")

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


def log_lines(apache: Apache, words: str, times: int) -> list[str]:
    """Wait until `times` lines of the log contain `words`, and return them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = [line for line in apache.log().splitlines() if words in line]
        if len(lines) >= times or time.monotonic() > deadline:
            assert len(lines) == times, apache.log()
            return lines
        time.sleep(0.1)


def test_apache_reports_wrong_settings(installed: Installed) -> None:
    installed.set(f'database = "{installed.database}"\nper_pag = 3\n')

    with Apache(installed.folder, site_file(installed)) as apache:
        # Each process logs it, even one without a request.
        for line in log_lines(apache, "The blog cannot start: ", times=2):
            assert 'threadleaf.toml: unknown setting "per_pag"' in line
        for method in ("GET", "HEAD", "POST"):
            response, body = ask(f"{apache.url}/blog", method)
            assert (response.status, response.headers["Retry-After"]) == (503, "10")
            assert body.startswith(b"The blog cannot start" if method != "HEAD" else b"")
        assert len(log_lines(apache, "cannot start", times=2)) == 2
        assert "Traceback" not in apache.log()

        installed.set(f'database = "{installed.database}"\nper_page = 3\n')
        deadline = time.monotonic() + PATIENCE
        while ask(f"{apache.url}/blog")[0].status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        log_lines(apache, "The blog has started; ", times=1)


def test_apache_log_line_cannot_be_forged(installed: Installed) -> None:
    installed.set(f'database = "{installed.database}"\n')

    with Apache(installed.folder, daemon(installed.script, processes=1, threads=2)) as apache:
        with closing(sqlite3.connect(installed.database)) as shell:
            shell.execute("DROP TABLE redirect")
        response, _ = ask(f"{apache.url}/blog/x%0a%5Bwsgi:error%5D%20signed%20in%1b%5B2J")
        assert response.status == 503
        (line,) = log_lines(apache, "signed in", times=1)
        assert "GET /blog/x" in line
        assert "\x1b" not in line


def test_apache_reports_proxy_once(installed: Installed) -> None:
    installed.set(f'database = "{installed.database}"\n')

    with Apache(installed.folder, daemon(installed.script, processes=1, threads=2)) as apache:
        for _ in range(3):
            assert ask(f"{apache.url}/blog", X_Forwarded_For="192.0.2.1")[0].status == 200
        (line,) = log_lines(apache, "X-Forwarded-For: it came through a proxy", times=1)
        assert "RemoteIPInternalProxy 127.0.0.1" in line
