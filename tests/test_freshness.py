"""No response is older than the last commit that had finished before its request began.

This is observed over HTTP, by readers of one or two server processes, while other processes write:
with the blog's models, with SQL, and as visitors. Further tests break the freshness and expect the
judge to notice.

`FRESHNESS_ROUNDS=50 pytest -s tests/test_freshness.py` repeats the runs and prints the results.
"""

import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import click
import pytest
from sqlalchemy import Engine, make_url, text

from blog.config import Config
from tests.conftest import MakeEntry
from tests.freshness import (
    Look,
    populate,
    rounds,
    run,
    serve,
    summary,
    too_early,
    too_late,
    watch,
)
from tests.processes import PATIENCE, Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(120 + 60 * rounds())]


@pytest.mark.parametrize("servers", [1, 2])
def test_no_response_is_stale(config: Config, tmp_path: Path, servers: int) -> None:
    reports = []
    for _ in range(rounds()):
        populate(config)
        report = run(config, tmp_path, reads=2_000, servers=servers)
        assert report.violations == []
        assert set(report.answers) == {"GET 200", "GET 304", "HEAD 200"}
        assert len(report.writes) == 7
        assert report.repeated > 0, "some pages were cached"
        reports.append(report)

    click.echo(f"\n{config.database.split(':')[0]}, {servers} servers: {summary(reports)}")


# Broken freshness is noticed

SECOND = """
import time
from blog.models import freshness
ask, kept = freshness.stamp, {}
def stamp(engine):
    second = int(time.monotonic())
    if second not in kept:
        kept[second] = ask(engine)
    return kept[second]
freshness.stamp = stamp
"""


def test_delayed_version_check_is_noticed(config: Config, tmp_path: Path) -> None:
    populate(config)

    report = run(config, tmp_path, reads=600, sabotage=SECOND)

    assert "was committed before the request" in report.violations[0]


@pytest.mark.parametrize(
    ("table", "event", "kind"),
    [("entry", "update", "raw"), ("comment", "insert", "remark"), ("tag", "update", "subject")],
)
def test_missing_trigger_is_noticed(
    config: Config, engine: Engine, tmp_path: Path, table: str, event: str, kind: str
) -> None:
    populate(config)
    on = f" ON {table}" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.execute(text(f"DROP TRIGGER site_changed_{table}_{event}{on}"))

    report = run(config, tmp_path, reads=300, writers=[[kind]])

    assert "was committed before the request" in report.violations[0]


#: Sabotage: a page does not record which comments it shows.
FORGETFUL = """
from blog.request import Request
Request.comments_read = frozenset()
"""
#: Sabotage: a page treats every change as one of comments.
TALKATIVE = """
from blog.models import freshness
freshness.EVERYTHING = -2
"""


@pytest.mark.parametrize(
    ("sabotage", "kind"), [(FORGETFUL, "remark"), (FORGETFUL, "aside"), (TALKATIVE, "raw")]
)
def test_missing_scope_is_noticed(config: Config, tmp_path: Path, sabotage: str, kind: str) -> None:
    populate(config)

    report = run(config, tmp_path, reads=300, writers=[[kind]], sabotage=sabotage)

    assert "was committed before the request" in report.violations[0]


# Pages that change with time

#: Sabotage: the blog knows no such moment.
TIMELESS = """
from dataclasses import replace
from datetime import UTC, datetime
from blog.models import freshness
find = freshness.moments
def moments(*given):
    return replace(find(*given), until=datetime.max.replace(tzinfo=UTC))
freshness.moments = moments
"""


def watch_one_appear(
    config: Config, make_entry: MakeEntry, sabotage: str = ""
) -> tuple[float, list[Look]]:
    """Request pages while an entry appears. Return the moment due, and what was seen."""
    make_entry("Old", tags=("one",), timestamp=datetime.now(UTC) - timedelta(days=40))
    with serve(config, sabotage) as server:
        moment = datetime.now(UTC) + timedelta(seconds=1.5)
        make_entry("Soon", tags=("one",), timestamp=moment)
        pages = ["/blog", "/blog/soon", "/blog/feed.atom", "/blog/tag/one", "/sitemap.xml"]
        words = {**dict.fromkeys(pages, "soon"), "/blog/archive": f"{moment:/blog/%Y/%m}"}
        looks = watch(server.url, words, moment.timestamp() + 0.5)
    return moment.timestamp(), looks


def test_scheduled_entry_appears_on_time(config: Config, make_entry: MakeEntry) -> None:
    moment, looks = watch_one_appear(config, make_entry)

    assert too_late(looks, moment, shows=True) == []
    assert too_early(looks, moment, shows=True) == []
    assert [look for look in looks if look.received < moment]
    assert [look for look in looks if look.sent >= moment]


