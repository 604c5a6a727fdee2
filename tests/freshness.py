"""Measures from outside how fresh a blog's responses are, with readers, writers and a judge.

Each writer increments its own number, which is shown on pages of the blog. It records when the
commit of a number began and when it had finished. A reader records when it sent a request, what
the response shows, and when it arrived.
"""

import gzip
import os
import random
import re
import sys
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import accumulate
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from blog.config import Config
from blog.database import connect, session_factory
from blog.entries.rendering import render_entry
from blog.models import Base, Comment, Entry, Site, Tag
from tests.processes import PATIENCE, ROOT, Server, environment, start

#: The numbers that each page shows.
PAGES = {
    "/blog": ["model", "raw", "swap", "draft", "subject"],
    "/blog/model": ["model", "subject"],
    "/blog/raw": ["raw", "subject", "aside"],
    "/blog/raw/feed.json": ["aside"],
    "/blog/talk": ["remark"],
    "/blog/tag/one": ["model", "raw", "subject"],
    "/blog/tags": ["subject"],
    "/blog/archive": ["draft"],
    "/blog/2001": ["draft"],
    "/blog/2001/01": ["draft"],
    "/blog/feed.atom": ["model", "raw", "swap", "draft", "subject"],
    "/blog/feed.rss": ["model", "raw", "swap", "draft", "subject"],
    "/blog/feed.json": ["model", "raw", "swap", "draft", "subject"],
    "/blog/talk/feed.atom": ["remark"],
    "/blog/search?q=model": ["model"],
    "/blog/search?q=swap": ["swap"],
    "/sitemap.xml": ["swap", "draft"],
}

#: The writing processes, by the numbers that each increments.
WRITERS = [["model", "swap"], ["raw", "draft", "subject", "aside"], ["remark"]]

_NUMBER = re.compile(r"\b(model|raw|swap|draft|subject|aside|remark)[ -](\d+)\b")
#: The archive shows a sum: each published draft adds one to its month.
_SUM = re.compile(r'/2001/01">January</a> <span>(\d+)</span>')

READERS = 6


@dataclass(frozen=True)
class Write:
    """A committed number, and the moments before and after the commit."""

    number: int
    began: float
    ended: float


@dataclass(frozen=True)
class Read:
    """A request, what its response shows, and the moments before and after it.

    `numbers` has all numbers on the page, by kind. A HEAD has an ETag instead.
    """

    path: str
    sent: float
    received: float
    numbers: dict[str, set[int]]
    etag: str | None


@dataclass
class Report:
    """The outcome of a run."""

    processes: int
    writes: dict[str, list[Write]]
    reads: list[Read]
    answers: Counter[str]
    repeated: int = 0
    unknown: int = 0
    violations: list[str] = field(default_factory=list)


def summary(reports: Sequence[Report]) -> str:
    """Summarise runs of the same kind in one line."""

    def total(numbers: Iterable[int]) -> str:
        return f"{sum(numbers):,}"

    answers = sum((report.answers for report in reports), Counter[str]())
    return (
        f"{reports[0].processes} processes wrote "
        f"{total(len(each) for report in reports for each in report.writes.values())} times; "
        f"{total(len(report.reads) for report in reports)} reads "
        f"({', '.join(f'{n:,} {name}' for name, n in sorted(answers.items()))}), "
        f"{total(report.repeated for report in reports)} of them pages that were read before; "
        f"{total(report.unknown for report in reports)} HEADs without a GET to compare; "
        f"{total(len(report.violations) for report in reports)} violations"
    )


# The blog under test


def populate(config: Config) -> None:
    """Empty the blog, and store the rows that the writers change, with number 1 of each kind."""
    now = datetime.now(UTC)
    past = datetime(2001, 1, 15, tzinfo=UTC)
    engine = connect(config.database)
    with session_factory(engine)() as db:
        for table in reversed(Base.metadata.sorted_tables):
            if table is not Site.__table__:
                db.execute(table.delete())
        tag = Tag(name="subject 1", slug="one")
        for slug, title, when in [
            ("model", "model 1", now - timedelta(hours=1)),
            ("raw", "raw 1", now - timedelta(hours=2)),
            ("talk", "Talk", now - timedelta(hours=3)),
            ("swap-1", "swap 1", now - timedelta(hours=4)),
            ("draft-1", "draft 1", past),
        ]:
            tags = [tag] if slug in {"model", "raw"} else []
            store(db, Entry(title=title, slug=slug, body="Text.", timestamp=when, tags=tags))
        for slug, text in (("talk", "This is my remark 1."), ("raw", "An aside 1.")):
            entry = db.query(Entry).filter_by(slug=slug).one()
            db.add(Comment(entry=entry, text=text, name="Reader", created=now))
        db.commit()
    engine.dispose()


