"""The benchmarks: that they run, and what they write. Never how fast anything is."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPERATIONS = [
    "Checkout and checkin",
    "Core `select 1`",
    "Session `select 1`",
    "One-row commit",
]
POOLS = [
    "`ThreadLocalPool`",
    "`ThreadLocalPool(pool_size=3)`",
    "`QueuePool`",
    "`SingletonThreadPool`",
    "`StaticPool`",
    "`NullPool`",
    "raw sqlite3",
]

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the benchmark needs, whose docs it may write to."""
    for part in ("benchmarks", "pool"):
        shutil.copytree(ROOT / part, tmp_path / part)
    (tmp_path / "docs").mkdir()
    return tmp_path


def run(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(checkout / "benchmarks" / "pool.py")]
    return subprocess.run(
        [*command, "--quick", "--rounds", "2", "--threads", "3", *options],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, line by line, without the lines that only align."""
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_have_a_row_for_each_operation_and_pool(checkout: Path) -> None:
    done = run(checkout)

    assert (done.returncode, done.stderr) == (0, "")
    table = rows(done.stdout)
    assert [row[0] for row in table] == [
        name for operation in OPERATIONS for name in [operation, *POOLS]
    ]
    # There is no such thing as a checkout of the bare driver, and a StaticPool is for one thread.
    unmeasured = [(number, row[0]) for number, row in enumerate(table) if "-" in row]
    assert unmeasured == [
        (5, "`StaticPool`"),
        (7, "raw sqlite3"),
        (13, "`StaticPool`"),
        (21, "`StaticPool`"),
        (29, "`StaticPool`"),
    ]


def test_write_replaces_what_is_between_the_markers_and_draws_the_picture(checkout: Path) -> None:
    page = checkout / "docs" / "pool-promises.md"
    page.write_text(
        "# Speed – überall\n\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n\nThe end.\n",
        encoding="utf-8",
    )

    done = run(checkout, "--write")

    assert (done.returncode, done.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Speed – überall\n\n<!-- benchmark -->\n")
    assert text.endswith("\n<!-- /benchmark -->\n\nThe end.\n")
    assert "old" not in text
    assert len(rows(text)) == len(OPERATIONS) * (1 + len(POOLS))
    assert "`python benchmarks/pool.py --quick --rounds 2 --threads 3 --write`" in text
    assert "](images/pool-promises.svg)" in text
    drawing = ElementTree.parse(checkout / "docs" / "images" / "pool-promises.svg")
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    for name in (*OPERATIONS, *POOLS):
        assert name.replace("`", "") in words


@pytest.mark.parametrize("page", [None, "# No markers\n"])
def test_write_says_at_once_that_the_page_has_no_markers(checkout: Path, page: str | None) -> None:
    file = checkout / "docs" / "pool-promises.md"
    if page is not None:
        file.write_text(page, encoding="utf-8")

    done = run(checkout, "--write")

    assert done.returncode == 1
    assert done.stdout == ""
    assert "pool-promises.md needs a line <!-- benchmark -->" in done.stderr
    assert (file.read_text(encoding="utf-8") if page else None) == page


VISITED = [
    "constant bytes",
    "Threadleaf",
    "Threadleaf, nothing kept",
    "raw sqlite3",
    "Bottle",
    "Flask, scoped_session",
    "Flask-SQLAlchemy",
    "Django",
    "nginx",
]


@pytest.mark.long
def test_the_visit_is_measured_for_whoever_is_installed_and_written_into_the_docs(
    tmp_path: Path,
) -> None:
    for part in ("benchmarks", "blog", "pool", "templates", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    page = tmp_path / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text("# Speed\n<!-- benchmark -->\nold\n<!-- /benchmark -->\n", encoding="utf-8")

    done = subprocess.run(
        [
            *(sys.executable, "-W", "error"),
            # The peers keep a connection for each thread, as their documentation has it, and their
            # threads end without a word to it.
            *("-W", "ignore::ResourceWarning"),
            *(tmp_path / "benchmarks" / "visit.py", "--quick", "--write"),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    assert text.endswith(done.stdout + "<!-- /benchmark -->\n")
    table = rows(text)
    over_http = next(n for n, row in enumerate(table) if row[0].startswith("Over HTTP"))
    assert [row[0] for row in table[over_http + 1 :][: len(VISITED)]] == VISITED
    mixed = next(n for n, row in enumerate(table) if row[0].startswith("95 % read"))
    assert table[mixed + 1][0] == "Threadleaf, 2 threads"
    assert {row[3] for row in table[mixed + 1 : mixed + 3]} == {"nothing"}
    drawing = ElementTree.parse(tmp_path / "docs" / "images" / "speed.svg")
    words = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert "Threadleaf" in words


def test_the_filters_tables_have_a_row_for_each_number_of_decisions(tmp_path: Path) -> None:
    for part in ("benchmarks", "blog", "pool"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copytree(ROOT / "tests" / "judged", tmp_path / "tests" / "judged")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "spam.md", tmp_path / "docs")
    command = [sys.executable, "-W", "error", str(tmp_path / "benchmarks" / "spam.py")]
    subprocess.run([*command, "--orders", "1", "--write"], timeout=100, check=True)

    found = rows((tmp_path / "docs" / "spam.md").read_text(encoding="utf-8"))
    assert [row[0] for row in found[1:5]] == ["20", "50", "200", "500"]
    assert any("words: “" in row[-1] for row in found)


def test_the_steps_of_requests_are_counted() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "benchmarks" / "steps.py")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=100, check=True)

    table = {row[0]: [int(cell) for cell in row[1:]] for row in rows(done.stdout)[1:]}
    assert set(table) == {"cached GET", "uncached GET", "comment"}
    for cached, rendered in zip(table["cached GET"], table["uncached GET"], strict=True):
        assert cached < rendered
