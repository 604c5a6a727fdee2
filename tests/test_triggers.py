"""Data kept true by triggers, after any sequence of statements by any program."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from blog.models import Base
from blog.models.triggers import SEEN, UNSEEN, recount
from tests import changes

IDS = st.integers(1, 4)
DATES = st.sampled_from(["2025-01-31 23:59:59.000000", "2025-02-01 00:00:00.000000", "2031-01-01"])
STATES = st.sampled_from(["draft", "published"])
KINDS = st.sampled_from(["entry", "page"])


def entry(id_: int, date: str, state: str, kind: str) -> str:
    return (
        "INSERT INTO entry (id, title, body, timestamp, featured, slug, state, uid, updated, "
        f"format, kind, comments_open) VALUES ({id_}, 'T', 'B', '{date}', false, 's{id_}', "
        f"'{state}', 'u{id_}', '{date}', 'markdown', '{kind}', true) ON CONFLICT DO NOTHING"
    )


STATEMENTS = st.lists(
    st.one_of(
        st.builds(entry, IDS, DATES, STATES, KINDS),
        st.builds("DELETE FROM entry WHERE id = {}".format, IDS),
        st.builds("UPDATE entry SET timestamp = '{}' WHERE id >= {}".format, DATES, IDS),
        st.builds("UPDATE entry SET state = '{}' WHERE id <= {}".format, STATES, IDS),
        st.builds("UPDATE entry SET kind = '{}' WHERE id = {}".format, KINDS, IDS),
        st.builds("UPDATE entry SET body = 'Other' WHERE id = {}".format, IDS),
        st.builds(
            "INSERT INTO entry_tag (entry_id, tag_id) SELECT id, {} FROM entry WHERE id >= {} "
            "ON CONFLICT DO NOTHING".format,
            st.integers(1, 2),
            IDS,
        ),
        st.builds("DELETE FROM entry_tag WHERE entry_id = {}".format, IDS),
        st.builds(
            "INSERT INTO rendering SELECT id, 1, 1, body, body, body, body FROM entry "
            "WHERE id = {} ON CONFLICT DO NOTHING".format,
            IDS,
        ),
    ),
    max_size=12,
)


def kept(connection: Any, *unknown: str) -> list[Any]:
    """Return the data of the triggers, without the months whose number is unknown."""
    for month in unknown:
        connection.execute(text("DELETE FROM month WHERE month = :month"), {"month": month})
    return [
        connection.execute(text(query)).all()
        for query in (
            "SELECT month, entries FROM month WHERE entries != 0 ORDER BY month",
            "SELECT entry_id, tag_id, timestamp, listed FROM entry_tag ORDER BY 1, 2",
        )
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(statements=STATEMENTS)
def test_counts_equal_recount(engine: Engine, statements: list[str]) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO tag VALUES (1, 'one', 'one'), (2, 'two', 'two')")
        for statement in statements:
            connection.exec_driver_sql(statement)
        # A replaced row, or an attempt to replace one, leaves the number of its month unknown: the
        # page counts it.
        unknown = connection.scalars(text("SELECT month FROM month WHERE entries IS NULL")).all()
        found = kept(connection, *unknown)
        stale = connection.scalar(
            text("SELECT count(*) FROM rendering JOIN entry ON id = entry_id WHERE html != body")
        )
        for statement in recount(engine.dialect.name):
            connection.exec_driver_sql(statement)

        assert found == kept(connection, *unknown)
        assert stale == 0
        connection.rollback()


# Visible and invisible changes


def test_all_columns_are_seen_or_unseen() -> None:
    tables = Base.metadata.tables
    assert sorted([*SEEN, *UNSEEN]) == sorted(tables)
    for name, seen in SEEN.items():
        assert sorted([*seen.columns, *seen.unseen]) == sorted(tables[name].columns.keys())


def test_tests_cover_all_columns() -> None:
    assert set(changes.UNSEEN_TABLES) == set(UNSEEN)
    assert {name: set(values) for name, values in changes.SEEN.items()} == {
        name: set(seen.columns) for name, seen in SEEN.items()
    }
    assert {name: set(values) for name, values in changes.UNSEEN.items()} == {
        name: set(seen.unseen) for name, seen in SEEN.items() if seen.unseen
    }


@pytest.fixture
def shell(engine: Engine) -> Iterator[Connection]:
    """Another program, without settings, and on SQLite without foreign keys."""
    other = create_engine(engine.url, poolclass=NullPool)
    with other.connect() as connection:
        changes.fill(connection)
        yield connection


@pytest.mark.parametrize(
    ("table", "event"), dict.fromkeys((each.table, each.event) for each in changes.changes())
)
def test_visible_changes_raise_version(shell: Connection, table: str, event: str) -> None:
    given = [each for each in changes.changes() if (each.table, each.event) == (table, event)]
    assert changes.wrong_changes(shell, given) == []


def test_triggers_keep_derived_data(shell: Connection) -> None:
    assert changes.wrong_kept(shell, changes.kept()) == []
