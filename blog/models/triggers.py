"""The values that the database maintains by triggers, after writes by any program.

The blog, an import, another process, a SQL shell: a trigger sees them all, in the
transaction that writes. :mod:`blog.models.trigger_sql` writes the triggers for each database. They
are created again by each upgrade, because a migration that rebuilds a table (SQLite's
only way to make many changes) drops the table's triggers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement

from blog.database.search_index import BELOW
from blog.models.base import sql
from blog.models.change import EVERYTHING, MOST
from blog.models.comment import Comment
from blog.models.entry import Entry
from blog.models.searchable import empty
from blog.models.trigger_sql import Rule, write


@dataclass(frozen=True)
class Seen:
    """A table that readers see.

    :param columns: the columns that they see.
    :param rows: the rows that they see; None means all.
    :param unseen: the other columns, each with the reason.
    :param scope: what a change of ``{row}`` changes, as :class:`~blog.models.Change` has it.
    """

    columns: tuple[str, ...]
    rows: ColumnElement[bool] | None = None
    unseen: Mapping[str, str] = field(default_factory=dict)
    scope: str = str(EVERYTHING)


#: A change of one of these raises the site's version. Everything else leaves it, and with it each
#: cached page: drafts, comments that are held or spam, the notes of moderation.
SEEN = {
    "entry": Seen(
        (
            *("id", "title", "body", "timestamp", "featured", "slug", "summary", "state", "uid"),
            *("updated", "format", "kind", "comments_open", "author"),
            *("series_id", "series_number"),
        ),
        rows=Entry.is_published(),
    ),
    "comment": Seen(
        (
            *("id", "entry_id", "text", "name", "created", "state", "format", "parent_id"),
            *("website", "uid"),
        ),
        rows=Comment.is_visible(),
        unseen={
            "reason": "shown to the moderator only",
            "taught": "what the spam filter has learnt from it",
            "person": "a keyed hash, compared with those of later comments",
            "network": "a keyed hash, compared with those of later comments",
            "digest": "a keyed hash, compared with those of later comments",
        },
        scope=f"coalesce({{row}}.entry_id, {EVERYTHING})",
    ),
    "tag": Seen(("id", "name", "slug")),
    "entry_tag": Seen(
        ("entry_id", "tag_id"),
        unseen={
            "timestamp": "copied from the entry by a trigger",
            "listed": "computed from the entry by a trigger",
        },
    ),
    "redirect": Seen(("id", "path", "entry_id")),
    "series": Seen(("id", "title", "slug")),
}

#: The tables that readers do not see, each with the reason.
UNSEEN = {
    "change": "written with the version itself",
    "imported": "the ledger of imports",
    "month": "counted from the entries by triggers",
    "rendering": "made from the text of an entry, which is seen",
    "site": "has the version itself; secret and uid never change",
    "spam_word": "what the spam filter has learnt",
}

#: What a text in the search index is made of: the columns of each table, and the id of the text,
#: which is that of the entry or comes from that of the comment.
SEARCHED = {
    "entry": (("id", "title", "body", "state", "timestamp"), "SELECT {row}.id"),
    "rendering": (("entry_id", "text"), "SELECT {row}.entry_id"),
    "entry_tag": (("entry_id", "tag_id"), "SELECT {row}.entry_id"),
    "tag": (("id", "name"), "SELECT entry_id FROM entry_tag WHERE tag_id = {row}.id"),
    "comment": (("id", "text", "name", "state", "created"), f"SELECT {{row}}.id - {BELOW}"),
}


def changed(scope: str = str(EVERYTHING)) -> str:
    """Return the statements that raise the site's version for a change in `scope`."""
    return f"""UPDATE site SET version = version + 1, changed = {{now}};
        INSERT INTO change SELECT version, changed, {scope} FROM site WHERE true
            ON CONFLICT (version) DO UPDATE SET changed = excluded.changed, scope = excluded.scope;
        DELETE FROM change WHERE version <= (SELECT version FROM site) - {MOST};"""  # noqa: S608


COUNT = """INSERT INTO month (month, entries) SELECT {month}, 1 WHERE {when}
    ON CONFLICT (month) DO UPDATE SET entries = month.entries + 1;"""
UNCOUNT = "UPDATE month SET entries = entries - 1 WHERE month = {month} AND {when};"
# REPLACE may, or may not, delete an entry: the number of its month is no longer known.
UNKNOWN = "UPDATE month SET entries = NULL WHERE month IN (SELECT {month} {replaced});"
# The columns of an entry that a tag's list needs, in the order of the list.
LISTED = f"""UPDATE entry_tag SET
    timestamp = (SELECT timestamp FROM entry WHERE entry.id = entry_id),
    listed = (SELECT {sql(Entry.is_listable(), "entry")} FROM entry WHERE entry.id = entry_id)
    """  # noqa: S608 - a rule of ours
VOID = "DELETE FROM rendering WHERE entry_id = {row}.id;"
NOTE = "INSERT INTO search_stale "

_DATED = ("timestamp", "kind", "state")

RULES = (
    # site.version
    *(
        Rule(
            f"site_changed_{table}",
            table,
            seen.columns,
            seen.rows,
            came=changed(seen.scope),
            gone=changed(seen.scope),
            emptied=changed(),
        )
        for table, seen in SEEN.items()
    ),
    # Where all rows are seen, the new row raises the version anyway.
    *(
        Rule(f"replaced_{table}", table, rows=seen.rows, replaced=changed())
        for table, seen in SEEN.items()
        if seen.rows is not None
    ),
    # The archive's counts
    Rule(
        "month",
        "entry",
        _DATED,
        Entry.is_listable(),
        came=COUNT,
        gone=UNCOUNT,
        emptied="DELETE FROM month;",
    ),
    Rule("replaced_month", "entry", rows=Entry.is_listable(), replaced=UNKNOWN),
    # The order of a tag's list
    Rule("entry_listed", "entry", _DATED, came=LISTED + "WHERE entry_id = {row}.id;"),
    Rule(
        "entry_tag_listed",
        "entry_tag",
        ("entry_id",),
        came=LISTED + "WHERE entry_id = {row}.entry_id;",
    ),
    # Stale renderings. A SQL shell without foreign keys leaves that of a deleted entry.
    Rule("rendering", "entry", ("body", "format", "summary"), came=VOID, gone=VOID),
    # Texts to index
    *(
        Rule(
            f"search_{table}",
            table,
            columns,
            came=NOTE + ids + ";",
            gone=NOTE + ids + ";",
            emptied="; ".join((*empty(), "")),
        )
        for table, (columns, ids) in SEARCHED.items()
    ),
)

#: The trigger functions of earlier versions on PostgreSQL. On SQLite all names are still in use.
FORMER_FUNCTIONS = (
    *("site_changed", "entry_tag_listed", "entry_listed", "rendering_void", "search_anew"),
    *(f"search_{table}" for table in ("entry", "rendering", "entry_tag", "tag", "comment")),
)


def recount(dialect: str) -> Iterator[str]:
    """Yield the statements that recompute what the triggers derive from the entries."""
    yield "DELETE FROM month"
    count = "INSERT INTO month SELECT {month}, count(*) FROM entry WHERE {when} GROUP BY 1"
    yield write(count, dialect, "entry", Entry.is_listable())
    yield LISTED
