"""An import from beginning to end. If it stops, the items imported so far are complete."""

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
    """The results of an import so far.

    :param imported: the number of new items.
    :param updated: the number of items that had changed in their source or had new comments.
    :param unchanged: the number of items already imported.
    :param comments: the number of new comments.
    :param skipped: the names of skipped items, by reason.
    :param notes: the names of items that were changed on import, by note.
    """

    imported: int = 0
    updated: int = 0
    unchanged: int = 0
    comments: int = 0
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of one more item."""
        self.imported += outcome.verdict == "imported"
        self.updated += outcome.verdict == "updated"
        self.unchanged += outcome.verdict == "unchanged"
        if outcome.verdict == "skipped":
            self.skipped[outcome.reason].append(outcome.name)
        self.comments += outcome.comments
        for note in outcome.notes:
            self.notes[note].append(outcome.name)


class Import:
    """An import. Iterating over it runs it, one item per step.

    Each item, with its tags, comments and redirects, is one transaction, so that an interrupted
    import can be continued by running it again.

    :param source: the source to read.
    :param sessions: opens a session of the blog's database.
    :param dry_run: write nothing. The numbers are those of a real run; conflicts between two new
        items, over an address or a slug, show only in a real run.
    """

    def __init__(self, source: Source, sessions: SessionFactory, *, dry_run: bool = False) -> None:
        self.summary = Summary()
        self._source = source
        self._sessions = sessions
        self._dry_run = dry_run
        self._seen: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        """Return the number of items, including those that will be skipped."""
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
            return Outcome(item.name, "skipped", "a duplicate of an item of this import")
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
        """Tell whether `row` belongs to another item of this run."""
        return (row.source, row.key) in self._seen or self._source.holds(row.source, row.key)


def import_path(path: Path, sessions: SessionFactory, *, dry_run: bool = False) -> Import:
    """Prepare an import.

    :param path: a Markdown file, a WordPress export, or a folder of these.
    :param sessions: opens a session of the blog's database.
    :param dry_run: write nothing.
    :return: the import, not started; its length is known, and iterating over it runs it.
    :raises blog.importing.errors.SourceError: there is nothing to import.
    """
    return Import(read(path), sessions, dry_run=dry_run)
