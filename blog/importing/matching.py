"""Which row of the ledger a foreign item belongs to.

It is known by its source and key, or else by its digest: a file that was moved or renamed since is
still the same. One that was also edited has its name and its date or title.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from blog.importing.items import ForeignEntry
from blog.models import Entry, Imported


def find(
    db: Session,
    item: ForeignEntry,
    is_another: Callable[[Imported], bool],
    was: Callable[[Imported], bool],
) -> Imported | None:
    """Return the row for `item`, or None if it was never imported.

    :param is_another: tells whether a row with another key than the item's belongs to another item,
        which is still where it was.
    :param was: tells whether a row whose entry has the item's date or title can be the item, under
        the name that it had before it was edited.
    """
    named = Imported.source == item.source, Imported.key == item.key
    row = db.scalar(select(Imported).where(*named))
    if row is not None:
        return row
    equal = select(Imported).where(Imported.digest == item.digest).order_by(Imported.id)
    rows = (row for row in db.scalars(equal) if not is_another(row))
    return next(rows, None) or next(filter(was, _alike(db, item, is_another)), None)


def _alike(
    db: Session, item: ForeignEntry, is_another: Callable[[Imported], bool]
) -> Iterator[Imported]:
    same = Entry.timestamp == item.timestamp
    if not item.is_dated or item.state == "draft" or item.timestamp > datetime.now(UTC):
        # What is withdrawn may have another date, and must not leave its old text on the site.
        same = or_(same, Entry.title == item.title)
    rows = (
        select(Imported)
        .join(Entry, Entry.id == Imported.entry_id)
        .where(same, Imported.comment_id.is_(None))
        # A file may have got a date in its name, or lost it.
        .where(Imported.key.endswith(item.key.lstrip("0123456789-"), autoescape=True))
        .order_by(Imported.id)
    )
    return (row for row in db.scalars(rows) if not is_another(row))