def test_comments_close_on_time(config: Config, make_entry: MakeEntry) -> None:
    with serve(config, THREADLEAF_COMMENTS_CLOSE_AFTER=3) as server:
        moment = datetime.now(UTC) + timedelta(seconds=1.5)
        make_entry("Talk", timestamp=moment - timedelta(days=3))
        looks = watch(server.url, {"/blog/talk": 'id="comment-form"'}, moment.timestamp() + 0.5)

    assert too_late(looks, moment.timestamp(), shows=False) == []
    assert too_early(looks, moment.timestamp(), shows=False) == []
    assert [look for look in looks if look.shows]
    assert [look for look in looks if not look.shows]


def test_missing_moments_are_noticed(config: Config, make_entry: MakeEntry) -> None:
    moment, looks = watch_one_appear(config, make_entry, TIMELESS)

    late = {look.path for look in too_late(looks, moment, shows=True)}
    assert "/blog" in late
    assert "/blog/soon" not in late, "a missing page is not cached"


LIBFAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


@pytest.mark.faketime
def test_clock_jumps_are_followed(config: Config, make_entry: MakeEntry, tmp_path: Path) -> None:
    if LIBFAKETIME is None or sys.platform == "win32":  # under wine, it would be the host's
        pytest.skip("libfaketime is not installed")
    clock = tmp_path / "clock"

    def jump(hours: float) -> None:
        clock.write_text(f"{hours * 3600:+.0f}", "ascii")

    jump(0)
    make_entry("Old")
    make_entry("Soon", timestamp=datetime.now(UTC) + timedelta(hours=1))
    with serve(
        config,
        THREADLEAF_COMMENTS_CLOSE_AFTER=1,
        LD_PRELOAD=LIBFAKETIME,
        FAKETIME_TIMESTAMP_FILE=clock,
        FAKETIME_NO_CACHE=1,
        FAKETIME_DONT_FAKE_MONOTONIC=1,
    ) as server:
        assert "Soon" not in get(server, "/blog")[0]
        jump(2)
        page, date = get(server, "/blog")
        assert "Soon" in page
        jump(0.5)
        assert "Soon" not in get(server, "/blog", date)[0], "the date is later than the change"
        jump(-24)
        assert "Old" not in get(server, "/blog")[0]
        jump(2)
        assert "Soon" in get(server, "/blog")[0]
        change(str(make_url(config.database).database), "UPDATE entry SET title = 'Edited'")
        assert "Edited" in get(server, "/blog")[0]
        jump(1.5)
        change(str(make_url(config.database).database), "UPDATE entry SET title = 'Again'")
        assert "Again" in get(server, "/blog")[0]
        jump(3)
        page, date = get(server, "/blog/old")
        assert 'id="comment-form"' in page
        jump(23.5)
        assert 'id="comment-form"' not in get(server, "/blog/old", date)[0]


def get(server: Server, path: str, date: str | None = None) -> tuple[str, str | None]:
    """Return a page and its date, for a browser with a cached page of `date`."""
    known = {"If-Modified-Since": date} if date else {}
    with urlopen(Request(server.url + path, headers=known), timeout=PATIENCE) as response:
        return response.read().decode(), response.headers["Last-Modified"]


# The database is replaced


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not replace open files")
@pytest.mark.parametrize("stamped_alike", [False, True], ids=["changed", "stamped alike"])
def test_replaced_database_is_noticed(
    config: Config, make_entry: MakeEntry, tmp_path: Path, stamped_alike: bool
) -> None:
    make_entry("Entry")
    database, copy = str(make_url(config.database).database), tmp_path / "copy.db"
    change(database, f"VACUUM INTO '{copy}'")
    # Different changes lead to the same version.
    change(database, "UPDATE entry SET title = 'Original'")
    change(copy, "UPDATE entry SET title = 'Restored'")
    if stamped_alike:
        (stamp,) = change(database, "SELECT changed FROM site")
        change(copy, f"UPDATE site SET changed = '{stamp[0]}'")
    assert change(database, "SELECT version FROM site") == change(copy, "SELECT version FROM site")

    with serve(config) as server:
        pages = dict.fromkeys(["/blog", "/blog/entry", "/blog/feed.atom"], "Restored")
        assert not any(look.shows for look in watch(server.url, pages, time.time() + 0.2))
        copy.replace(database)
        moment = time.time()
        looks = watch(server.url, pages, moment + 0.5)

    assert too_late(looks, moment, shows=True) == []
    assert [look for look in looks if look.sent >= moment]


def change(database: str | Path, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement as a shell would."""
    with closing(sqlite3.connect(database, isolation_level=None)) as shell:
        return shell.execute(statement).fetchall()
