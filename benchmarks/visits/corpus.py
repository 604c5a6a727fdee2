"""The blog that all contenders serve: a database of any number of entries, the same each time."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Table, insert, text, update

from blog.config import Config
from blog.database import connect
from blog.models import Comment, Entry, Rendering, Site, Tag
from blog.models.tag import entry_tag
from blog.operations import backfill, migration
from pool.sqlite import WRITING

#: All entries are dated within these years, whatever their number. Each has a fraction of a second:
#: Django leaves out a fraction of zero, and would not find what others have written.
BEGINNING = datetime(2016, 1, 1, microsecond=1, tzinfo=UTC)
END = BEGINNING.replace(year=2026)

#: The number of texts. Entries share them: to render one per entry would take minutes.
TEXTS = 300

TAGS = 40
COMMENTS = 12  # on the entry that is measured, beside the one that each entry has

#: The slug of the entry that is measured, the ids of its tags, and the slug of one. They are the
#: same in each blog: more tags make the page more expensive.
SLUG, MEASURED, TAG = "the-entry", {1, 2}, "subject-1"

#: The key that signs the forms of all contenders.
SECRET = "benchmark"  # noqa: S105 - it guards nothing

# Of the tables: inserts into entities would look at each row.
ENTRY, RENDERING, COMMENT = (
    cast("Table", model.__table__) for model in (Entry, Rendering, Comment)
)

#: Rows in one statement.
PORTION = 2_000

WORDS = """
afternoon again almost answer apple autumn basket because before bench between bicycle bird boat
book bottle branch bread bridge bright brother butter candle careful chair cheese cherry clean clock
cloud coat coffee cold colour corner cotton country cup dark daughter deep distance door dry dusk
early east egg empty evening every family farm fence field finger fire flower fog forest found fresh
friend frost fruit garden gate glass grass green grey half hand harbour heavy hedge hill honey
horse house hundred iron island kettle key kitchen ladder lake lamp late leaf letter light linen
little low map market meadow mild milk mill minute moon morning moss mountain narrow near needle
never night noon north notebook oak often old onion open orchard oven page paint paper path pear
pebble pencil people piano plain plate plum pocket pond quiet rain red reed repair river road roof
room rope round rust salt sand seed seven shadow shed shelf shore silver sister slow small smoke
snow soap soft soil south spade spoon spring stairs stone storm straw street sugar summer table tea
thin thread three tide tower town train tree under upper valley village violet walk wall warm water
week west wheel white wide wild willow wind window winter wood wool work yard yellow young
""".split()  # noqa: SIM905 - a list of so many would fill a screen


def configuration(file: Path, **settings: Any) -> Config:
    """Return the settings of the blog in `file`, with a trusted proxy at 127.0.0.1."""
    return Config(
        title="A hundred gardens",
        tagline="Notes from between the beds.",
        author="Ada",
        site_url="http://127.0.0.1:8080",
        database=f"sqlite:///{file.as_posix()}",
        trusted_proxy="127.0.0.1",
        **settings,
    )


def make(file: Path, entries: int) -> None:
    """Make the database of a blog with `entries` entries."""
    engine = connect(f"sqlite:///{file.as_posix()}")
    try:
        migration.upgrade(engine)
        with engine.connect().execution_options(**WRITING) as connection:
            _without_triggers(connection)
            _fill(connection, entries)
            connection.execute(update(Site).values(secret=SECRET))
            connection.commit()
        # This makes the triggers again, and does at once what they would have done for each row.
        migration.upgrade(engine)
        # As in a blog in use, the last change is in the table of changes. Without it, the next
        # one would make all cached pages stale.
        with engine.connect().execution_options(**WRITING) as connection:
            connection.execute(update(ENTRY).where(ENTRY.c.slug == SLUG).values(title="The entry"))
            connection.commit()
        for _ in backfill.index_all(engine):
            pass
    finally:
        engine.dispose()


def _without_triggers(connection: Connection) -> None:
    of_triggers = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for name in connection.scalars(of_triggers).all():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")


def _fill(connection: Connection, entries: int) -> None:
    chance = random.Random(4)  # noqa: S311 - the same numbers each time
    texts = [text_of(chance) for _ in range(min(TEXTS, entries))]
    rendered = [_columns(Rendering.of(0, text, "markdown", None)) for text in texts]
    tags = [{"id": n, "name": f"Subject {n}", "slug": f"subject-{n}"} for n in range(1, TAGS + 1)]
    connection.execute(insert(Tag), tags)
    step = (END - BEGINNING) / entries
    for first in range(0, entries, PORTION):
        numbers = range(first, min(first + PORTION, entries))
        rows = [_entry(chance, n, BEGINNING + n * step, texts) for n in numbers]
        if entries // 2 in numbers:
            rows[entries // 2 - first]["slug"] = SLUG
        connection.execute(insert(ENTRY), rows)
        connection.execute(
            insert(RENDERING),
            [rendered[n % len(texts)] | {"entry_id": n + 1} for n in numbers],
        )
        connection.execute(
            insert(entry_tag),
            [
                {"entry_id": n + 1, "tag_id": tag}
                for n in numbers
                for tag in (MEASURED if n == entries // 2 else _tags(chance, n))
            ],
        )
        connection.execute(insert(COMMENT), [_comment(chance, n, n) for n in numbers])
    about = {"slug": "about", "title": "About", "kind": "page"}
    connection.execute(insert(ENTRY), _entry(chance, entries, BEGINNING, texts) | about)
    connection.execute(
        insert(COMMENT),
        [_comment(chance, entries // 2, entries + n) for n in range(COMMENTS)],
    )


def _entry(
    chance: random.Random, number: int, moment: datetime, texts: list[str]
) -> dict[str, Any]:
    return {
        "title": " ".join(chance.choices(WORDS, k=4)).capitalize(),
        "slug": f"entry-{number}",
        "body": texts[number % len(texts)],
        "timestamp": moment,
        "updated": moment + timedelta(days=chance.randrange(3)),
        "featured": number % 100 == 50,
        "uid": _uid(chance),
        "kind": "entry",
        "state": "published",
        "format": "markdown",
        "comments_open": True,
    }


def _comment(chance: random.Random, entry: int, number: int) -> dict[str, Any]:
    return {
        "entry_id": entry + 1,
        "name": chance.choice(WORDS).capitalize(),
        "text": _sentence(chance) + "\n\n" + _sentence(chance),
        "created": END + timedelta(minutes=number),
        "state": "published",
        "format": "text",
        "uid": _uid(chance),
    }


def _tags(chance: random.Random, number: int) -> set[int]:
    return {number % TAGS + 1, *chance.sample(range(1, TAGS + 1), chance.randint(0, 2))}


def _uid(chance: random.Random) -> str:
    return UUID(int=chance.getrandbits(128), version=4).urn


def _columns(rendering: Rendering) -> dict[str, Any]:
    return {column.key: getattr(rendering, column.key) for column in Rendering.__table__.columns}


def text_of(chance: random.Random) -> str:
    """A body in Markdown of about 400 words."""
    parts = [_paragraph(chance)]
    for _ in range(chance.randint(2, 4)):
        parts.append(f"## {' '.join(chance.choices(WORDS, k=3)).capitalize()}")
        parts.append(_paragraph(chance))
    parts.append("\n".join(f"* {_sentence(chance)}" for _ in range(4)))
    parts.append(f"> {_sentence(chance)}")
    parts.append("```python\nfor bed in garden:\n    bed.water(litres=2)\n```")
    parts.append(_paragraph(chance))
    return "\n\n".join(parts)


def _paragraph(chance: random.Random) -> str:
    sentences = [_sentence(chance) for _ in range(chance.randint(4, 7))]
    sentences[1] = f"*{sentences[1]}*"
    sentences[2] += f" See [there](https://example.org/{chance.choice(WORDS)})."
    return " ".join(sentences)


def _sentence(chance: random.Random) -> str:
    # The first words of the list are in most texts, the last in few.
    words = [WORDS[int(len(WORDS) * chance.random() ** 2)] for _ in range(chance.randint(8, 16))]
    return " ".join(words).capitalize() + "."
