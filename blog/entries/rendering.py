"""Rendering of an entry when it is saved, a part of each act that saves one."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from blog.database import language_of
from blog.models import Entry, Rendering


def render_entry(db: Session, entry: Entry) -> None:
    """Render the text of `entry` and store the result, so that no page has to render it.

    :param entry: an entry in the session, its text as it will be saved.
    """
    # A trigger removes the old rendering.
    db.flush()
    db.execute(delete(Rendering).where(Rendering.entry_id == entry.id))
    language = language_of(db.get_bind())
    db.add(Rendering.of(entry.id, entry.body, entry.format, entry.summary, language))
    db.flush()
