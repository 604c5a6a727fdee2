"""Many readers and some commenters, at servers with few threads and with many."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.visits import load, peers
from benchmarks.visits.calls import CACHED
from benchmarks.visits.host import rendered
from benchmarks.visits.processes import apart, contender
from benchmarks.visits.visitors import Outcome, Visits

#: The number of entries, the newest ones, that are read and commented on, beside the front page.
ENTRIES = 200

Results = dict[tuple[str, int], list[Outcome]]


def measure(
    file: Path, folder: Path, entries: int, threads: Sequence[int], rounds: int, seconds: float
) -> Results:
    """Let as many visitors as a server has threads visit ours, and the peer's.

    :param file: a database, of which each run gets a copy.
    :param folder: the folder for the copies.
    :param entries: the number of entries in the database.
    :param seconds: the time that each run takes, after each page was visited once.
    """
    newest = range(entries - 1, entries - 1 - min(ENTRIES, entries // 2 - 1), -1)
    paths = ["/blog", *(f"/blog/entry-{number}" for number in newest)]
    names = [CACHED] if peers.missing(peers.BASE) else [CACHED, peers.BASE]
    results: Results = {(name, number): [] for number in threads for name in names}
    copy = folder / "visited.db"
    for _ in range(rounds):
        for name, number in random.sample(list(results), len(results)):
            shutil.copy(file, copy)
            with contender(name, copy, number) as server:
                load.get(server.url, paths)
                before = rendered(server.url) if name == CACHED else 0
                outcome = apart(_visit, server.url, paths, seconds, number, copy)
                if name == CACHED:
                    outcome.rendered = rendered(server.url) - before
            results[name, number].append(outcome)
            for left in folder.glob("visited.db*"):
                left.unlink()
    return results


def _visit(url: str, paths: list[str], seconds: float, visitors: int, file: Path) -> Outcome:
    return Visits(url, paths).make(seconds, visitors, file)
