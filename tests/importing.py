"""Helpers for the tests of imports."""

from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from blog.database import session_factory
from blog.importing.run import Summary, import_path
from blog.models import Entry, Redirect, Site

EXPORTS = Path(__file__).parent / "exports"


def import_all(path: Path, engine: Engine, *, dry_run: bool = False) -> Summary:
    """Import all of `path`."""
    doing = import_path(path, session_factory(engine), dry_run=dry_run)
    taken = sum(1 for _ in doing)
    assert taken == len(doing)
    return doing.summary


def entry(db: Session, title: str) -> Entry:
    return db.scalars(select(Entry).where(Entry.title == title)).one()


def redirects(db: Session, found: Entry) -> set[str]:
    return set(db.scalars(select(Redirect.path).where(Redirect.entry_id == found.id)))


def site_version(db: Session) -> int:
    version = db.scalars(select(Site.version)).one()
    db.rollback()
    return version
