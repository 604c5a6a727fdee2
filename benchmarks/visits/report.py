"""The results of `benchmarks/visit.py` beside the targets, in tables and a picture."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

from benchmarks import docs, picture
from benchmarks.visits import calls, mixture, over_http, taken
from benchmarks.visits.calls import CACHED, GROWING, PAGES, UNCACHED
from benchmarks.visits.host import CEILING
from benchmarks.visits.peers import BASE, MODULES, RAW
from benchmarks.visits.processes import NGINX
from benchmarks.visits.visitors import READ, THANKS, Outcome

ORDER = [CEILING, CACHED, UNCACHED, *MODULES, NGINX]

#: The highest ratio of a page's cost in the large blog to that in the small one.
GROWTH = {page: 4.0 if page.startswith("search") else 1.15 for page in GROWING}

#: The highest ratio of the cost of a page far back to that of page 1.
FAR = 3.0

#: With 95 % reads and 5 % comments: the lowest percentage of reads from the page cache, and the
#: lowest ratio of requests per second to those of the peer.
SHARE, MIXED = 90.0, 6.0


@dataclass
class Measured:
    """All results, as the modules return them."""

    #: By number of entries.
    in_process: dict[int, calls.Pages]
    #: By name of the page and number of entries; "far" is page number :attr:`far`.
    growth: dict[tuple[str, int], calls.Series]
    far: int
    requests: over_http.Results
    #: For each contender that is missing, the reason.
    missing: dict[str, str]
    mixed: mixture.Results
    process: taken.Taken
    #: The number of requests before the memory was measured.
    process_requests: int

    @property
    def small(self) -> int:
        return min(self.in_process)

    @property
    def large(self) -> int:
        return max(self.in_process)


class Target(NamedTuple):
    """A target, and the figure that was measured."""

    what: str
    target: str
    measured: str
    met: bool


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of the ratios of two series of samples, round by round."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def rates(measured: Measured, name: str, page: str) -> list[float]:
    return [sample.rate for sample in measured.requests[name, page]]


def mixed_rates(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.requests.total() / outcome.seconds for outcome in outcomes]


def cached_reads(outcomes: Sequence[Outcome]) -> list[float]:
    """The share of reads that came from the page cache, for each run of a server with one."""
    return [
        1 - (it.rendered - it.requests[THANKS]) / it.requests[READ]
        for it in outcomes
        if it.rendered is not None
    ]


def cached_pages(outcomes: Sequence[Outcome]) -> list[float]:
    """The same with the pages after a comment among the reads. They never come from the cache."""
    return [
        1 - it.rendered / (it.requests[READ] + it.requests[THANKS])
        for it in outcomes
        if it.rendered is not None
    ]


def errors(outcomes: Sequence[Outcome]) -> str:
    """Each kind of error with its number."""
    found = sum((outcome.errors for outcome in outcomes), Counter[str]())
    return ", ".join(f"{number} × {what}" for what, number in found.items()) or "none"


def at_most(what: str, limit: float, found: float) -> Target:
    return Target(what, f"at most {limit:g}", f"{found:.3g}", found <= limit)


def at_least(what: str, limit: float, found: float) -> Target:
    return Target(what, f"at least {limit:g}", f"{found:.3g}", found >= limit)


def targets(measured: Measured) -> Iterator[Target]:
    """The targets of everything that could be measured."""
    small, large = measured.small, measured.large
    cpu = measured.in_process[small]
    has_base = (BASE, "front page") in cpu
    for page in PAGES if has_base else ():
        found = ratio(cpu[CACHED, page], cpu[BASE, page])
        yield at_most(f"1. Cached {page}: CPU time relative to {BASE}", 0.05, found)
    for page in PAGES:
        found = ratio(cpu[CACHED, page], cpu[RAW, page])
        what = f"1. Cached {page}: CPU time relative to {RAW}"
        yield Target(what, "less than 1", f"{found:.3g}", found < 1)
    for page in PAGES:
        found = ratio(rates(measured, CACHED, page), rates(measured, CEILING, page))
        what = f"2. Cached {page} over HTTP: requests per second relative to {CEILING}"
        yield at_least(what, 0.85, found)
    for page in PAGES if has_base else ():
        found = ratio(cpu[UNCACHED, page], cpu[BASE, page])
        what = f"3. {page.capitalize()}, not cached: CPU time relative to {BASE}"
        yield at_most(what, 0.6, found)
    for page in GROWING:
        found = ratio(measured.growth[page, large], measured.growth[page, small])
        what = f"4. {page.capitalize()}, not cached: CPU time with {large:,} entries relative to "
        yield at_most(f"{what}{small:,}", GROWTH[page], found)
    found = ratio(measured.growth["far", large], measured.growth["front page", large])
    what = f"4. Page {measured.far:,} of the front page: CPU time relative to page 1"
    yield at_most(what, FAR, found)
    yield from mixed_targets(measured)
    found = statistics.median(measured.process.first_response)
    yield at_most("6. First response of a new process, seconds", 1, found)
    memory, bare = measured.process.memory, measured.process.bare
    if memory and bare:
        what = f"6. Memory after {measured.process_requests:,} requests relative to the two imports"
        yield at_most(what, 1.5, memory / bare)


def mixed_targets(measured: Measured) -> Iterator[Target]:
    """The targets of reading and commenting."""
    for (name, threads), outcomes in measured.mixed.items():
        if name != CACHED:
            continue
        what = f"5. Reading and commenting, {threads} threads"
        found = errors(outcomes)
        yield Target(f"{what}: errors", "none", found, found == "none")
        share = 100 * statistics.median(cached_reads(outcomes))
        yield at_least(f"{what}: reads from the cache, %", SHARE, share)
        others = measured.mixed.get((BASE, threads))
        if others:
            times = ratio(mixed_rates(outcomes), mixed_rates(others))
            yield at_least(f"{what}: requests per second relative to {BASE}", MIXED, times)


def targets_table(measured: Measured) -> str:
    rows = (
        [it.what, it.target, it.measured, "yes" if it.met else "**no**"] for it in targets(measured)
    )
    return docs.table(["", "target", "measured", "met"], rows)


def calls_table(measured: Measured) -> str:
    """CPU time in process."""
    head = ["CPU time in process, µs"]
    keys = [(page, entries) for page in PAGES for entries in measured.in_process]
    for page, entries in keys:
        head += [f"{page}, {entries:,} entries", f"relative to {BASE}"]
    rows = []
    for name in ORDER:
        if (name, "front page") not in measured.in_process[measured.small]:
            continue
        row = [name]
        for page, entries in keys:
            series = measured.in_process[entries]
            base = series.get((BASE, page))
            row.append(docs.spread(series[name, page]))
            row.append(f"{ratio(series[name, page], base):.3f}" if base else "-")
        rows.append(row)
    return docs.table(head, rows)


def requests_table(measured: Measured) -> str:
    """Requests per second over HTTP."""
    head = ["Over HTTP, requests per second"]
    for page in PAGES:
        head += [page, f"relative to {CEILING}", "server CPU, µs"]
    rows = []
    for name in ORDER:
        row = [name]
        for page in PAGES:
            if name in measured.missing:
                row += [measured.missing[name], "-", "-"]
                continue
            own = rates(measured, name, page)
            cpu = [it.cpu for it in measured.requests[name, page] if it.cpu is not None]
            row.append(docs.spread(own))
            row.append(f"{ratio(own, rates(measured, CEILING, page)):.3f}")
            row.append(docs.spread(cpu) if cpu else "-")
        rows.append(row)
    return docs.table(head, rows)


def growth_table(measured: Measured) -> str:
    """The cost of our pages in a small blog and in a large one."""
    small, large = measured.small, measured.large
    rows = [
        [
            page,
            *(docs.spread(measured.growth[page, entries]) for entries in (small, large)),
            f"{ratio(measured.growth[page, large], measured.growth[page, small]):.2f}",
        ]
        for page in GROWING
    ]
    far = docs.spread(measured.growth["far", large])
    rows.append([f"page {measured.far:,} of the front page", "-", far, "-"])
    head = [f"{UNCACHED}, CPU time in process, µs", f"{small:,} entries", f"{large:,} entries"]
    head.append("ratio")
    return docs.table(head, rows)


def mixed_table(measured: Measured) -> str:
    """Reading and commenting."""
    rows = [
        [
            f"{name}, {threads} threads",
            docs.spread(mixed_rates(outcomes)),
            percent(cached_reads(outcomes)),
            percent(cached_pages(outcomes)),
            f"{sum(outcome.published for outcome in outcomes):,}",
            errors(outcomes),
        ]
        for (name, threads), outcomes in measured.mixed.items()
    ]
    head = ["95 % reads, 5 % comments", "requests per second", "reads from the cache, %"]
    head += ["with the page after a comment, %", "comments published", "errors"]
    return docs.table(head, rows) + (
        "\nEach page was visited once before a run. The page after a comment thanks one visitor: "
        "it is private, and always rendered.\n"
    )


def percent(shares: Sequence[float]) -> str:
    return docs.spread([100 * share for share in shares]) if shares else "-"


def process_table(measured: Measured) -> str:
    """The start and the memory of a process."""
    found = measured.process
    rows = [["First response of `threadleaf serve`, seconds", docs.spread(found.first_response)]]
    if found.memory and found.bare:
        what = f"Memory of `threadleaf serve` after {measured.process_requests:,} requests, MB"
        rows.append([what, docs.digits(found.memory / 1e6)])
        what = "Memory of a process that only imports Werkzeug and SQLAlchemy, MB"
        rows.append([what, docs.digits(found.bare / 1e6)])
    return docs.table(["Process", ""], rows)


def report(measured: Measured) -> str:
    """The tables, how to read them, and what they were measured on."""
    parts = [
        targets_table(measured),
        calls_table(measured),
        requests_table(measured),
        growth_table(measured),
        mixed_table(measured),
        process_table(measured),
        "Medians of all rounds, with the minimum and the maximum. A ratio is the median of the "
        "ratios within a round.\n",
        docs.surroundings(*(f"{name} {version(name)}" for name in installed(measured))),
    ]
    return "\n".join(parts)


def installed(measured: Measured) -> list[str]:
    """The packages of waitress, Werkzeug and the peers that took part."""
    packages = {"Bottle": "bottle", "Django": "django", BASE: "flask-sqlalchemy"}
    found = [package for name, package in packages.items() if name not in measured.missing]
    return ["waitress", "werkzeug", *(["flask"] if BASE not in measured.missing else []), *found]


def drawing(measured: Measured) -> str:
    """The medians as a picture."""
    panels: dict[str, picture.Panel] = {}
    for page in PAGES:
        panels[f"{page.capitalize()}, microseconds of CPU time"] = {
            name: [statistics.median(series[name, page]) for series in measured.in_process.values()]
            for name in ORDER
            if (name, page) in measured.in_process[measured.small]
        }
    for page in PAGES:
        panels[f"{page.capitalize()}, requests per second"] = {
            name: [statistics.median(rates(measured, name, page))]
            for name in ORDER
            if (name, page) in measured.requests
        }
    series = [f"{entries:,} entries" for entries in measured.in_process]
    return picture.draw("The cost of a visit", series, panels, ours=CACHED)
