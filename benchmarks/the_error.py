"""The ways out of the question's error under load: docs/the-error.md.

Each program of `examples/` runs in a process of its own, on a new file, by a server with eight
threads. Eight clients take turns to send a comment and to read the page.
"""

import argparse
import importlib
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlencode

import sqlalchemy.pool

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import docs  # noqa: E402
from pool import ThreadLocalPool  # noqa: E402

CLIENTS = 8
CHECK = "?check_same_thread=true"
#: The ways: what a row is called, the module in examples/, the end of the URL and the pool.
WAYS = {
    "The question": ("global_session", CHECK, "QueuePool"),
    "`check_same_thread=False` alone": ("global_session", "", "QueuePool"),
    "`ThreadLocalPool` alone": ("global_session", "", "ThreadLocalPool"),
    "`scoped_session`": ("flask_scoped", "", "QueuePool"),
    "Flask-SQLAlchemy": ("flask_extension", "", "QueuePool"),
    "`SessionLocal` per request (FastAPI)": ("fastapi_sessionlocal", "", "QueuePool"),
    "`scoped_session`, `NullPool`, with the check": ("flask_scoped", CHECK, "NullPool"),
    "`scoped_session`, `ThreadLocalPool`, with the check": (
        "flask_scoped",
        CHECK,
        "ThreadLocalPool",
    ),
}


class Outcome(NamedTuple):
    """What one run gave."""

    succeeded: int
    stored: int
    #: Comments that were answered with a redirect, and are not in the database.
    lost: int
    per_second: float


def serve(name: str, database: str, pool: str) -> None:
    """Serve an example until the process ends, and print its port.

    :param pool: the name of a class of `sqlalchemy.pool`, or `ThreadLocalPool`.
    """
    poolclass = getattr(sqlalchemy.pool, pool, ThreadLocalPool)
    application = importlib.import_module(f"examples.{name}").create_app(database, poolclass)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    if name.startswith("fastapi"):
        import uvicorn

        server = uvicorn.Server(uvicorn.Config(application, log_level="critical"))
        server.run(sockets=[listener])
    else:
        import waitress

        waitress.serve(application, sockets=[listener], threads=CLIENTS)


class Client:
    """Sends comments and reads the page in turns."""

    def __init__(self, port: int, number: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._number = number
        self.succeeded = 0
        self.accepted: list[str] = []

    def run(self, turns: int) -> None:
        for turn in range(turns):
            text = f"{self._number}.{turn}"
            form = urlencode({"name": "Reader", "text": text})
            if self._ask("POST", f"/blog/{1 + turn % 2}/comments", form) == 303:
                self.accepted.append(text)
                self.succeeded += 1
            self.succeeded += self._ask("GET", "/blog") == 200
        self._connection.close()

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        try:
            self._connection.request(method, path, body, headers)
            with self._connection.getresponse() as response:
                response.read()
                return response.status
        except (OSError, HTTPException):
            self._connection.close()
            return 0


def measure(way: str, turns: int) -> Outcome:
    name, query, pool = WAYS[way]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder, "blog.db")
        url = f"sqlite:///{file.as_posix()}{query}"
        server = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, __file__, "--serve", name, url, pool],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            port = int(server.stdout.readline()) if server.stdout else 0
            clients = [Client(port, number) for number in range(CLIENTS)]
            began = time.monotonic()
            with ThreadPoolExecutor(CLIENTS) as executor:
                list(executor.map(lambda client: client.run(turns), clients))
            seconds = time.monotonic() - began
        finally:
            server.kill()
            server.communicate()
        with closing(sqlite3.connect(file)) as shell:
            stored = {text for (text,) in shell.execute("SELECT text FROM comment")}
    accepted = {text for client in clients for text in client.accepted}
    succeeded = sum(client.succeeded for client in clients)
    requests = 2 * turns * CLIENTS
    return Outcome(succeeded, len(stored), len(accepted - stored), requests / seconds)


def span(values: list[int]) -> str:
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"


def report(rounds: int, turns: int) -> str:
    """Measure each way once per round, and return the table."""
    outcomes: dict[str, list[Outcome]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, found in outcomes.items():
            found.append(measure(way, turns))
    comments = turns * CLIENTS
    head = [
        "",
        f"requests of {2 * comments} that succeeded",
        f"comments of {comments} that were stored",
        "accepted comments that were lost",
        "requests per second",
    ]
    rows = []
    for way, found in outcomes.items():
        succeeded, stored, lost, per_second = map(list, zip(*found, strict=True))
        figures = [span(values) for values in (succeeded, stored, lost)]
        rows.append([way, *figures, docs.spread(per_second)])
    return docs.table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--turns", type=int, default=20, help="turns of each client")
    parser.add_argument("--write", action="store_true", help="write the table to the page")
    parser.add_argument("--serve", nargs=3, metavar=("NAME", "URL", "POOL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    page = ROOT / "docs" / "the-error.md"
    around = docs.page_around(page) if options.write else None
    table = report(options.rounds, options.turns)
    sys.stdout.write(table)
    if around:
        docs.put(page, around, f"{table}\n{docs.surroundings()}")


if __name__ == "__main__":
    main()
