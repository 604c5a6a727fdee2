"""The schema: created, upgraded from the seed's models, or refused."""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Executable,
    ForeignKey,
    Integer,
    String,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Session

from blog.application import Blog, create_app
from blog.config import Config
from blog.database import connect, session_factory
from blog.models import Base
from blog.models.listed import NEWEST, TAGGED
from blog.operations import backfill, migration
from tests.conftest import BlogClient, MakeEntry


class SeedBase(DeclarativeBase):
    """The seed's models.py, except for today's declarative base."""


class SeedEntry(SeedBase):
    __tablename__ = "entry"

    id = Column(Integer, primary_key=True)
    title = Column(String(100), nullable=False)
    body = Column(String, nullable=False)
    timestamp = Column(DateTime, nullable=False)
    featured = Column(Boolean, nullable=False)


class SeedComment(SeedBase):
    __tablename__ = "comment"

    id = Column(Integer, primary_key=True)
    entry_id = Column(Integer, ForeignKey("entry.id"))
    text = Column(String(500), nullable=False)
    name = Column(String(80))


@pytest.fixture
def seed(tmp_path: Path) -> Iterator[Engine]:
    """A database of the seed with rows in both tables, one of them a comment without entry."""
    path = tmp_path / "seed.db"
    engine = create_engine(f"sqlite:///{path.as_posix()}")
    SeedBase.metadata.create_all(engine)
    with Session(engine) as db:
        for number, title in enumerate(["Hello, world!", "Hello world", "日本語", "!?"], 1):
            moment = datetime(2013, 3, number, 12, 30)  # noqa: DTZ001 - as the seed stored it
            db.add(SeedEntry(title=title, body="*One*", timestamp=moment, featured=number == 1))
        db.add(SeedComment(entry_id=1, text="First <b>!", name="Ann"))
        db.add(SeedComment(entry_id=1, text="Second", name=None))
        db.add(SeedComment(entry_id=9, text="To an entry that is gone"))
        db.commit()
    engine.dispose()
    engine = connect(f"sqlite:///{path.as_posix()}")
    yield engine
    engine.dispose()


def differences(connection: Connection) -> list[Any]:
    """Return how the tables differ from the models, except for the search index."""
    options = {"include_name": lambda name, *_: not (name or "").startswith("search_")}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Base.metadata))


def test_schema_equals_models(engine: Engine) -> None:
    with engine.connect() as connection:
        assert differences(connection) == []


def test_check_constraints_equal_enums(engine: Engine) -> None:
    def checks(engine: Engine) -> dict[tuple[str, str | None], str]:
        found = inspect(engine).get_multi_check_constraints()
        return {(name[1], each["name"]): each["sqltext"] for name in found for each in found[name]}

    modelled = create_engine("sqlite://")
    Base.metadata.create_all(modelled)
    assert checks(engine) == checks(modelled)
    assert checks(modelled)["entry", "ck_entry_state"] == "state IN ('draft', 'published')"
    modelled.dispose()


def test_seed_upgrade_gives_same_schema(seed: Engine) -> None:
    assert migration.upgrade(seed) == ("0001", migration.HEAD)

    with seed.connect() as connection:
        assert differences(connection) == []


def test_seed_rows_are_kept_and_get_slugs(seed: Engine) -> None:
    migration.upgrade(seed)

    with seed.connect() as connection:
        entries = connection.execute(
            text("SELECT id, title, body, timestamp, featured, slug FROM entry ORDER BY id")
        ).all()
        comments = connection.execute(
            text("SELECT id, entry_id, text, name FROM comment ORDER BY id")
        ).all()
    assert entries == [
        (1, "Hello, world!", "*One*", "2013-03-01 12:30:00.000000", 1, "hello-world"),
        (2, "Hello world", "*One*", "2013-03-02 12:30:00.000000", 0, "hello-world-2"),
        (3, "日本語", "*One*", "2013-03-03 12:30:00.000000", 0, "日本語"),
        (4, "!?", "*One*", "2013-03-04 12:30:00.000000", 0, "entry-4"),
    ]
    assert comments == [
        (1, 1, "First <b>!", "Ann"),
        (2, 1, "Second", None),
        (3, None, "To an entry that is gone", None),
    ]


