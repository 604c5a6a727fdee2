"""Mutation test of the triggers: remove each line of their list in turn.

    python -m tests.mutations

A mutant is the list without one rule, column, condition or statement. Its triggers are created in
a separate database, where the changes of tests/changes.py are executed. A mutant survives if each
change has the right effect: then no test covers the removed line.
"""

import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, StaticPool, create_engine, not_

from blog.database import connect
from blog.models.trigger_sql import Rule, on_sqlite, triggers
from blog.models.triggers import RULES, SEEN, Seen
from blog.operations import migration
from tests.changes import changes, fill, kept, wrong_changes, wrong_kept


def mutants() -> Iterator[tuple[str, Sequence[Rule]]]:
    """Yield what is removed, and the list without it."""
    for number, rule in enumerate(RULES):
        before, after = RULES[:number], RULES[number + 1 :]
        yield rule.name, (*before, *after)
        for line, less in _lines(rule):
            yield f"{rule.name}: {line}", (*before, less, *after)


def _lines(rule: Rule) -> Iterator[tuple[str, Rule]]:
    if len(rule.columns) > 1:  # no columns means all
        for column in rule.columns:
            others = tuple(each for each in rule.columns if each != column)
            yield f"column {column}", replace(rule, columns=others)
    if rule.rows is not None:
        yield "rows", replace(rule, rows=None)
        yield "rows, reversed", replace(rule, rows=not_(rule.rows))
    if rule.came:
        yield "came", replace(rule, came="")
        for statement in filter(str.strip, rule.came.split(";")):
            less = rule.came.replace(f"{statement};", "")
            yield f"came, {statement.strip()[:40]}", replace(rule, came=less)
    for scope, other in ((Seen.scope, "7"), (SEEN["comment"].scope, Seen.scope)):
        if f" {scope} FROM site" in rule.came:
            came, gone = (
                each.replace(f" {scope} FROM site", f" {other} FROM site")
                for each in (rule.came, rule.gone)
            )
            yield "scope", replace(rule, came=came, gone=gone)
    if rule.gone:
        yield "gone", replace(rule, gone="")
    if rule.replaced:
        yield "replaced", replace(rule, replaced="")


@contextmanager
def database(path: Path) -> Iterator[Connection]:
    """A database in memory with the rows of tests/changes.py, opened as by another program.

    :param path: the database of an empty blog.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        memory: Any = connection.connection.dbapi_connection
        with closing(sqlite3.connect(path)) as file:
            file.backup(memory)
        fill(connection)
        yield connection
    engine.dispose()


def noticed(connection: Connection, rules: Sequence[Rule]) -> bool:
    """Whether any change has a wrong effect with the triggers of `rules`."""
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    for name in connection.exec_driver_sql(query).scalars().all():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    for trigger in triggers(rules, "sqlite"):
        connection.exec_driver_sql(on_sqlite(trigger))
    connection.commit()
    return bool(wrong_changes(connection, changes()) or wrong_kept(connection, kept()))


def survivors(path: Path) -> tuple[int, list[str]]:
    """Return the number of mutants, and the survivors.

    :param path: the database of an empty blog.
    """
    with database(path) as connection:
        assert not noticed(connection, RULES)
        tried = {line: noticed(connection, rules) for line, rules in mutants()}
    return len(tried), [line for line, is_noticed in tried.items() if not is_noticed]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blog.db"
        engine = connect(str(path))
        migration.upgrade(engine)
        engine.dispose()
        number, survived = survivors(path)
    lines = (f"{number} mutants, {len(survived)} survived", *survived)
    sys.stdout.write("\n  ".join(lines) + "\n")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
