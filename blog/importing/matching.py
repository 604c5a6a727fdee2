"""Finding the row of the ledger for a foreign item.

An item is identified by source and key, or else by its digest, which a moved or renamed file keeps.
A file that was also edited is recognised by its name and its date or title.
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

    :param is_another: tells whether a row with a different key belongs to another item, which still
        exists in the source.
    :param was: tells whether a row whose entry has the item's date or title can be the same item
        before it was moved and edited.
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
        # A withdrawn text may have a new date, and its old text must not stay on the site.
        same = or_(same, Entry.title == item.title)
    rows = (
        select(Imported)
        .join(Entry, Entry.id == Imported.entry_id)
        .where(same, Imported.comment_id.is_(None))
        # A date may have been added to the file name, or removed.
        .where(Imported.key.endswith(item.key.lstrip("0123456789-"), autoescape=True))
        .order_by(Imported.id)
    )
    return (row for row in db.scalars(rows) if not is_another(row))
