"""Record which comments a session has read, for every statement that it executes.

A page without comments stays current when one is posted. A statement that reads comments names
their entry in the execution option :data:`ENTRY`; without it, it counts as reading all comments.
"""

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, sessionmaker

#: The execution option of a statement that reads the comments on one entry: the id of the entry.
ENTRY = "comments_of"

#: In the notes of a session: it has read comments without naming an entry.
ALL_COMMENTS = -1

_NOTES = "reads"

# The tables and views with comments. No page may show the version or date of `site`, which
# follow every change.
_COMMENTS = re.compile(r"\b(comment|searchable_comment|search_index|search_vocabulary)\b")


def note(engine: Engine, sessions: sessionmaker[Session]) -> None:
    """Record what sessions of `sessions` read on `engine`."""
    event.listen(sessions, "after_begin", _share_notes)
    if not event.contains(engine, "before_cursor_execute", _note):
        event.listen(engine, "before_cursor_execute", _note)


def noted(db: Session) -> frozenset[int]:
    """Return the ids of the entries whose comments `db` has read, or :data:`ALL_COMMENTS`."""
    return frozenset(db.info.get(_NOTES, ()))


def _share_notes(db: Session, _transaction: object, connection: Connection) -> None:
    connection.execution_options(**{_NOTES: db.info.setdefault(_NOTES, set())})


def _note(
    _connection: Connection,
    _cursor: object,
    statement: str,
    _parameters: object,
    context: Any,
    _many: bool,
) -> None:
    notes = context.execution_options.get(_NOTES)
    if notes is not None and _reads_comments(statement):
        notes.add(context.execution_options.get(ENTRY, ALL_COMMENTS))


@lru_cache(maxsize=1024)
def _reads_comments(statement: str) -> bool:
    return _COMMENTS.search(statement) is not None
