"""Rules about rows that come and go, and the triggers that follow them on SQLite and PostgreSQL."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, PrimaryKeyConstraint, UniqueConstraint

from blog.models.base import Base, sql

#: The names that an event has for a row before and after it.
_ROWS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}

#: What each database has its own words for: this moment in UTC, and the month of a row.
_WORDS = {
    "sqlite": {
        "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
        "month": "substr({row}.timestamp, 1, 7)",
    },
    "postgresql": {
        "now": "clock_timestamp() AT TIME ZONE 'UTC'",
        "month": "to_char({row}.timestamp, 'YYYY-MM')",
    },
}


@dataclass(frozen=True)
class Rule:
    """What the database does when a row of a table comes or goes; an UPDATE is both.

    The statements are SQL with placeholders: ``{row}`` is the row, ``{when}`` tells whether `rows`
    includes it, ``{month}`` is its month, and ``{now}`` this moment in UTC.

    :param name: unique. The trigger for INSERT of the rule ``month`` is ``month_insert``.
    :param columns: an UPDATE of no other columns counts; none named means that each does.
    :param rows: the rows that count; None means all.
    :param came: run for a row that is new, or as an UPDATE has left it.
    :param gone: run for a row that is deleted, or as it was before an UPDATE.
    :param emptied: run after TRUNCATE, which only PostgreSQL has.
    :param replaced: run before REPLACE may delete rows, which only SQLite has, and for which it
        fires no other trigger. ``{replaced}`` is the FROM and WHERE of these rows.
    """

    name: str
    table: str
    columns: tuple[str, ...] = ()
    rows: ColumnElement[bool] | None = None
    came: str = ""
    gone: str = ""
    emptied: str = ""
    replaced: str = ""


@dataclass(frozen=True)
class Trigger:
    """A trigger: `columns` are those of an UPDATE, and `condition` is about OLD and NEW."""

    name: str
    table: str
    event: str
    body: str
    columns: tuple[str, ...] = ()
    condition: str = ""
    moment: Literal["BEFORE", "AFTER"] = "AFTER"

    @property
    def head(self) -> str:
        """The name and the event, as both databases write them."""
        of = f" OF {', '.join(self.columns)}" if self.columns else ""
        return f"{self.name} {self.moment} {self.event}{of} ON {self.table}"

    @property
    def when(self) -> str:
        """The condition, as both databases write it."""
        return f"WHEN ({self.condition})" if self.condition else ""


def write(
    statement: str,
    dialect: str,
    row: str,
    rows: ColumnElement[bool] | None = None,
    **more: str,
) -> str:
    """Return a rule's statement with its placeholders filled in.

    :param row: what the SQL calls the row: NEW, OLD, or the table.
    :param more: values of other placeholders.
    """
    words = {name: word.format(row=row) for name, word in _WORDS[dialect].items()}
    when = "true" if rows is None else sql(rows, row)
    return statement.format(row=row, when=when, **words, **more)


def triggers(rules: Iterable[Rule], dialect: str) -> Iterator[Trigger]:
    """Yield the triggers that follow the rules on `dialect`, ``sqlite`` or ``postgresql``."""
    for rule in rules:
        yield from _of_changes(rule, dialect)
        if dialect == "sqlite" and rule.replaced:
            yield from _of_replacing(rule)
        if dialect == "postgresql" and rule.emptied:
            emptied = write(rule.emptied, dialect, rule.table)
            yield Trigger(f"{rule.name}_truncate", rule.table, "TRUNCATE", emptied)


def _of_changes(rule: Rule, dialect: str) -> Iterator[Trigger]:
    statements = {"OLD": rule.gone, "NEW": rule.came}
    for event, names in _ROWS.items():
        written = [write(statements[row], dialect, row, rule.rows) for row in names]
        conditions = [sql(rule.rows, row) for row in names] if rule.rows is not None else []
        if any(written):
            yield Trigger(
                name=f"{rule.name}_{event.lower()}",
                table=rule.table,
                event=event,
                # What is the same for both rows is run once.
                body=" ".join(dict.fromkeys(written)),
                columns=rule.columns if event == "UPDATE" else (),
                condition=" OR ".join(conditions),
            )


def _of_replacing(rule: Rule) -> Iterator[Trigger]:
    """Yield triggers for REPLACE, which deletes the rows with a unique value of the new one.

    https://www.sqlite.org/lang_conflict.html. They fire before it is known whether anything will be
    replaced, and so also for a row that will be refused.
    """
    keys = _unique(rule.table)
    same = " OR ".join(
        "(" + " AND ".join(f"{rule.table}.{name} = NEW.{name}" for name in key) + ")"
        for key in keys
    )
    where = f"({same})" if rule.rows is None else f"({same}) AND {sql(rule.rows, rule.table)}"
    columns = tuple(dict.fromkeys(name for key in keys for name in key))
    for event, of, others in (
        ("INSERT", (), ""),
        ("UPDATE", columns, f" AND {rule.table}.id != OLD.id"),
    ):
        replaced = f"FROM {rule.table} WHERE {where}{others}"
        body = write(rule.replaced, "sqlite", rule.table, replaced=replaced)
        yield Trigger(
            name=f"{rule.name}_{event.lower()}",
            table=rule.table,
            event=event,
            body=body,
            columns=of,
            condition=f"EXISTS (SELECT 1 {replaced})",
            moment="BEFORE",
        )


def _unique(table: str) -> list[tuple[str, ...]]:
    """Return the columns of each key of a table, the primary one first."""
    keys = [
        each
        for each in Base.metadata.tables[table].constraints
        if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)
    ]
    keys.sort(key=lambda key: (isinstance(key, UniqueConstraint), key.columns.keys()))
    return [tuple(key.columns.keys()) for key in keys]


def on_sqlite(trigger: Trigger) -> str:
    """Return the statement that creates a trigger on SQLite."""
    return f"CREATE TRIGGER {trigger.head} {trigger.when} BEGIN {trigger.body} END"


def on_postgresql(trigger: Trigger, schema: str) -> Iterator[str]:
    """Yield the statements that create or replace a trigger, and its function of the same name."""
    each = "STATEMENT" if trigger.event == "TRUNCATE" else "ROW"
    yield _function(trigger.name, trigger.body, schema)
    yield (
        f"CREATE OR REPLACE TRIGGER {trigger.head} FOR EACH {each} {trigger.when} "
        f"EXECUTE FUNCTION {trigger.name}()"
    )
    yield _always(trigger.name, trigger.table)


def site_first(tables: Iterable[str], schema: str) -> Iterator[str]:
    """Yield the statements by which each writer locks the row of the site before anything else.

    Otherwise two writers that reach it by different ways could deadlock: PostgreSQL locks rows.
    """
    yield _function("site_first", "PERFORM 1 FROM site FOR UPDATE;", schema)
    for table in tables:
        yield f"""
            CREATE OR REPLACE TRIGGER site_first
            BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION site_first()"""
        yield _always("site_first", table)


def _function(name: str, body: str, schema: str) -> str:
    # Otherwise it would look for tables in the search path of the session that fires it, with
    # temporary tables first.
    return f"""
        CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
        SET search_path = {schema}, pg_temp AS $$
        BEGIN {body} RETURN NULL; END $$"""


def _always(name: str, table: str) -> str:
    # A session with session_replication_role = replica fires no ordinary triggers:
    # https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DESC-DISABLE-ENABLE-TRIGGER
    return f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"
