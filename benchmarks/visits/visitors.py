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
from urllib.parse import urlencode, urlsplit

from benchmarks.visits.corpus import WORDS

#: Of all requests 5 % post a comment; who does has read the page before, and reads it again after.
COMMENTS = 1 / 18

#: What a form holds that is sent, if one is.
Fields = dict[str, str] | None

_FIELD = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass
class Outcome:
    """What came of many visits."""

    requests: int
    seconds: float
    #: How many visitors were told that their comment is there.
    accepted: int
    #: What went wrong, and how often.
    errors: Counter[str]


class Visitor:
    """A browser with its cookies, somewhere in a network of its own."""

    def __init__(self, connection: http.client.HTTPConnection, chance: random.Random) -> None:
        self.connection = connection
        self.chance = chance
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, fields: Fields) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        network = ".".join(str(self.chance.randrange(256)) for _ in range(3))
        headers = {"X-Forwarded-For": f"{network}.1"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={it}" for name, it in self._cookies.items())
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Sec-Fetch-Site"] = "same-origin"
        body = None if fields is None else urlencode(fields)
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        for header in response.headers.get_all("Set-Cookie", ()):
            for name, cookie in SimpleCookie(header).items():
                self._cookies.pop(name, None)
                if cookie.value and cookie["max-age"] != "0":
                    self._cookies[name] = cookie.value
        return response.status, text


class Visits:
    """Visits to one server.

    :param url: where it is.
    :param paths: what is read, the most popular first; all but the first are entries.
    """

    def __init__(self, url: str, paths: list[str]) -> None:
        self.parts = urlsplit(url)
        self.paths = paths
        # The second is read half as often as the first, the third a third as often.
        self.weights = list(accumulate(1 / (place + 1) for place in range(len(paths))))
        self.errors: Counter[str] = Counter()
        self.requests = 0
        self._accepted: defaultdict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()

    def make(self, requests: int, visitors: int, file: Path) -> Outcome:
        """Let so many visitors at a time make so many requests, then look into the database."""
        start = time.perf_counter()
        with ThreadPoolExecutor(visitors) as executor:
            for done in [executor.submit(self._visit, requests, n) for n in range(visitors)]:
                done.result()
        seconds = time.perf_counter() - start
        marks = [mark for found in self._accepted.values() for mark in found]
        with closing(sqlite3.connect(file)) as db:
            texts = [text for (text,) in db.execute("SELECT text FROM comment")]
        for mark in marks:
            self._note(sum(mark in text for text in texts), "lost", "doubled")
        return Outcome(self.requests, seconds, len(marks), self.errors)

    def _visit(self, requests: int, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - the same visits for everybody
        with closing(http.client.HTTPConnection(self.parts.netloc, timeout=60)) as connection:
            visitor = Visitor(connection, chance)
            while self.requests < requests:
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

    def _read(self, visitor: Visitor, path: str) -> str:
        with self._lock:
            expected = self._accepted[path].copy()
        page = self._ask(visitor, "GET", path, 200) or ""
        for mark in expected if page else ():
            self._note(page.count(mark), "stale", "doubled")
        return page

    def _comment(self, visitor: Visitor, path: str) -> None:
        page = self._read(visitor, path)
        if not page:
            return
        mark = f"x{visitor.chance.getrandbits(64):x}x"
        words = " ".join(visitor.chance.choices(WORDS, k=12))
        fields = {name: unescape(value) for name, value in _FIELD.findall(page)}
        fields |= {"name": "A visitor", "text": f"{words.capitalize()} {mark}."}
        if self._ask(visitor, "POST", f"{path}/comments", 303, fields) is not None:
            with self._lock:
                self._accepted[path].append(mark)
            self._read(visitor, path)

    def _ask(
        self, visitor: Visitor, method: str, path: str, wanted: int, fields: Fields = None
    ) -> str | None:
        """Return the text of the answer, None if it is not the one that was wanted."""
        status, text = visitor.ask(method, path, fields)
        with self._lock:
            self.requests += 1
        if status == wanted:
            return text
        self._error(f"{method} {status}")
        return None

    def _note(self, times: int, none: str, several: str) -> None:
        if times != 1:
            self._error(several if times else none)

    def _error(self, what: str) -> None:
        with self._lock:
            self.errors[what] += 1
