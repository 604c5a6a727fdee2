"""The time and disk space that `threadleaf upgrade` takes for a database of the seed.

    python benchmarks/upgrade.py                      # 10,000 entries: about 20 seconds
    python benchmarks/upgrade.py 100000 --write       # puts the table into docs/upgrading.md
    python benchmarks/upgrade.py --code ../older      # with another checkout, to compare

Each entry has 1,000 characters of Markdown and a comment.
"""

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Not the directory of this file, where `pool` would be a file in it.
sys.path[0] = str(ROOT)

from benchmarks import docs  # noqa: E402
from benchmarks.visits.corpus import WORDS, text_of  # noqa: E402

PAGE = ROOT / "docs" / "upgrading.md"

LENGTH = 1_000

#: The tables that the seed's own models make.
SCHEMA = """
CREATE TABLE entry (
    id INTEGER NOT NULL, title VARCHAR(100) NOT NULL, body VARCHAR NOT NULL,
    timestamp DATETIME NOT NULL, featured BOOLEAN NOT NULL, PRIMARY KEY (id)
);
CREATE TABLE comment (
    id INTEGER NOT NULL, entry_id INTEGER, text VARCHAR(500) NOT NULL, name VARCHAR(80),
    PRIMARY KEY (id), FOREIGN KEY(entry_id) REFERENCES entry (id)
);
"""


def make_seed(file: Path, entries: int) -> None:
    """Make a database of the seed, the same each time."""
    chance = random.Random(4)  # noqa: S311 - no secret
    numbers = range(1, entries + 1)

    def rows() -> Iterator[tuple[object, ...]]:
        for number in numbers:
            title = " ".join(chance.choices(WORDS, k=4)).capitalize()
            moment = datetime(2010, 1, 1) + timedelta(hours=number)  # noqa: DTZ001 - as it stored it
            yield number, title, text_of(chance)[:LENGTH], f"{moment}.000000", number % 100 == 0

    with closing(sqlite3.connect(file)) as database, database:
        database.executescript(SCHEMA)
        database.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", rows())
        database.executemany(
            "INSERT INTO comment VALUES (?, ?, ?, ?)",
            ((n, n, " ".join(chance.choices(WORDS, k=12)), chance.choice(WORDS)) for n in numbers),
        )


def size(folder: Path) -> int:
    """Return the size of the database with its side files, in bytes."""
    found = 0
    for path in folder.glob("seed.db*"):
        try:
            found += path.stat().st_size
        except FileNotFoundError:  # a log that was just removed
            continue
    return found


def cpu_of_children() -> float:
    """Return the CPU seconds of child processes that have ended; always 0 on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def measure(entries: int, code: Path) -> list[str]:
    """Upgrade a database, and return the row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_seed(folder / "seed.db", entries)
        before = peak = size(folder)
        environment = {**os.environ, "THREADLEAF_DATABASE": "seed.db", "PYTHONPATH": str(code)}
        command = [sys.executable, "-m", "blog", "upgrade"]
        used = cpu_of_children()
        start = time.monotonic()
        with subprocess.Popen(  # noqa: S603 - ours
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None:
                peak = max(peak, size(folder))
                time.sleep(0.1)
            said = process.communicate()[0]
        seconds = time.monotonic() - start
        if process.returncode:
            sys.exit(f"The upgrade ended with {process.returncode}.")
        sys.stderr.write(said)
        cpu = cpu_of_children() - used
        mb = [docs.digits(each / 1e6) for each in (before, size(folder), peak)]
    return [f"{entries:,}", docs.digits(seconds), docs.digits(cpu), *mb]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "entries", type=int, nargs="*", default=[10_000], help="entries per database"
    )
    parser.add_argument("--code", type=Path, default=ROOT, help="the checkout that upgrades")
    parser.add_argument("--write", action="store_true", help="put the table into docs/upgrading.md")
    arguments = parser.parse_args()
    around = docs.page_around(PAGE) if arguments.write else None
    head = ["entries", "seconds", "CPU seconds", "MB before", "MB after", "MB at the peak"]
    rows = [measure(entries, arguments.code.resolve()) for entries in arguments.entries]
    report = f"{docs.table(head, rows)}\n{docs.surroundings()}"
    if around is None:
        print(report)  # noqa: T201
    else:
        docs.put(PAGE, around, report)


if __name__ == "__main__":
    main()
