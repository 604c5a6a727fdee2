"""Many who read and some who comment, at servers with few threads and with many."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.visits import peers
from benchmarks.visits.calls import KEPT
from benchmarks.visits.processes import apart, contender
from benchmarks.visits.visitors import Outcome, Visits

#: How many entries are read and commented on, beside the front page.
ENTRIES = 50

Results = dict[tuple[str, int], list[Outcome]]


def measure(
    file: Path, folder: Path, threads: Sequence[int], rounds: int, requests: int
) -> Results:
    """Let as many visitors as a server has threads visit ours, and the peer's.

    :param file: a database, of which each run gets a copy.
    :param folder: where the copies are made.
    :param requests: how many are made in each run.
    """
    names = [KEPT] if peers.missing(peers.BASE) else [KEPT, peers.BASE]
    results: Results = {(name, number): [] for number in threads for name in names}
    copy = folder / "visited.db"
    for _ in range(rounds):
        for name, number in random.sample(list(results), len(results)):
            shutil.copy(file, copy)
            with contender(name, copy, number) as server:
                outcome = apart(_visit, server.url, requests, number, copy)
            results[name, number].append(outcome)
            for left in folder.glob("visited.db*"):
                left.unlink()
    return results


def _visit(url: str, requests: int, visitors: int, file: Path) -> Outcome:
    entries = [f"/blog/entry-{number}" for number in range(ENTRIES)]
    return Visits(url, ["/blog", *entries]).make(requests, visitors, file)
