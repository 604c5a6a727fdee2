"""What a visit costs: pages of ours and of others, in process and over HTTP.

    python benchmarks/visit.py            # ten minutes; prints tables in Markdown
    python benchmarks/visit.py --write    # puts them into docs/speed.md, and a picture beside it

All contenders serve the same pages of the same database. In a round each does the same work, one
after the other in a random order, so that whatever else the machine does hits all of them; a ratio
compares two of them within a round.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# Not the directory of this file, where `pool` would be a file in it.
sys.path[0] = str(ROOT)

from benchmarks import docs  # noqa: E402
from benchmarks.visits import (  # noqa: E402
    calls,
    corpus,
    mixture,
    over_http,
    processes,
    report,
    taken,
)
from benchmarks.visits.report import Measured  # noqa: E402

PAGE = ROOT / "docs" / "speed.md"


class Amount(NamedTuple):
    """How much is measured."""

    small: int = 1_000
    large: int = 100_000
    rounds: int = 9
    #: Seconds of a sample in process, and of one over HTTP.
    calls: float = 0.04
    http: float = 0.5
    threads: tuple[int, ...] = (8, 64)
    mixtures: int = 3
    #: Requests of each mixture, and before the memory is looked at.
    mixed: int = 800
    requests: int = 10_000
    starts: int = 5


QUICK = Amount(110, 120, 2, 0.001, 0.02, (2, 3), 1, 40, 40, 1)


def measure(amount: Amount) -> Measured:
    """Measure everything, in a folder that is gone afterwards."""
    # Windows has not closed everything yet when a process has just ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        files = {entries: folder / f"{entries}.db" for entries in (amount.small, amount.large)}
        for entries, file in files.items():
            progress(f"making a blog of {entries:,} entries")
            corpus.make(file, entries)
        small, large = files.values()
        progress("calls")
        in_process = {
            entries: processes.apart(calls.measure_pages, file, amount.rounds, amount.calls)
            for entries, file in files.items()
        }
        far = min(1_000, amount.large // 10)
        growth = processes.apart(
            calls.measure_growth, small, large, far, amount.rounds, amount.calls
        )
        progress("requests")
        requests, missing = over_http.measure(
            small, folder, threads=amount.threads[0], rounds=amount.rounds, seconds=amount.http
        )
        progress("reading and commenting")
        mixed = mixture.measure(small, folder, amount.threads, amount.mixtures, amount.mixed)
        progress("processes")
        process = taken.measure(
            small, entries=amount.small // 5, starts=amount.starts, requests=amount.requests
        )
    numbers = {file: entries for entries, file in files.items()}
    grown = {(page, numbers[file]): series for (page, file), series in growth.items()}
    return Measured(in_process, grown, far, requests, missing, mixed, process, amount.requests)


def progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} …\n")


def main() -> None:
    """Measure, print, and perhaps write."""
    parser = argparse.ArgumentParser(description="Compare ways to serve a blog.")
    parser.add_argument("--write", action="store_true", help="update docs/speed.md and its picture")
    parser.add_argument(
        "--quick", action="store_true", help="does it run? the figures are worthless"
    )
    options = parser.parse_args()
    around = docs.page_around(PAGE) if options.write else None
    measured = measure(QUICK if options.quick else Amount())
    text = report.report(measured)
    sys.stdout.write(text)
    if around is not None:
        caption = "The medians of the tables below"
        docs.write(PAGE, around, text, report.drawing(measured), caption)


if __name__ == "__main__":
    main()
