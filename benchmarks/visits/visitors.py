"""Visitors who read and comment, and check what they are shown."""

import http.client
import random
import re
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from benchmarks.visits.corpus import WORDS

#: The share of comments among visits. A comment takes three requests: the page is read, the comment
#: is posted, and the redirect is followed. So 5 % of all requests post a comment.
COMMENTS = 1 / 18

#: The kinds of requests. The page after a comment is part of commenting: it thanks one visitor.
READ, POST, THANKS = "read", "post", "thanks"

#: The fields of a form to post; None for a page to read.
Fields = dict[str, str] | None

_FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass
class Outcome:
    """What was counted in a run."""

    #: The number of requests of each kind.
    requests: Counter[str]
    seconds: float
    #: The number of comments that were published.
    published: int
    #: The number of errors of each kind.
    errors: Counter[str]
    #: The number of pages that did not come from the page cache; None for a server without one.
    rendered: int | None = None


class Response(NamedTuple):
    """The parts of a response that are checked; `location` is empty if it is no redirect."""

    status: int
    location: str
    text: str


class Visitor:
    """A browser with its cookies, and another network for each request."""

    def __init__(self, connection: http.client.HTTPConnection, chance: random.Random) -> None:
        self.connection = connection
        self.chance = chance
        self._cookies: dict[str, str] = {}

    def ask(self, path: str, fields: Fields) -> Response:
        """Read a page, or post a form, and return the response."""
        network = ".".join(str(self.chance.randrange(256)) for _ in range(3))
        headers = {"X-Forwarded-For": f"{network}.1"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={it}" for name, it in self._cookies.items())
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Sec-Fetch-Site"] = "same-origin"
        body = None if fields is None else urlencode(fields)
        self.connection.request("GET" if fields is None else "POST", path, body, headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        for header in response.headers.get_all("Set-Cookie", ()):
            for name, cookie in SimpleCookie(header).items():
                self._cookies.pop(name, None)
                if cookie.value and cookie["max-age"] != "0":
                    self._cookies[name] = cookie.value
        return Response(response.status, response.headers.get("Location", ""), text)


class Visits:
    """Visits to one server.

    :param url: its address.
    :param paths: the paths of the pages, the most popular first; all but the first are entries.
    """

    def __init__(self, url: str, paths: list[str]) -> None:
        self.parts = urlsplit(url)
        self.paths = paths
        # The second is read half as often as the first, the third a third as often.
        self.weights = list(accumulate(1 / (place + 1) for place in range(len(paths))))
        self.errors: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._published: defaultdict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()

    def make(self, seconds: float, visitors: int, file: Path) -> Outcome:
        """Let visitors read and comment, then look for each comment in the database.

        :param seconds: the time after which no visit begins.
        :param visitors: the number of visitors at a time.
        :param file: the database of the server.
        """
        start = time.perf_counter()
        end = start + seconds
        with ThreadPoolExecutor(visitors) as executor:
            for done in [executor.submit(self._visit, end, n) for n in range(visitors)]:
                done.result()
        seconds = time.perf_counter() - start
        marks = [mark for found in self._published.values() for mark in found]
        with closing(sqlite3.connect(file)) as db:
            texts = [text for (text,) in db.execute("SELECT text FROM comment")]
        for mark in marks:
            self._note(sum(mark in text for text in texts), "lost", "doubled")
        return Outcome(self.requests, seconds, len(marks), self.errors)

    def _visit(self, end: float, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - the same visits to each contender
        with closing(http.client.HTTPConnection(self.parts.netloc, timeout=60)) as connection:
            visitor = Visitor(connection, chance)
            while time.perf_counter() < end:
                try:
                    if chance.random() < COMMENTS:
                        path = chance.choice(self.paths[1:])
                        self._comment(visitor, path)
                    else:
                        (path,) = chance.choices(self.paths, cum_weights=self.weights)
                        self._read(visitor, path)
                except (OSError, http.client.HTTPException) as error:
                    self._error(type(error).__name__)
                    connection.close()

    def _read(self, visitor: Visitor, path: str, kind: str = READ) -> str:
        with self._lock:
            expected = self._published[path].copy()
        response = self._ask(visitor, kind, path)
        if response is None:
            return ""
        for mark in expected:
            self._note(response.text.count(mark), "stale", "doubled")
        return response.text

    def _comment(self, visitor: Visitor, path: str) -> None:
        page = self._read(visitor, path)
        if not page:
            return
        mark = f"x{visitor.chance.getrandbits(64):x}x"
        words = " ".join(visitor.chance.choices(WORDS, k=12))
        fields = {name: unescape(value) for name, value in _FIELD.findall(page)}
        fields |= {"name": "A visitor", "text": f"{words.capitalize()} {mark}."}
        response = self._ask(visitor, POST, f"{path}/comments", fields)
        if response is None:
            return
        # A comment that was held leads to a page of its own.
        if urlsplit(response.location).path != path:
            self._error("held")
            return
        with self._lock:
            self._published[path].append(mark)
        self._read(visitor, path, THANKS)

    def _ask(
        self, visitor: Visitor, kind: str, path: str, fields: Fields = None
    ) -> Response | None:
        """Return the response, or None if it has an unexpected status."""
        response = visitor.ask(path, fields)
        with self._lock:
            self.requests[kind] += 1
        if response.status == (303 if kind == POST else 200):
            return response
        self._error(f"{kind}: status {response.status}")
        return None

    def _note(self, times: int, none: str, several: str) -> None:
        if times != 1:
            self._error(several if times else none)

    def _error(self, what: str) -> None:
        with self._lock:
            self.errors[what] += 1
