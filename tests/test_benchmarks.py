"""The benchmarks run and write their tables. Speed is not tested."""

import shutil
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest

from benchmarks.visits.visitors import Visits

ROOT = Path(__file__).parents[1]
OPERATIONS = [
    "Checkout and checkin",
    "Core `select 1`",
    "Session `select 1`",
    "One-row commit",
]
POOLS = [
    "`ThreadLocalPool`",
    "`ThreadLocalPool(pool_size=3)`",
    "`QueuePool`",
    "`SingletonThreadPool`",
    "`StaticPool`",
    "`NullPool`",
    "raw sqlite3",
]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the benchmark needs, with docs that it may overwrite."""
    for part in ("benchmarks", "pool"):
        shutil.copytree(ROOT / part, tmp_path / part)
    (tmp_path / "docs").mkdir()
    return tmp_path


def run(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(checkout / "benchmarks" / "pool.py")]
    return subprocess.run(
        [*command, "--quick", "--rounds", "2", "--threads", "3", *options],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without the rows that only align."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_benchmark_tables_are_complete(checkout: Path) -> None:
    done = run(checkout)

    assert (done.returncode, done.stderr) == (0, "")
    table = rows(done.stdout)
    assert [row[0] for row in table] == [
        name for operation in OPERATIONS for name in [operation, *POOLS]
    ]
    # The bare driver has no checkout, and a StaticPool is for one thread.
    unmeasured = [(number, row[0]) for number, row in enumerate(table) if "-" in row]
    assert unmeasured == [
        (5, "`StaticPool`"),
        (7, "raw sqlite3"),
        (13, "`StaticPool`"),
        (21, "`StaticPool`"),
        (29, "`StaticPool`"),
    ]


def test_benchmark_write_updates_page(checkout: Path) -> None:
    page = checkout / "docs" / "pool-promises.md"
    page.write_text(
        "# Speed – überall\n\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n\nThe end.\n",
        encoding="utf-8",
    )

    done = run(checkout, "--write")

    assert (done.returncode, done.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Speed – überall\n\n<!-- benchmark -->\n")
    assert text.endswith("\n<!-- /benchmark -->\n\nThe end.\n")
    assert "old" not in text
    assert len(rows(text)) == len(OPERATIONS) * (1 + len(POOLS))
    assert "`python benchmarks/pool.py --quick --rounds 2 --threads 3 --write`" in text
    assert "](images/pool-promises.svg)" in text
    drawing = ElementTree.parse(checkout / "docs" / "images" / "pool-promises.svg")
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for name in (*OPERATIONS, *POOLS):
        assert name.replace("`", "") in words


@pytest.mark.parametrize("page", [None, "# No markers\n"])
def test_benchmark_write_needs_markers(checkout: Path, page: str | None) -> None:
    file = checkout / "docs" / "pool-promises.md"
    if page is not None:
        file.write_text(page, encoding="utf-8")

    done = run(checkout, "--write")

    assert done.returncode == 1
    assert done.stdout == ""
    assert "pool-promises.md needs a line <!-- benchmark -->" in done.stderr
    assert (file.read_text(encoding="utf-8") if page else None) == page


VISITED = [
    "constant bytes",
    "Threadleaf",
    "Threadleaf, not cached",
    "raw sqlite3",
    "Bottle",
    "Flask, scoped_session",
    "Flask-SQLAlchemy",
    "Django",
    "nginx",
]


@pytest.mark.long
def test_visit_benchmark_updates_docs(
    tmp_path: Path,
) -> None:
    for part in ("benchmarks", "blog", "pool", "templates", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    page = tmp_path / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text("# Speed\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n", encoding="utf-8")

    done = subprocess.run(
        [
            *(sys.executable, "-W", "error"),
            # As documented, the peers have a connection per thread, which they do not close when
            # the thread ends.
            *("-W", "ignore::ResourceWarning"),
            *(tmp_path / "benchmarks" / "visit.py", "--quick", "--write"),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert text.endswith(done.stdout + "<!-- /benchmark -->\n")
    table = rows(text)
    over_http = next(n for n, row in enumerate(table) if row[0].startswith("Over HTTP"))
    assert [row[0] for row in table[over_http + 1 :][: len(VISITED)]] == VISITED
    mixed = next(n for n, row in enumerate(table) if row[0].startswith("95 % read"))
    assert table[mixed + 1][0] == "Threadleaf, 2 threads"
    assert {row[-1] for row in table[mixed + 1 : mixed + 3]} == {"none"}
    assert 50 < float(table[mixed + 1][2].split()[0]) <= 100, "the share of reads from the cache"
    drawing = ElementTree.parse(tmp_path / "docs" / "images" / "speed.svg")
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert "Threadleaf" in words


class Blog(BaseHTTPRequestHandler):
    """One entry with comments, and the error that `Server.error` names."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_given: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        times = {"stale": 0, "doubled": 2}.get(self.server.error, 1)
        self.respond(200, " ".join(["Comments:", *self.server.comments * times]).encode())

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.store(form["text"][0])
        path = self.path.removesuffix("/comments")
        self.respond(303, Location=f"{path}/held" if self.server.error == "held" else path)

    def respond(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A server of `Blog`, which stores its comments in `file`."""

    def __init__(self, file: Path, error: str) -> None:
        super().__init__(("127.0.0.1", 0), Blog)
        self.file, self.error = file, error
        self.comments: list[str] = []

    def store(self, text: str) -> None:
        self.comments.append(text)
        if self.error != "lost":
            with closing(sqlite3.connect(self.file, isolation_level=None)) as db:
                db.execute("INSERT INTO comment VALUES (?)", (text,))


@pytest.mark.parametrize("error", ["", "stale", "doubled", "held", "lost"])
def test_visitors_notice_errors(tmp_path: Path, error: str) -> None:
    file = tmp_path / "blog.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE comment (text)")
    with Server(file, error) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            outcome = Visits(url, ["/blog/entry"] * 2).make(0.3, 2, file)
        finally:
            server.shutdown()
            thread.join()

    assert set(outcome.errors) == ({error} if error else set())
    assert outcome.published == (0 if error == "held" else outcome.requests["thanks"])
    assert outcome.requests["post"] > 0


def test_filter_benchmark_tables_are_complete(tmp_path: Path) -> None:
    for part in ("benchmarks", "blog", "pool"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copytree(ROOT / "tests" / "judged", tmp_path / "tests" / "judged")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "spam.md", tmp_path / "docs")
    command = [sys.executable, "-W", "error", str(tmp_path / "benchmarks" / "spam.py")]
    subprocess.run([*command, "--orders", "1", "--write"], timeout=100, check=True)

    found = rows((tmp_path / "docs" / "spam.md").read_text(encoding="utf-8"))
    assert [row[0] for row in found[1:5]] == ["20", "50", "200", "500"]
    assert any("words: “" in row[-1] for row in found)


def test_request_steps_are_counted() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / "steps.py")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100, check=True)

    table = {row[0]: [int(cell) for cell in row[1:]] for row in rows(done.stdout)[1:]}
    assert set(table) == {"cached GET", "uncached GET", "comment"}
    for cached, rendered in zip(table["cached GET"], table["uncached GET"], strict=True):
        assert cached < rendered