def store(db: Session, entry: Entry) -> None:
    db.add(entry)
    render_entry(db, entry)
    db.commit()


def serve(config: Config, sabotage: str = "", **variables: object) -> Server:
    """Serve the blog in a separate process.

    :param sabotage: Python code that breaks the blog before it serves.
    :param variables: additional environment variables.
    """
    program = f"{sabotage}\nfrom blog.cli.main import main\nmain()"
    settings = environment(
        THREADLEAF_DATABASE=config.database,
        THREADLEAF_TRUSTED_PROXY="127.0.0.1",
        THREADLEAF_PORT=0,
        THREADLEAF_THREADS=8,
        **variables,
    )
    command = [sys.executable, "-W", "error", "-c", program, "serve"]
    return Server(start(command, environ=settings))


# Writing and reading


@contextmanager
def writing(
    config: Config, blog: str, folder: Path, writers: Sequence[Sequence[str]]
) -> Iterator[tuple[dict[str, list[Write]], threading.Event]]:
    """Run writing processes while the block runs.

    Their writes are in the dictionary afterwards. The event is set once each has written a few
    times.
    """
    command = [sys.executable, "-W", "error", "-m", "tests.writers", config.database, blog]
    notes = [folder / f"notes-{number}" for number in range(len(writers))]
    running = [
        start([*command, file, *kinds], ROOT) for file, kinds in zip(notes, writers, strict=True)
    ]
    writes: dict[str, list[Write]] = defaultdict(list)
    few = threading.Event()

    def wait() -> None:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        few.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        yield writes, few
        waiting.join()
        for process in running:
            _, logged = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, logged
    finally:
        for process in running:
            process.kill()
            process.communicate(timeout=PATIENCE)
    for file in notes:
        for line in file.read_text("ascii").splitlines():
            kind, number, began, ended = line.split()
            writes[kind].append(Write(int(number), float(began), float(ended)))


class Reader:
    """A browser that requests the same page a few times, in every way that clients do."""

    def __init__(self, blogs: Sequence[str], paths: Sequence[str]) -> None:
        self._connections = [
            HTTPConnection(urlsplit(blog).netloc, timeout=PATIENCE) for blog in blogs
        ]
        self._paths = paths
        #: Its cache: ETag and numbers by path and encoding.
        self._has: dict[tuple[str, str], tuple[str | None, dict[str, set[int]]]] = {}
        self.reads: list[Read] = []
        self.answers: Counter[str] = Counter()

    def visit(self) -> None:
        path = random.choice(self._paths)
        for _ in range(random.randint(1, 6)):
            self._ask(random.choice(["GET", "GET", "HEAD"]), path, random.choice(["", "gzip"]))

    def _ask(self, method: str, path: str, encoding: str) -> None:
        connection = random.choice(self._connections)
        headers = {"Accept-Encoding": encoding} if encoding else {}
        etag, numbers = self._has.get((path, encoding), ("", {}))
        if etag and method == "GET" and random.random() < 0.5:
            headers["If-None-Match"] = etag
        sent = time.monotonic()
        connection.request(method, path, headers=headers)
        with connection.getresponse() as response:
            body = response.read()
        received = time.monotonic()
        self.answers[f"{method} {response.status}"] += 1
        etag = response.headers["ETag"]
        if method == "GET" and response.status == 200:
            if response.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            numbers = numbers_in(body.decode())
            self._has[path, encoding] = etag, numbers
        shown = {} if method == "HEAD" else numbers
        self.reads.append(Read(path, sent, received, shown, etag))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def numbers_in(page: str) -> dict[str, set[int]]:
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for kind, number in _NUMBER.findall(page):
        numbers[kind].add(int(number))
    if found := _SUM.search(page):
        numbers["draft"] = {int(found[1])}
    return numbers


def read(
    blogs: Sequence[str], paths: Sequence[str], number: int, few: threading.Event
) -> list[Reader]:
    """Read the pages at `paths` in several threads, at least `number` times in total."""
    readers = [Reader(blogs, paths) for _ in range(READERS)]

    def run(reader: Reader) -> None:
        with closing(reader):
            while len(reader.reads) < number / READERS or not few.is_set():
                reader.visit()

    with ThreadPoolExecutor(READERS) as executor:
        list(executor.map(run, readers))
    return readers


