"""The cost of a visit: our pages and those of others, in process and over HTTP.

    python benchmarks/visit.py            # ten minutes; prints tables in Markdown
    python benchmarks/visit.py --write    # updates docs/speed.md and its picture

All contenders serve the same pages from the same database. In each round they do the same work, one
after the other in a random order, so that other load on the machine affects all of them. A ratio
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
    """The size of the measurement."""

    small: int = 1_000
    large: int = 100_000
    rounds: int = 9
    #: The seconds of a sample in process, and of one over HTTP.
    calls: float = 0.04
    http: float = 0.5
    threads: tuple[int, ...] = (8, 64)
    #: Runs of each mixture, and the seconds of each.
    mixtures: int = 3
    mixed: float = 8
    #: Requests before the memory is measured.
    requests: int = 10_000
    starts: int = 5


QUICK = Amount(110, 120, 2, 0.001, 0.02, (2, 3), 1, 0.5, 40, 1)


def measure(amount: Amount) -> Measured:
    """Measure everything, in a temporary folder."""
    # On Windows, files of a process that has just ended may still be open.
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
        mixed = mixture.measure(
            small, folder, amount.small, amount.threads, amount.mixtures, amount.mixed
        )
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
    """Measure, print the tables, and write them if asked to."""
    parser = argparse.ArgumentParser(description="Compare ways to serve a blog.")
    parser.add_argument("--write", action="store_true", help="update docs/speed.md and its picture")
    parser.add_argument(
        "--quick", action="store_true", help="only check that it runs; the figures mean nothing"
    )
    options = parser.parse_args()
    around = docs.page_around(PAGE) if options.write else None
    measured = measure(QUICK if options.quick else Amount())
    text = report.report(measured)
    sys.stdout.write(text)
    if around is not None:
        caption = "Medians of the tables below"
        docs.write(PAGE, around, text, report.drawing(measured), caption)


if __name__ == "__main__":
    main()
