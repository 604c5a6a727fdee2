"""An import from beginning to end. What has been taken when it stops stays, in whole items."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from blog.database import SessionFactory, begin_writing
from blog.importing.items import ForeignEntry, Skipped, Source
from blog.importing.ledger import Outcome, is_settled, take
from blog.importing.matching import find
from blog.importing.sources import read
from blog.models import Imported


@dataclass
class Summary:
    """What an import has done so far.

    :param imported: how many items were new.
    :param updated: how many had changed in their source, or had new comments there.
    :param unchanged: how many were here already.
    :param comments: how many new comments came with them.
    :param skipped: the names of those that were not taken, by the reason.
    :param notes: the names of those that were not taken as they are, by what was lost.
    """

    imported: int = 0
    updated: int = 0
    unchanged: int = 0
    comments: int = 0
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: Outcome) -> None:
        """Count what became of one more item."""
        self.imported += outcome.verdict == "imported"
        self.updated += outcome.verdict == "updated"
        self.unchanged += outcome.verdict == "unchanged"
        if outcome.verdict == "skipped":
            self.skipped[outcome.reason].append(outcome.name)
        self.comments += outcome.comments
        for note in outcome.notes:
            self.notes[note].append(outcome.name)


class Import:
    """An import. Iterating over it does it, an item a step.

    Each item with its tags, comments and redirects is one transaction. Whoever stops in between
    loses nothing: the next run goes on where this one ended.

    :param source: what to read.
    :param sessions: opens a session of the blog's database.
    :param dry_run: write nothing. The numbers are those of a real run; only what two new items
        would take from each other, an address or a slug, is found out in the real one.
    """

    def __init__(self, source: Source, sessions: SessionFactory, *, dry_run: bool = False) -> None:
        self.summary = Summary()
        self._source = source
        self._sessions = sessions
        self._dry_run = dry_run
        self._seen: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        """Return how many items there are, those included that will be skipped."""
        return len(self._source)

    def __iter__(self) -> Iterator[Outcome]:
        for item in self._source:
            if isinstance(item, Skipped):
                outcome = Outcome(item.name, "skipped", item.reason)
            else:
                outcome = self._take(item)
            self.summary.add(outcome)
            yield outcome

    def _take(self, item: ForeignEntry) -> Outcome:
        if (item.source, item.key) in self._seen:
            return Outcome(item.name, "skipped", "it has come up before in this import")
        with self._sessions() as db:
            outcome = Outcome(item.name, "unchanged")
            if not is_settled(db, item, self._find(db, item)):
                begin_writing(db)
                outcome = take(db, item, self._find(db, item))
                if not self._dry_run:
                    db.commit()
        self._seen.add((item.source, item.key))
        return outcome

    def _find(self, db: Session, item: ForeignEntry) -> Imported | None:
        def was(row: Imported) -> bool:
            return self._source.was(item, row.source, row.key)

        return find(db, item, self._is_another, was)

    def _is_another(self, row: Imported) -> bool:
        """Tell whether `row` stands for an item that is or was there in this same run."""
        return (row.source, row.key) in self._seen or self._source.holds(row.source, row.key)


def import_path(path: Path, sessions: SessionFactory, *, dry_run: bool = False) -> Import:
    """Prepare the import of what a person points at.

    :param path: a Markdown file, a WordPress export, or a folder of these.
    :param sessions: opens a session of the blog's database.
    :param dry_run: write nothing.
    :return: the import, not begun: its length is known, and iterating over it does it.
    :raises blog.importing.errors.SourceError: there is nothing that could be imported.
    """
    return Import(read(path), sessions, dry_run=dry_run)
