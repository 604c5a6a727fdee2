"""Real exports of other blogs, where they are available."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from blog.models import Comment, Entry
from tests.conftest import SAMPLES
from tests.importing import entry, import_all, site_version

POSTS = SAMPLES / "18f-posts"
WORDPRESS = SAMPLES / "wordpress-theme-test-data"

pytestmark = [
    pytest.mark.samples,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"the samples are not at {SAMPLES}"),
]


@pytest.mark.parametrize("folder", [POSTS, WORDPRESS], ids=lambda folder: folder.name)
def test_samples_second_run_changes_nothing(engine: Engine, db: Session, folder: Path) -> None:
    first = import_all(folder, engine)
    version = site_version(db)

    second = import_all(folder, engine)

    assert (second.imported, second.updated, second.comments) == (0, 0, 0)
    assert second.unchanged == first.imported
    assert site_version(db) == version


def test_samples_markdown_is_complete(engine: Engine, db: Session) -> None:
    files = list(POSTS.glob("*.md"))

    summary = import_all(POSTS, engine)

    assert summary.imported == len(files) == 509
    assert sum(map(len, summary.skipped.values())) == 1
    assert db.scalars(select(Entry.state).distinct()).all() == ["published"]
    for path in files:
        body = path.read_text(encoding="utf-8").split("\n---", 1)[1].partition("\n")[2]
        assert db.scalar(select(func.count()).where(Entry.body == body.strip("\n"))), path.name


def test_samples_wordpress_is_complete(engine: Engine, db: Session) -> None:
    summary = import_all(WORDPRESS / "themeunittestdata.wordpress.xml", engine)

    assert (summary.imported, summary.comments) == (58 + 21, 33)
    assert {reason: len(names) for reason, names in summary.skipped.items()} == {
        "media files are not imported yet": 37,
        "menus are not imported": 70,
    }
    assert entry(db, "Scheduled").timestamp.year == 2030
    assert entry(db, "Draft").state == "draft"


def test_samples_threads_keep_depth(engine: Engine, db: Session) -> None:
    import_all(WORDPRESS / "themeunittestdata.wordpress.xml", engine)

    comment = db.scalars(select(Comment).where(Comment.text.contains("Comment Depth 10"))).one()
    depth = 1
    while comment.parent_id is not None:
        comment = db.get_one(Comment, comment.parent_id)
        depth += 1
    assert depth == 10
