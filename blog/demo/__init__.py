"""The sample content of ``threadleaf demo``: the entries beside this file, and some comments."""

import tomllib
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from blog.models import Comment, Entry

HERE = Path(__file__).parent


def add_comments(db: Session) -> None:
    """Add the sample comments to the sample entries, a few hours after each, and commit."""
    sample = tomllib.loads((HERE / "comments.toml").read_text(encoding="utf-8"))
    by_name: dict[tuple[str, str], Comment] = {}
    for number, each in enumerate(sample["comment"]):
        entry = db.scalars(select(Entry).where(Entry.slug == each["entry"])).one()
        parent = by_name.get((entry.slug, each.get("parent", "")))
        comment = Comment(
            entry=entry,
            name=each.get("name"),
            text=each["text"].strip(),
            created=entry.timestamp + timedelta(hours=5 + 3 * number),
            parent_id=parent.id if parent else None,
        )
        db.add(comment)
        db.flush()
        by_name[entry.slug, comment.author] = comment
    db.commit()