def run(
    config: Config,
    folder: Path,
    *,
    reads: int,
    servers: int = 1,
    writers: Sequence[Sequence[str]] = WRITERS,
    sabotage: str = "",
) -> Report:
    """Run processes that write while threads read `reads` responses, and judge these."""
    kinds = {kind for each in writers for kind in each}
    paths = [path for path, shown in PAGES.items() if kinds.intersection(shown)]
    with ExitStack() as stack:
        blogs = [stack.enter_context(serve(config, sabotage)).url for _ in range(servers)]
        with writing(config, blogs[0], folder, writers) as (writes, few):
            readers = read(blogs, paths, reads, few)
    everything = [each for reader in readers for each in reader.reads]
    answers = sum((reader.answers for reader in readers), Counter[str]())
    report = Report(len(writers), writes, everything, answers)
    judge(report)
    return report


# The judge


def judge(report: Report) -> None:
    """Find the responses that a fresh blog cannot have sent."""
    report.repeated = len(report.reads) - len({(read.path, read.etag) for read in report.reads})
    pages = {(read.path, read.etag): read.numbers for read in report.reads if read.numbers}
    seen = []
    for read in report.reads:
        # While the database is locked, a search omits what other programs have just written:
        # it says no-store, and has no ETag by which HEAD and GET could be compared.
        is_incomplete = read.etag is None and read.path.startswith("/blog/search")
        numbers = read.numbers or pages.get((read.path, read.etag))
        if numbers is None or is_incomplete:
            report.unknown += 1
        else:
            seen.append((read, numbers))
    for kind, writes in report.writes.items():
        shown = [(read, numbers[kind]) for read, numbers in seen if kind in PAGES[read.path]]
        report.violations += _wrong(kind, writes, shown)


def _wrong(kind: str, writes: list[Write], shown: list[tuple[Read, set[int]]]) -> Iterable[str]:
    began, ended = [write.began for write in writes], [write.ended for write in writes]
    by_arrival = sorted((read.received, max(numbers, default=0)) for read, numbers in shown)
    arrivals = [moment for moment, _ in by_arrival]
    newest = [0, *accumulate((number for _, number in by_arrival), max)]
    for read, numbers in shown:
        number = max(numbers, default=0)
        where = f"{read.path} shows {kind} {number}"
        # The first write has number 2, so after n writes it is n + 1.
        if number < (finished := 1 + bisect_left(ended, read.sent)):
            yield f"{where}, though {finished} was committed before the request"
        if number > 1 + bisect_left(began, read.received):
            yield f"{where}, though that had not begun when the response arrived"
        if number < (known := newest[bisect_left(arrivals, read.sent)]):
            yield f"{where}, though {known} was shown before the request"
        if kind == "swap" and len(numbers) != 1:
            yield f"{read.path} shows {numbers}, although each replaces the previous one"


def rounds() -> int:
    """How often to run, each time with an empty blog."""
    return int(os.environ.get("FRESHNESS_ROUNDS", "1"))


# Moments at which pages change


@dataclass(frozen=True)
class Look:
    """Whether a page showed something, and the moments (time.time) before and after the request."""

    path: str
    sent: float
    received: float
    shows: bool


def watch(blog: str, words: dict[str, str], until: float) -> list[Look]:
    """Request each path repeatedly and look for its words, the last time after `until`.

    :param until: a moment (time.time).
    """
    looks: list[Look] = []

    def look(path: str) -> None:
        with closing(HTTPConnection(urlsplit(blog).netloc, timeout=PATIENCE)) as connection:
            sent = 0.0
            while sent < until:
                sent = time.time()
                connection.request("GET", path)
                with connection.getresponse() as response:
                    body = response.read().decode()
                looks.append(Look(path, sent, time.time(), words[path] in body))

    with ThreadPoolExecutor(len(words)) as executor:
        list(executor.map(look, words))
    return looks


def too_late(looks: Iterable[Look], moment: float, shows: bool) -> list[Look]:
    """The requests sent after the moment whose response is still the earlier page.

    :param shows: whether the later page shows the words.
    """
    return [look for look in looks if look.sent >= moment and look.shows != shows]


def too_early(looks: Iterable[Look], moment: float, shows: bool) -> list[Look]:
    """The responses that arrived before the moment and are already the later page."""
    return [look for look in looks if look.received < moment and look.shows == shows]