def test_seed_rows_are_on_pages(seed: Engine) -> None:
    migration.upgrade(seed)
    config = Config(database=str(seed.url))
    client = BlogClient(Blog(config, seed, migration.check(seed).secret))

    front = client.get("/blog.html").text
    page = client.get("/blog/hello-world").text
    for title in ("Hello, world!", "Hello world", "日本語", "!?"):
        assert title in front
    assert "<em>One</em>" in page
    assert "First &lt;b&gt;!" in page
    assert "Second" in page
    assert client.get("/blog/%E6%97%A5%E6%9C%AC%E8%AA%9E").status_code == 200


def test_seed_gets_missing_indexes(seed: Engine) -> None:
    migration.upgrade(seed)

    indexed = {
        (table, index["column_names"][0])
        for table in ("entry", "comment")
        for index in inspect(seed).get_indexes(table)
    }
    assert {("entry", "timestamp"), ("comment", "entry_id")} <= indexed


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        (NEWEST, {}, "entry USING COVERING INDEX ix_entry_timestamp (timestamp<?)"),
        (TAGGED, {"tag": 1}, "entry_tag USING COVERING INDEX ix_entry_tag_tag_id"),
    ],
    ids=["newest", "tagged"],
)
def test_lists_walk_an_index(
    engine: Engine, statement: Executable, values: dict[str, int], index: str
) -> None:
    seen: list[list[str]] = []

    def explain(connection: Any, _: object, sql: str, given: object, *__: object) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", given)
        seen.append([row[3] for row in cursor.fetchall()])

    event.listen(engine, "after_cursor_execute", explain)
    with session_factory(engine)() as db:
        given = {"now": datetime.now(UTC), "limit": 11, "offset": 990, "renderer": 1}
        db.execute(statement, given | values)
    event.remove(engine, "after_cursor_execute", explain)

    (plan,) = seen
    assert any(index in step for step in plan)
    # Only the few selected rows are sorted.
    chosen = plan[: next(n for n, step in enumerate(plan) if step.startswith("SCAN"))]
    assert not any("TEMP B-TREE" in step for step in chosen)


def test_second_upgrade_does_nothing(engine: Engine) -> None:
    assert migration.upgrade(engine) == (migration.HEAD, migration.HEAD)


