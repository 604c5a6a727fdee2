"""What visitors of a blog see while its database files are tampered with.

Visitors comment through the blog. A shell adds published comments directly, each on a new
connection, as `threadleaf comments` would.
"""

import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.processes import PATIENCE, Server, start

READERS = 3
PAGE = "/blog/talk"

#: A separate process: a truncated index kills the process that has it mapped.
SHELL = """
import sqlite3, sys, time
from contextlib import closing, suppress
number = 0
while True:
    number += 1
    began = time.monotonic()
    with suppress(sqlite3.Error), closing(
        sqlite3.connect(f"file:{sys.argv[1]}?mode=rw", uri=True, timeout=5, isolation_level=None)
    ) as connection:
        connection.execute(
            "INSERT INTO comment (entry_id, text, name, state, format, uid, created) "
            "SELECT entry.id, ?, 'Shell', 'published', 'text', ?, comment.created "
            "FROM entry JOIN comment ON entry.id = comment.entry_id WHERE slug = 'talk' LIMIT 1",
            [f"shell {number}.", f"urn:shell:{number}"],
        )
        print("shell", number, began, time.monotonic(), flush=True)
    time.sleep(0.01)
"""

_COMMENT = re.compile(r"\b((?:shell|visitor) \d+)\.")


@dataclass(frozen=True)
class Said:
    """An accepted comment, and the moments (monotonic) before and after the request."""

    text: str
    began: float
    ended: float


@dataclass(frozen=True)
class Read:
    """A page, with the comments on it."""

    sent: float
    status: int
    shows: frozenset[str]


@dataclass
class Trial:
    """The outcome of a run.

    :ivar database: the comments in the database at the end.
    :ivar log: the server's log.
    :ivar code: the server's exit code, 0 if the test stopped it.
    """

    began: float = 0.0
    ended: float = 0.0
    comments: list[Said] = field(default_factory=list)
    shell: list[Said] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    has_recovered: bool = False
    database: set[str] = field(default_factory=set)
    log: str = ""
    code: int = 0

    def stale(self) -> list[str]:
        """Return a line for each page without a comment that was stored before the request and
        is still stored."""
        return [
            f"{said.text}, stored at {said.ended - self.began:.3f}, is not on a page requested at "
            f"{read.sent - self.began:.3f}"
            for read in self.reads
            if read.status == 200
            for said in self.shell
            if said.ended < read.sent and said.text in self.database - read.shows
        ]

    def returned(self) -> list[str]:
        """Return the comments shown by a page after a restore had removed them."""
        late = [read for read in self.reads if read.sent > self.ended]
        return sorted({text for read in late for text in read.shows - self.database})

    def lost(self, *, before: bool = True, after: bool = True) -> list[str]:
        """Return the comments that were accepted and are not stored."""
        return [
            said.text
            for said in self.comments
            if said.text not in self.database
            and ((before and said.began < self.ended) or (after and said.began >= self.ended))
        ]


def run(
    server: Server,
    database: str,
    tamper: Callable[[], object],
    *,
    seconds: float = 0.5,
    has_shell: bool = True,
) -> Trial:
    """Read and write, tamper with the files, and continue until the blog has recovered.

    :param seconds: how long to continue before tampering, and at least afterwards.
    :param has_shell: whether a shell writes, too.
    """
    trial = Trial()
    over = threading.Event()
    shell: AbstractContextManager[list[str]] = _shell(database) if has_shell else nullcontext([])
    with _logged(server) as log, shell as lines:
        with ThreadPoolExecutor(READERS + 1) as executor:
            work = [executor.submit(_read, server.url, trial, over) for _ in range(READERS)]
            work.append(executor.submit(_comment, server.url, trial, over))
            try:
                deadline = time.monotonic() + PATIENCE / 2
                while time.monotonic() < deadline and len(trial.comments) < 3:
                    time.sleep(0.05)
                time.sleep(seconds)
                trial.began = time.monotonic()
                tamper()
                trial.ended = time.monotonic()
                time.sleep(seconds)
                deadline = time.monotonic() + 5
                while (
                    time.monotonic() < deadline
                    and not _is_well(trial)
                    and server.process.poll() is None
                ):
                    time.sleep(0.05)
            finally:
                over.set()
        trial.has_recovered = _is_well(trial)
    for line in lines:
        kind, number, began, ended = line.split()
        trial.shell.append(Said(f"{kind} {number}", float(began), float(ended)))
    server.stop()
    trial.code = server.process.wait(PATIENCE)
    for each in work:
        if trial.code == 0:
            each.result()
    trial.log = "".join(log)
    if trial.has_recovered:
        trial.database = comments_in(database)
    return trial


def comments_in(database: str | Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        texts = connection.execute("SELECT text FROM comment").fetchall()
    return {found[1] for (text,) in texts if (found := _COMMENT.search(text))}


def _is_well(trial: Trial) -> bool:
    """Whether the blog accepts comments and shows them."""
    accepted = [said for said in trial.comments if said.began > trial.ended + 0.2]
    return bool(accepted and trial.reads) and all(
        read.status == 200 for read in trial.reads[-3 * READERS :]
    )


def _read(blog: str, trial: Trial, over: threading.Event) -> None:
    with closing(HTTPConnection(urlsplit(blog).netloc, timeout=PATIENCE)) as connection:
        while not over.is_set():
            sent = time.monotonic()
            connection.request("GET", PAGE)
            with connection.getresponse() as response:
                page = response.read().decode()
            trial.statuses.add(response.status)
            trial.reads.append(Read(sent, response.status, frozenset(_COMMENT.findall(page))))
            time.sleep(0.005)


def _comment(blog: str, trial: Trial, over: threading.Event) -> None:
    with closing(HTTPConnection(urlsplit(blog).netloc, timeout=PATIENCE)) as connection:
        connection.request("GET", PAGE)
        with connection.getresponse() as response:
            page = response.read().decode()
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
        form = {name: unescape(value) for name, value in found}
        number = 0
        while not over.is_set():
            number += 1
            text = f"visitor {number}"
            headers = {
                "X-Forwarded-For": f"10.{number // 250}.{number % 250}.1",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            body = urlencode({**form, "name": "Visitor", "text": f"It was {text}."})
            began = time.monotonic()
            connection.request("POST", f"{PAGE}/comments", body, headers)
            with connection.getresponse() as response:
                response.read()
            trial.statuses.add(response.status)
            if response.status == 303:
                trial.comments.append(Said(text, began, time.monotonic()))
            time.sleep(0.005)


@contextmanager
def _logged(server: Server) -> Iterator[list[str]]:
    """Read the server's log, because a full pipe would block it."""
    lines: list[str] = []
    pipe = server.process.stderr
    assert pipe is not None
    reader = threading.Thread(target=lambda: lines.extend(pipe), daemon=True)
    reader.start()
    yield lines


@contextmanager
def _shell(database: str) -> Iterator[list[str]]:
    """Run a shell that adds comments until the block ends."""
    lines: list[str] = []
    process = start([sys.executable, "-c", SHELL, database])
    assert process.stdout is not None
    reader = threading.Thread(target=lines.extend, args=[process.stdout])
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        reader.join()
        process.communicate(timeout=PATIENCE)
