"""What `benchmarks/visit.py` found, beside what was wanted, in tables and a picture."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

from benchmarks import docs, picture
from benchmarks.visits import calls, mixture, over_http, taken
from benchmarks.visits.calls import GROWING, KEPT, MADE, PAGES
from benchmarks.visits.host import CEILING
from benchmarks.visits.peers import BASE, MODULES, RAW
from benchmarks.visits.processes import NGINX
from benchmarks.visits.visitors import Outcome

ORDER = [CEILING, KEPT, MADE, *MODULES, NGINX]

#: How many times the cost of a small blog's page a large one's may have.
GROWTH = {page: 4.0 if page.startswith("search") else 1.15 for page in GROWING}

#: How many times the cost of page 1 a page far back may have.
FAR = 3.0


@dataclass
class Measured:
    """Everything, as the modules return it."""

    #: By number of entries.
    in_process: dict[int, calls.Pages]
    #: By name of the page and number of entries; the far page has the number :attr:`far`.
    growth: dict[tuple[str, int], calls.Series]
    far: int
    requests: over_http.Results
    #: Why a contender is not there, by name.
    missing: dict[str, str]
    mixed: mixture.Results
    process: taken.Taken
    #: How many were made before the memory was looked at.
    process_requests: int

    @property
    def small(self) -> int:
        return min(self.in_process)

    @property
    def large(self) -> int:
        return max(self.in_process)


class Target(NamedTuple):
    """What was wanted, and what is."""

    what: str
    wanted: str
    found: str
    met: bool


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of the ratios of two series of samples, round by round."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def rates(measured: Measured, name: str, page: str) -> list[float]:
    return [sample.rate for sample in measured.requests[name, page]]


def mixed_rates(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.requests / outcome.seconds for outcome in outcomes]


def wrong(outcomes: Sequence[Outcome]) -> str:
    """What went wrong, and how often."""
    errors = sum((outcome.errors for outcome in outcomes), Counter[str]())
    return ", ".join(f"{number} × {what}" for what, number in errors.items()) or "nothing"


def at_most(what: str, limit: float, found: float) -> Target:
    return Target(what, f"at most {limit:g}", f"{found:.3g}", found <= limit)


def at_least(what: str, limit: float, found: float) -> Target:
    return Target(what, f"at least {limit:g}", f"{found:.3g}", found >= limit)


def targets(measured: Measured) -> Iterator[Target]:
    """All that was wanted of what could be measured."""
    small, large = measured.small, measured.large
    cpu = measured.in_process[small]
    for page in PAGES if (BASE, "front page") in cpu else ():
        found = ratio(cpu[KEPT, page], cpu[BASE, page])
        yield at_most(f"1. Kept {page}, CPU time to {BASE}'s", 0.05, found)
    for page in PAGES:
        found = ratio(cpu[KEPT, page], cpu[RAW, page])
        yield Target(f"1. The same to {RAW}'s, {page}", "less than 1", f"{found:.3g}", found < 1)
    for page in PAGES:
        found = ratio(rates(measured, KEPT, page), rates(measured, CEILING, page))
        yield at_least(f"2. Kept {page} over HTTP, requests a second to {CEILING}", 0.85, found)
    for page in PAGES if (BASE, "front page") in cpu else ():
        found = ratio(cpu[MADE, page], cpu[BASE, page])
        yield at_most(f"3. {page.capitalize()} not kept, CPU time to {BASE}'s", 0.6, found)
    for page in GROWING:
        found = ratio(measured.growth[page, large], measured.growth[page, small])
        what = f"4. {page.capitalize()} not kept, {large:,} entries to {small:,}"
        yield at_most(what, GROWTH[page], found)
    found = ratio(measured.growth["far", large], measured.growth["front", large])
    yield at_most(f"4. Page {measured.far:,} of the front to page 1", FAR, found)
    for (name, threads), outcomes in measured.mixed.items():
        if name != KEPT:
            continue
        what = f"5. Reading and commenting, {threads} threads"
        yield Target(f"{what}: errors", "none", wrong(outcomes), wrong(outcomes) == "nothing")
        others = measured.mixed.get((BASE, threads))
        if others:
            found = ratio(mixed_rates(outcomes), mixed_rates(others))
            yield at_least(f"{what}: requests a second to {BASE}'s", 2, found)
    found = statistics.median(measured.process.first_answer)
    yield at_most("6. First answer of a new process, in seconds", 1, found)
    memory, bare = measured.process.memory, measured.process.bare
    if memory and bare:
        what = f"6. Memory after {measured.process_requests:,} requests to that of two imports"
        yield at_most(what, 1.5, memory / bare)


def targets_table(measured: Measured) -> str:
    rows = (
        [it.what, it.wanted, it.found, "yes" if it.met else "**no**"] for it in targets(measured)
    )
    return docs.table(["", "wanted", "found", "met"], rows)


def calls_table(measured: Measured) -> str:
    """CPU time in process."""
    head = ["CPU time in process, µs"]
    keys = [(page, entries) for page in PAGES for entries in measured.in_process]
    for page, entries in keys:
        head += [f"{page}, {entries:,} entries", f"to {BASE}"]
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
    """Requests a second over HTTP."""
    head = ["Over HTTP, requests a second"]
    for page in PAGES:
        head += [page, f"to {CEILING}", "CPU of the server, µs"]
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
    """What our pages cost in a small blog and in a large one."""
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
    rows.append([f"page {measured.far:,} of the front", "-", far, "-"])
    head = [f"{MADE}, CPU time in process, µs", f"{small:,} entries", f"{large:,} entries", "times"]
    return docs.table(head, rows)


def mixed_table(measured: Measured) -> str:
    """Reading and commenting."""
    rows = [
        [
            f"{name}, {threads} threads",
            docs.spread(mixed_rates(outcomes)),
            str(sum(outcome.accepted for outcome in outcomes)),
            wrong(outcomes),
        ]
        for (name, threads), outcomes in measured.mixed.items()
    ]
    head = ["95 % read, 5 % comment", "requests a second", "comments accepted", "went wrong"]
    return docs.table(head, rows)


def process_table(measured: Measured) -> str:
    """What a process takes."""
    found = measured.process
    rows = [["First answer of `threadleaf serve`, seconds", docs.spread(found.first_answer)]]
    if found.memory and found.bare:
        what = f"Memory of `threadleaf serve` after {measured.process_requests:,} requests, MB"
        rows.append([what, docs.digits(found.memory / 1e6)])
        what = "Memory of a process that has only imported Werkzeug and SQLAlchemy, MB"
        rows.append([what, docs.digits(found.bare / 1e6)])
    return docs.table(["A process", ""], rows)


def report(measured: Measured) -> str:
    """The tables with what is needed to judge them."""
    parts = [
        targets_table(measured),
        calls_table(measured),
        requests_table(measured),
        growth_table(measured),
        mixed_table(measured),
        process_table(measured),
        "The median of all rounds, with the least and the greatest. Where two are compared, it is "
        "the median of the ratios within a round.\n",
        docs.surroundings(*(f"{name} {version(name)}" for name in installed(measured))),
    ]
    return "\n".join(parts)


def installed(measured: Measured) -> list[str]:
    """The packages of the peers that took part."""
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
        panels[f"{page.capitalize()}, requests a second"] = {
            name: [statistics.median(rates(measured, name, page))]
            for name in ORDER
            if (name, page) in measured.requests
        }
    series = [f"{entries:,} entries" for entries in measured.in_process]
    return picture.draw("What a visit costs", series, panels, ours=KEPT)
