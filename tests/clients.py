"""Concurrent clients for applications that list entries and accept comments."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit

from tests.processes import PATIENCE

CLIENTS = 64


class Client:
    """A client that sends comments and looks for each one on the page."""

    def __init__(self, url: str, number: int = 0) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
        self._number = number
        #: Number of responses by method and status; 0 is no response.
        self.statuses: Counter[tuple[str, int]] = Counter()
        #: Comments that the server accepted.
        self.acknowledged: list[str] = []
        #: Accepted comments that were missing from the page, or repeated on it.
        self.missed: list[str] = []

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """Return the status and the page of a response."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        try:
            self._connection.request(method, path, body, headers)
            with self._connection.getresponse() as response:
                status, page = response.status, response.read().decode()
        except (OSError, HTTPException):
            self.close()
            status, page = 0, ""
        self.statuses[method, status] += 1
        return status, page

    def comment_and_read(self, times: int) -> None:
        for turn in range(times):
            text = f"Comment {turn} of client {self._number}."
            form = urlencode({"name": "Reader", "text": text})
            posted, _ = self.ask("POST", f"/blog/{1 + turn % 2}/comments", form)
            if posted == 303:
                self.acknowledged.append(text)
            read, page = self.ask("GET", "/blog.html" if turn % 2 else "/blog")
            if (posted, read) == (303, 200) and page.count(text) != 1:
                self.missed.append(text)

    def close(self) -> None:
        self._connection.close()


def load(url: str, times: int = 2) -> list[Client]:
    """Run many clients at once, each sending comments and reading the page."""
    clients = [Client(url, number) for number in range(CLIENTS)]
    together = threading.Barrier(CLIENTS)

    def run(client: Client) -> None:
        with closing(client):
            together.wait(PATIENCE)
            client.comment_and_read(times)

    with ThreadPoolExecutor(CLIENTS) as executor:
        list(executor.map(run, clients))
    return clients


def all_statuses(clients: list[Client]) -> Counter[tuple[str, int]]:
    return sum((client.statuses for client in clients), Counter[tuple[str, int]]())
