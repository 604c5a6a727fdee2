"""Search for entries, pages and comments.

A query never becomes part of an SQL statement, and each of its words is a string in the query
languages of SQLite and PostgreSQL.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from markupsafe import Markup, escape
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Executable,
    Row,
    Text,
    bindparam,
    column,
    func,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from blog.database import begin_writing, language_of
from blog.database.search_index import BELOW, stale
from blog.markup import plain, render_comment
from blog.markup.titles import title_text
from blog.models import Comment, Entry, Rendering, Tag
from blog.models.base import UTCDateTime
from blog.models.comment import ANONYMOUS
from blog.models.tag import entry_tag
from blog.search import ranking
from blog.search.highlights import Highlighter, excerpt, marked
from blog.search.query import Query, Scope
from blog.text.folding import order

#: The most matches that are ranked, the latest. In a large blog a word may be in every entry.
CANDIDATES = 300

#: The most transactions in which a search indexes the changes of other programs.
MOST_PORTIONS = 20

#: In the index, a higher id is an entry's, and a lower one a comment's.
LEAST_ENTRY = -BELOW // 2

#: The most words in a query that gets a proposal, the most candidates per word, and the most of
#: these that are tried. Comparing two words takes more than the square of their length, so longer
#: words neither get a proposal nor are one.
MOST_PROPOSED = 4
MOST_TERMS = 500
MOST_NEAR = 5
LONGEST_PROPOSED = 20


@dataclass(frozen=True)
class Found:
    """A result: an entry, a page, or a comment by ``author``. The Markup contains <mark>."""

    id: int
    kind: str
    slug: str
    title: Markup
    timestamp: datetime
    excerpt: Markup
    comment_id: int | None
    author: Markup


@dataclass(frozen=True)
class Match:
    """A matching text: its id in the index, and when it was published."""

    id: int
    moment: datetime


def index_others(db: Session) -> bool:
    """Index the texts that other programs have changed.

    This writes only if there are such texts, and does not wait for other writers.

    :return: whether the index is complete. Texts that could not be indexed, because the database
        is locked or read-only, are not found until a later search.
    """
    for _ in range(MOST_PORTIONS):
        if not stale(db.connection()):
            return True
        try:
            begin_writing(db, nowait=True)
            db.commit()  # a session indexes as it commits
        except (DBAPIError, PoolTimeout):
            db.rollback()
            return False
    return not stale(db.connection())


def matches(db: Session, query: Query, scope: Scope, now: datetime) -> Sequence[Match]:
    """Return the matches of a query, the best first, newer ones before equally good older ones.

    At most :data:`CANDIDATES` are ranked: the latest, entries before comments.
    """
    if not query.words:
        return []
    written, values = _WRITERS[db.get_bind().dialect.name](query, scope)
    values |= {"least": -BELOW if scope.comments else LEAST_ENTRY, "now": now}
    rows = db.execute(_visible(written), values).all()
    texts = [(row.title, row.tags, row.text) for row in rows]
    scores = ranking.scores(texts, query.words, is_open=query.is_open)
    found = sorted(zip(scores, rows, strict=True), key=_rank, reverse=True)
    return [Match(row.id, row.moment) for _, row in found]


def _rank(found: "tuple[float, Row[Any]]") -> tuple[float, datetime, int]:
    score, row = found
    return score, row.moment, row.id


def details(db: Session, query: Query, ids: Sequence[int]) -> list[Found]:
    """Return the results of a page by their ids from :func:`matches`, in the same order."""
    entries, comments = _entries(ids), [id_ + BELOW for id_ in ids if id_ <= LEAST_ENTRY]
    highlighter = Highlighter(query.words, is_open=query.is_open)
    found = {row.id: _entry(row, highlighter) for row in db.execute(_ENTRIES, {"ids": entries})}
    language = language_of(db.get_bind())
    for row in db.execute(_COMMENTS, {"ids": comments}) if comments else ():
        found[row.comment_id - BELOW] = _comment(row, highlighter, language)
    return [found[id_] for id_ in ids if id_ in found]


def proposal(db: Session, query: Query, scope: Scope, now: datetime) -> str | None:
    """Return a similar query that has results, for one without; None if there is none.

    Each word that is not in the index is replaced by the most similar visible word with the same
    first two letters. On PostgreSQL, which cannot list the words of its index, the result is None.
    """
    if db.get_bind().dialect.name != "sqlite" or len(query.words) > MOST_PROPOSED:
        return None
    proposed = " ".join(_nearest(db, word, now) for word in query.words)
    other = Query.parse(proposed)
    if other.words == query.words or not matches(db, other, scope, now):
        return None
    return proposed


def _nearest(db: Session, word: str, now: datetime) -> str:
    if " " in word:
        return f'"{word}"'
    if len(word) > LONGEST_PROPOSED:
        return word
    start = word[:2]
    values = {"start": start, "end": start + chr(sys.maxunicode), "most": MOST_TERMS}
    terms = [term for term in db.scalars(_TERMS, values) if len(term) <= LONGEST_PROPOSED]
    near = get_close_matches(word, terms, MOST_NEAR, 0.75)
    # The index also contains the words of scheduled entries, which are not visible yet.
    seen = (n for n in near if matches(db, Query((n,), (), is_open=False), Scope(), now))
    return next(seen, word)


def subjects(db: Session, ids: Sequence[int], most: int = 12) -> "Sequence[Row[str, str, int]]":
    """Return name, slug and count of the most frequent tags of the entries among `ids`."""
    rows = db.execute(_SUBJECTS, {"ids": _entries(ids)}).all() if ids else []
    return sorted(rows, key=lambda row: (-row[2], order(row[0]), row[1]))[:most]


def _entries(ids: Sequence[int]) -> list[int]:
    return [id_ for id_ in ids if id_ > LEAST_ENTRY]


_TERMS = text("SELECT term FROM search_vocabulary WHERE term BETWEEN :start AND :end LIMIT :most")
_ENTRY, _COMMENT, _MADE = (t.__table__.c for t in (Entry, Comment, Rendering))
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_ENTRIES = (
    select(_ENTRY.id, _ENTRY.kind, _ENTRY.slug, _ENTRY.title, _ENTRY.timestamp)
    .add_columns(func.coalesce(_MADE.text, _ENTRY.body).label("text"))
    .select_from(Entry.__table__.outerjoin(Rendering.__table__))
    .where(_ENTRY.id.in_(_IDS))
)
_COMMENTS = (
    select(_ENTRY.id, _ENTRY.kind, _ENTRY.slug, _ENTRY.title, _ENTRY.timestamp)
    .add_columns(_COMMENT.id.label("comment_id"), _COMMENT.text, _COMMENT.format)
    .add_columns(_COMMENT.name, _COMMENT.created)
    .join(Comment.__table__, _COMMENT.entry_id == _ENTRY.id)
    .where(_COMMENT.id.in_(_IDS))
)
_SUBJECTS = (
    select(Tag.name, Tag.slug, func.count())
    .join(entry_tag, entry_tag.c.tag_id == Tag.id)
    .where(entry_tag.c.entry_id.in_(_IDS))
    .group_by(Tag.id)
)


def _visible(written: str) -> Executable:
    """Return a statement for the visible ones among the matches that SQL selects."""
    texts = column("title", Text), column("tags", Text), column("text", Text)
    match = text(written).columns(column("id", BigInteger), *texts).subquery("match")
    moment = func.coalesce(_COMMENT.created, _ENTRY.timestamp, type_=UTCDateTime())
    return (
        select(match.c.id, moment.label("moment"), match.c.title, match.c.tags, match.c.text)
        .select_from(match)
        .outerjoin(Comment.__table__, _COMMENT.id == match.c.id + BELOW)
        .join(Entry.__table__, _ENTRY.id == func.coalesce(_COMMENT.entry_id, match.c.id))
        .where(Entry.is_visible(bindparam("now", type_=UTCDateTime())))
    )


def _latest(number: str, condition: str) -> str:
    """Write the statement for the latest matches of a condition, without the stale ones."""
    # substr() is outside, because PostgreSQL would compute it for all matches.
    return f"""
        SELECT id, title, tags, substr(text, 1, {ranking.LOOKED_THROUGH}) AS text FROM (
            SELECT {number} AS id, title, tags, text FROM search_index
            WHERE {condition} AND {number} > :least AND NOT EXISTS (
                SELECT 1 FROM search_stale WHERE search_stale.id = search_index.{number})
            ORDER BY {number} DESC LIMIT {CANDIDATES}) AS latest"""  # noqa: S608 - names and numbers of ours


def _for_sqlite(query: Query, scope: Scope) -> tuple[str, dict[str, Any]]:
    """Write a query for FTS5. A folded word has no quotes."""
    words = [f'"{word}"' for word in query.words]
    if query.is_open:
        words[-1] += " *"
    match = "{title tags text} : (" + " AND ".join(words) + ")"
    for mark in _marks(scope):
        match += f' AND marks : "{mark}"'
    if query.without:
        without = " OR ".join(f'"{word}"' for word in query.without)
        match = f"({match}) NOT {{title tags text}} : ({without})"
    return _latest("rowid", "search_index MATCH :match"), {"match": match}


def _for_postgresql(query: Query, scope: Scope) -> tuple[str, dict[str, Any]]:
    """Write a query for a tsquery. A folded word has no quotes.

    The index finds texts with all words of a phrase. Whether they are adjacent is decided by the
    texts themselves: a tsvector has the positions of the first 16,383 words only.
    """
    lexemes = [f"'{word}'" for phrase in query.words for word in phrase.split()]
    phrases = [f" {phrase} " for phrase in query.words]
    if query.is_open:
        lexemes[-1] += ":*"
        phrases[-1] = phrases[-1].rstrip()
    lexemes += [f"':{mark}'" for mark in _marks(scope)]
    lexemes += [f"!'{word}'" for word in query.without if " " not in word]
    values = {f"p{number}": each for number, each in enumerate(phrases) if " " in each.strip()}
    without = [f" {phrase} " for phrase in query.without if " " in phrase]
    excluded = {f"n{number}": each for number, each in enumerate(without)}
    conditions = [
        "words @@ CAST(:lexemes AS tsquery)",
        *(_HAS.format(name) for name in values),
        *(f"NOT {_HAS.format(name)}" for name in excluded),
    ]
    return (
        _latest("id", " AND ".join(conditions)),
        {"lexemes": " & ".join(lexemes), **values, **excluded},
    )


# A phrase must be within one of the texts, and not cross from one into the next.
_HAS = "strpos(' ' || title || ' / ' || tags || ' / ' || text || ' ', :{}) > 0"


_WRITERS = {"sqlite": _for_sqlite, "postgresql": _for_postgresql}


def _marks(scope: Scope) -> list[str]:
    tag = [] if scope.tag is None else [f"tag{scope.tag}"]
    return tag + ([] if scope.year is None else [f"year{scope.year:04}"])


def _entry(row: Any, highlighter: Highlighter) -> Found:
    title = marked(title_text(row.title), highlighter)
    shown = excerpt(row.text, highlighter)
    return Found(row.id, row.kind, row.slug, title, row.timestamp, shown, None, Markup())


def _comment(row: Any, highlighter: Highlighter, language: str) -> Found:
    title = escape(title_text(row.title))
    shown = excerpt(plain(render_comment(row.text, row.format, language)), highlighter)
    when, author = row.created or row.timestamp, marked(row.name or ANONYMOUS, highlighter)
    return Found(row.id, row.kind, row.slug, title, when, shown, row.comment_id, author)
