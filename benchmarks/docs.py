"""How the benchmarks write their figures, and where they were measured, into the docs."""

import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"


def digits(value: float) -> str:
    """Return a figure with as many digits as it deserves."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def spread(values: list[float]) -> str:
    """Return the median, with the minimum and the maximum in brackets."""
    return f"{digits(statistics.median(values))} ({digits(min(values))} to {digits(max(values))})"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table in Markdown, with all columns but the first aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def surroundings(*more: str) -> str:
    """Return the machine, the software, the date and the command of a measurement.

    :param more: further software, with its version.
    """
    software = [
        f"Python {platform.python_version()}",
        f"SQLAlchemy {sqlalchemy.__version__}",
        f"SQLite {sqlite3.sqlite_version}",
        *more,
    ]
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return (
        f"{_processor()}, {os.cpu_count()} processors, {platform.system()}; "
        f"{', '.join(software)}; {time.strftime('%Y-%m-%d')}; `{command}`\n"
    )


def page_around(page: Path) -> tuple[str, str]:
    """Return the text before and after the report in a page, with the markers."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{page} needs a line {BEGIN} and, below it, a line {END}")
    return before + begin, end + after


def put(page: Path, around: tuple[str, str], report: str) -> None:
    """Put a report into a page.

    :param around: what :func:`page_around` returned.
    """
    before, after = around
    page.write_text(f"{before}\n{report}{after}", encoding="utf-8", newline="\n")


def write(page: Path, around: tuple[str, str], report: str, picture: str, caption: str) -> None:
    """Put a report into a page, and its picture into a file of the same name."""
    image = page.parent / "images" / f"{page.stem}.svg"
    image.parent.mkdir(exist_ok=True)
    image.write_text(picture, encoding="utf-8", newline="\n")
    put(page, around, f"![{caption}](images/{image.name})\n\n{report}")


def _processor() -> str:
    """Return the name of the processor, or its architecture."""
    if platform.system() == "Darwin":
        return subprocess.check_output(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], text=True
        ).strip()
    if platform.system() == "Linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
