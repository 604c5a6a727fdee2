"""What a connection pool costs: ours, SQLAlchemy's, and the bare driver, on SQLite.

    python benchmarks/pool.py             # two minutes; prints tables in Markdown
    python benchmarks/pool.py --write     # updates docs/pool-promises.md and its picture

In a round each pool does the same work, one after the other in a random order, so that whatever
else the machine does hits all of them; a ratio compares two pools within a round. What counts is
CPU time, which a waiting thread does not use.
"""

import argparse
import gc
import itertools
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# Not the directory of this file, where `pool` would be this file.
sys.path[0] = str(ROOT)

from benchmarks import docs, picture  # noqa: E402
from benchmarks.contenders import (  # noqa: E402
    BASE,
    COMMIT,
    OPERATIONS,
    RAW,
    Key,
    Operation,
    all_operations,
    pools,
)

#: Seconds that a sample takes. Threads take turns every 5 ms, and each must have several.
SAMPLE = 0.12
QUICK_SAMPLE = 0.002

PAGE = ROOT / "docs" / "pool-promises.md"


class Sample(NamedTuple):
    """Microseconds for one operation."""

    cpu: float
    wall: float


Results = dict[Key, list[Sample]]


def take_sample(
    operation: Operation, count: int, threads: int, executor: ThreadPoolExecutor
) -> Sample:
    """Run an operation `count` times in each of `threads` threads."""
    together = threading.Barrier(threads)

    def work() -> None:
        # So that each thread of the executor gets one of these.
        together.wait()
        for _ in range(count):
            operation()

    gc.collect()  # of what the sample before has left
    wall, cpu = time.perf_counter(), time.process_time()
    if threads == 1:
        work()
    else:
        for future in [executor.submit(work) for _ in range(threads)]:
            future.result()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    scale = 1e6 / count / threads
    # The clock of Windows, which ticks every 16 ms, may not have moved in a quick sample.
    return Sample(max(cpu, 1e-6) * scale, wall * scale)


def measure(rounds: int, threads: int, seconds: float) -> Results:
    """Take `rounds` samples of everything, each of about `seconds`."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        operations = all_operations(threads, directory, stack)
        # The same threads to the end: a dead one's connection would stay in SingletonThreadPool.
        executor = stack.enter_context(ThreadPoolExecutor(threads))
        # Else each collection before a sample would go through all modules.
        gc.freeze()
        counts: dict[Key, int] = {}
        for key, operation in operations.items():
            count = 5
            # The first trial opens the connections; each shows how long the next one has to be.
            for part in (0.02, 0.1, 1):
                trial = take_sample(operation, count, key.threads, executor)
                count = int(seconds * part * 1e6 / trial.wall / key.threads) + 1
            counts[key] = count
        results: Results = {key: [] for key in operations}
        for number in range(rounds):
            if sys.stderr.isatty():
                sys.stderr.write(f"\rround {number + 1} of {rounds} ")
            for name, together in itertools.product(OPERATIONS, (1, threads)):
                keys = [key for key in operations if key[::2] == (name, together)]
                for key in random.sample(keys, len(keys)):
                    sample = take_sample(operations[key], counts[key], together, executor)
                    results[key].append(sample)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return results


def ratio(these: list[Sample], those: list[Sample]) -> str:
    """The median of the ratios of two series of samples, round by round."""
    return f"{statistics.median(a.cpu / b.cpu for a, b in zip(these, those, strict=True)):.2f}"


def cells(results: Results, operation: str, pool: str, threads: int) -> Iterator[str]:
    """One row of a table."""
    yield f"`{pool}`" if pool != RAW else RAW
    one = results.get(Key(operation, pool, 1))
    for number in (1, threads):
        samples = results.get(Key(operation, pool, number))
        yield docs.spread([sample.cpu for sample in samples]) if samples else "-"
        yield ratio(samples, results[Key(operation, BASE, number)]) if samples else "-"
        if operation == COMMIT:
            yield docs.spread([sample.wall for sample in samples]) if samples else "-"
    yield ratio(samples, one) if samples and one else "-"


def tables(results: Results, threads: int) -> str:
    """A table per operation, in Markdown."""
    lines: list[str] = []
    for operation in OPERATIONS:
        head = [operation]
        for who in ("1 thread", f"{threads} threads"):
            head += [f"CPU, {who}", f"to {BASE}"]
            if operation == COMMIT:
                head.append(f"wall, {who}")
        rows = [list(cells(results, operation, pool, threads)) for pool in [*pools(threads), RAW]]
        lines.append(docs.table([*head, f"{threads} threads to 1"], rows))
    return "\n".join(lines)


def report(results: Results, threads: int) -> str:
    """The tables and how to read them."""
    rounds = len(next(iter(results.values())))
    return f"""\
{tables(results, threads)}
Microseconds per operation: the median of {rounds} rounds (minimum to maximum). \
"To {BASE}" and "{threads} threads to 1" are medians of the ratio of CPU times within a round.

* The file is in WAL mode with `synchronous = NORMAL`, and its table has one row. NullPool opens \
it, and sets that, per checkout.
* {RAW} is a connection per thread without SQLAlchemy: it has no checkout, and its `select 1` \
is the same in both tables.
* StaticPool would let all threads use one connection at once, so it is measured with one only. \
SingletonThreadPool has room for {8 * threads} threads, so that it closes no connection in use.
* Threads that wait for the file's only write lock sleep: the wall time of {threads} threads \
measures SQLite's locking more than the pool.

{docs.surroundings()}"""


def drawing(results: Results, threads: int) -> str:
    """The medians of CPU time as a picture."""

    def median(operation: str, pool: str, number: int) -> float | None:
        samples = results.get(Key(operation, pool, number))
        return statistics.median(sample.cpu for sample in samples) if samples else None

    return picture.draw(
        "Microseconds of CPU time for one operation",
        ["one thread", f"{threads} threads"],
        {
            operation.replace("`", ""): {
                pool: [median(operation, pool, 1), median(operation, pool, threads)]
                for pool in [*pools(threads), RAW]
            }
            for operation in OPERATIONS
        },
        ours="ThreadLocalPool",
    )


def main() -> None:
    """Measure, print, and perhaps write."""
    parser = argparse.ArgumentParser(description="Compare connection pools on SQLite.")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each (default 15)")
    parser.add_argument("--threads", type=int, default=8, help="how many, beside one (default 8)")
    parser.add_argument(
        "--write", action="store_true", help="update docs/pool-promises.md and its picture"
    )
    parser.add_argument(
        "--quick", action="store_true", help="does it run? the figures are worthless"
    )
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 2:
        parser.error("it takes at least 1 round and 2 threads")
    around = docs.page_around(PAGE) if options.write else None
    results = measure(options.rounds, options.threads, QUICK_SAMPLE if options.quick else SAMPLE)
    text = report(results, options.threads)
    sys.stdout.write(text)
    if around is not None:
        caption = "The medians of CPU time in the tables below"
        docs.write(PAGE, around, text, drawing(results, options.threads), caption)


if __name__ == "__main__":
    main()
