"""The time that a server process takes until its first response, and its memory."""

import os
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.visits import load
from benchmarks.visits.processes import running

#: Imports the two libraries that ours cannot be without, and waits.
_BARE = "import werkzeug, sqlalchemy, time; print('http://nowhere', flush=True); time.sleep(600)"


class Taken(NamedTuple):
    """The figures of all processes."""

    #: Seconds from the start of each process to its first response.
    first_response: list[float]
    #: Bytes of a process after many requests, and of one that only imports two libraries; None if
    #: the system does not tell.
    memory: int | None
    bare: int | None


def measure(file: Path, *, entries: int, starts: int, requests: int) -> Taken:
    """Start `threadleaf serve` several times, and send requests to the last one.

    :param entries: the number of entries that are read, beside the lists.
    :param starts: the number of starts.
    :param requests: the number of requests before the memory is measured.
    """
    environ = {name: it for name, it in os.environ.items() if not name.startswith("THREADLEAF_")}
    environ |= {"THREADLEAF_DATABASE": str(file.resolve()), "THREADLEAF_PORT": "0"}
    seconds: list[float] = []
    after = None
    for number in range(starts):
        start = time.perf_counter()
        with running([sys.executable, "-m", "blog", "serve"], environ) as server:
            load.get(server.url, ["/blog"])
            seconds.append(time.perf_counter() - start)
            if number == starts - 1:
                load.get(server.url, _popular(requests, entries))
                after = server.memory()
    with running([sys.executable, "-c", _BARE]) as bare:
        return Taken(seconds, after, bare.memory())


def _popular(requests: int, entries: int) -> list[str]:
    """Return the paths of as many requests, popular ones most often."""
    chance = random.Random(4)  # noqa: S311 - the same visits each time
    lists = ["/blog", "/blog?page=2", "/blog/archive", "/blog/tags", "/blog/feed.atom"]
    paths = [*lists, *(f"/blog/entry-{number}" for number in range(entries))]
    weights = [1 / (place + 1) for place in range(len(paths))]
    return chance.choices(paths, weights, k=requests)
