"""What a server process takes: time until it answers, and memory."""

import os
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.visits import load
from benchmarks.visits.processes import running

#: Imports what ours cannot be without, and waits.
_BARE = "import werkzeug, sqlalchemy, time; print('http://nowhere', flush=True); time.sleep(600)"


class Taken(NamedTuple):
    """What processes took."""

    #: Seconds from the start of each to its first answer.
    first_answer: list[float]
    #: Bytes that one has after many requests, and one that only imported two libraries; None if
    #: the system does not tell.
    memory: int | None
    bare: int | None


def measure(file: Path, *, entries: int, starts: int, requests: int) -> Taken:
    """Start `threadleaf serve` several times, and let the last one answer so many requests.

    :param entries: how many entries are read, beside the lists.
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
    """The paths of so many visits."""
    chance = random.Random(4)  # noqa: S311 - the same visits each time
    lists = ["/blog", "/blog?page=2", "/blog/archive", "/blog/tags", "/blog/feed.atom"]
    paths = [*lists, *(f"/blog/entry-{number}" for number in range(entries))]
    weights = [1 / (place + 1) for place in range(len(paths))]
    return chance.choices(paths, weights, k=requests)