def test_journal_mode_is_wal(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1


@pytest.mark.skipif(os.name != "posix", reason="lock files need POSIX")
def test_disk_without_wal_is_accepted(tmp_path: Path) -> None:
    # Without shared memory, as on many network disks, SQLite does not change the journal mode.
    path = (tmp_path / "blog.db").as_posix()
    engine = connect(f"sqlite:///file:{path}?vfs=unix-dotfile&uri=true")

    migration.upgrade(engine)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    assert migration.check(engine)
    engine.dispose()


def refusal(url: str) -> str:
    with pytest.raises(migration.DatabaseUnusableError) as refused:
        create_app(Config(database=url))
    return str(refused.value)


def test_older_schema_is_refused(seed: Engine) -> None:
    message = refusal(str(seed.url))

    assert "has schema 0001" in message
    assert message.endswith("run `threadleaf upgrade`.")


def test_newer_schema_is_refused(config: Config, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    assert refusal(config.database).endswith("install the version that upgraded it.")
    with pytest.raises(migration.DatabaseUnusableError, match="nothing was changed"):
        migration.upgrade(engine)


def test_missing_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.db"

    assert refusal(f"sqlite:///{path.as_posix()}").endswith("run `threadleaf init`.")
    assert not path.exists()


def test_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none" / "blog.db"

    assert str(path) in refusal(f"sqlite:///{path.as_posix()}")
    with pytest.raises(migration.DatabaseUnusableError, match="its folder exists"):
        migration.upgrade(connect(f"sqlite:///{path}"))


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()

    assert refusal(f"sqlite:///{path.as_posix()}").endswith("run `threadleaf upgrade`.")


def test_non_database_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes. " * 100)

    message = refusal(f"sqlite:///{path.as_posix()}")
    assert "not a database" in message
    with pytest.raises(migration.DatabaseUnusableError, match="not a database"):
        migration.upgrade(connect(f"sqlite:///{path.as_posix()}"))
    assert path.read_text() == "These are notes. " * 100


# Foreign databases, and additions by operators

#: Schemas of other programs, each with the tables named in the error.
FOREIGN = {
    "a table": "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)",
    "migrations of its own": "CREATE TABLE alembic_version (version_num TEXT NOT NULL);"
    "INSERT INTO alembic_version VALUES ('ae1027a6acf'); CREATE TABLE account (id INTEGER)",
    "our version without our tables": "CREATE TABLE alembic_version (version_num TEXT NOT NULL);"
    "INSERT INTO alembic_version VALUES ('0006')",
    "an entry of another kind": "CREATE TABLE entry (id INTEGER PRIMARY KEY, amount INTEGER);"
    "CREATE TABLE comment (id INTEGER PRIMARY KEY, text TEXT)",
    "an entry with more": "CREATE TABLE entry (id INTEGER PRIMARY KEY, title TEXT, body TEXT,"
    "timestamp TEXT, featured INTEGER, customer INTEGER);"
    "CREATE TABLE comment (id INTEGER PRIMARY KEY, entry_id INTEGER, text TEXT, name TEXT)",
    "an entry without comments": "CREATE TABLE entry (id INTEGER PRIMARY KEY, title TEXT,"
    "body TEXT, timestamp TEXT, featured INTEGER)",
}


@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_foreign_database_is_refused(tmp_path: Path, statements: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as shell:
        shell.executescript(statements)
    before = path.read_bytes()

    url = f"sqlite:///{path.as_posix()}"
    engine = connect(url)
    with pytest.raises(migration.DatabaseUnusableError, match="another program"):
        migration.upgrade(engine)
    engine.dispose()
    assert "other.db belongs to another program (it has the tables " in refusal(url)
    assert refusal(url).endswith("set `database` to a new file or an empty database.")
    assert path.read_bytes() == before


#: An operator's objects with our names, and how the error names them.
IN_THE_WAY = {
    "CREATE TABLE tag (id INTEGER)": "table tag",
    "CREATE TABLE Site (id INTEGER)": "table Site",
    "CREATE TABLE search_index_data (id INTEGER)": "table search_index_data",
    "CREATE TABLE _alembic_tmp_entry (id INTEGER)": "table _alembic_tmp_entry",
    "CREATE TABLE alembic_versions (id INTEGER); CREATE TABLE series (id INTEGER)": "table series",
    "CREATE VIEW searchable_entry AS SELECT * FROM entry": "view searchable_entry",
    "CREATE VIEW month AS SELECT timestamp FROM entry": "view month",
    "CREATE TRIGGER month_insert AFTER INSERT ON entry BEGIN SELECT 1; END": (
        "trigger month_insert on entry"
    ),
    "CREATE UNIQUE INDEX ix_entry_timestamp ON entry (timestamp)": (
        "index ix_entry_timestamp on entry"
    ),
    "CREATE INDEX rendering ON entry (title)": "index rendering on entry",
    "CREATE TABLE redirect (id INTEGER); CREATE TABLE imported (id INTEGER)": (
        "table redirect, table imported"
    ),
}


@pytest.mark.parametrize(("statements", "named"), IN_THE_WAY.items(), ids=IN_THE_WAY.values())
def test_taken_name_is_refused(seed: Engine, statements: str, named: str) -> None:
    with closing(sqlite3.connect(str(seed.url.database))) as shell:
        shell.executescript(statements)
        before = list(shell.iterdump())

    with pytest.raises(migration.DatabaseUnusableError) as refused:
        migration.upgrade(seed)
    assert str(refused.value).endswith(
        f"was not upgraded: Threadleaf needs the names of its {named}. Rename or drop them, then "
        "try again."
    )
    with closing(sqlite3.connect(str(seed.url.database))) as shell:
        assert list(shell.iterdump()) == before


def test_index_of_other_table_is_refused(seed: Engine) -> None:
    with seed.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE customer (id INTEGER)")
        connection.exec_driver_sql("CREATE INDEX ix_entry_timestamp ON customer (id)")

    with pytest.raises(
        migration.DatabaseUnusableError, match=r"ix_entry_timestamp on customer\. Re"
    ):
        migration.upgrade(seed)


def test_index_with_our_name_is_replaced(seed: Engine) -> None:
    with seed.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX ix_entry_timestamp ON entry (timestamp)")
        connection.exec_driver_sql("CREATE INDEX IX_comment_entry_id ON comment (name)")

    assert migration.upgrade(seed) == ("0001", migration.HEAD)
    with seed.connect() as connection:
        assert differences(connection) == []


def test_operator_additions_survive_upgrade(seed: Engine) -> None:
    added = {
        "CREATE TABLE customer (id INTEGER, favourite INTEGER REFERENCES entry (id))",
        'CREATE INDEX "by title" ON entry (lower(title))',
        "CREATE UNIQUE INDEX one_of_each ON comment (entry_id, text)",
        "CREATE VIEW recent AS SELECT title FROM entry ORDER BY timestamp DESC LIMIT 2",
        "CREATE TABLE noted (what TEXT)",
        "CREATE TRIGGER noting AFTER UPDATE OF title ON entry "
        "BEGIN INSERT INTO noted VALUES (NEW.title); END",
    }
    with seed.begin() as connection:
        for statement in sorted(added, key=lambda sql: "TABLE" not in sql):
            connection.exec_driver_sql(statement)

    assert migration.upgrade(seed) == ("0001", migration.HEAD)
    with seed.begin() as connection:
        assert added <= set(connection.scalars(text("SELECT sql FROM sqlite_master")))
        connection.exec_driver_sql("UPDATE entry SET title = 'Other' WHERE id = 4")
        titles = connection.scalars(text("SELECT title FROM recent")).all()
        noted = connection.scalars(text("SELECT what FROM noted")).all()
    assert titles == ["Other", "日本語"]
    assert noted == ["Other"]


def test_equal_titles_get_slugs_in_linear_time(tmp_path: Path) -> None:
    steps = []
    for number in (1_000, 2_000):
        path = tmp_path / f"{number}.db"
        engine = create_engine(f"sqlite:///{path.as_posix()}")
        SeedBase.metadata.create_all(engine)
        with Session(engine) as db:
            moment = datetime(2013, 3, 1)  # noqa: DTZ001 - as the seed stored it
            db.add_all(
                SeedEntry(title="Photo", body="", timestamp=moment, featured=False)
                for _ in range(number)
            )
            db.commit()
        engine.dispose()
        engine = connect(f"sqlite:///{path.as_posix()}")
        steps.append(calls(partial(migration.upgrade, engine)))
        engine.dispose()
    assert steps[1] < 2.2 * steps[0]


def calls(function: Callable[[], object]) -> int:
    """Return the number of Python function calls that a function makes."""
    counted = 0

    def count(_: object, what: str, __: object) -> None:
        nonlocal counted
        counted += what in {"call", "c_call"}

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


def test_missing_trigger_is_restored(engine: Engine, make_entry: MakeEntry) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER search_entry_update")
    make_entry("Before", body="Old words")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rendering")
        connection.exec_driver_sql("UPDATE entry SET body = 'New words'")

    assert migration.upgrade(engine) == (migration.HEAD, migration.HEAD)
    list(backfill.index_all(engine))
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT text FROM search_index")).all() == ["new words"]
