"""A whole import: run once, repeated, interrupted, and as a dry run."""

import errno
import os
import shutil
from collections import deque
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session

from blog.database import session_factory
from blog.importing.errors import SourceError
from blog.importing.run import import_path
from blog.models import Comment, Entry, Imported, Redirect, Tag
from tests.conftest import BlogClient
from tests.importing import EXPORTS, entry, import_all, redirects, site_version
from tests.links import make_link

WORDPRESS = EXPORTS / "wordpress.xml"


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    """A folder with three posts."""
    folder = tmp_path / "posts"
    folder.mkdir()
    for name in ("one", "two", "three"):
        write(folder, name, f"The text of {name}.")
    return folder


def write(folder: Path, name: str, text: str, fields: str = "") -> None:
    path = folder / f"2020-01-02-{name}.md"
    path.write_text(f"---\ntitle: {name}\n{fields}---\n{text}\n", encoding="utf-8")


def rows(db: Session) -> list[int]:
    tables = (Entry, Comment, Tag, Redirect, Imported)
    counted = [db.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
    db.rollback()
    return counted


@pytest.mark.parametrize("name", ["jekyll", "hugo", "wordpress.xml"])
def test_second_run_changes_nothing(engine: Engine, db: Session, name: str) -> None:
    first = import_all(EXPORTS / name, engine)
    version, before = site_version(db), rows(db)

    second = import_all(EXPORTS / name, engine)

    assert first.imported > 0
    assert (second.imported, second.updated, second.comments) == (0, 0, 0)
    assert second.unchanged == first.imported
    assert second.skipped == first.skipped
    assert second.notes == {}
    assert site_version(db) == version
    assert rows(db) == before


@pytest.mark.parametrize("name", ["jekyll", "hugo", "wordpress.xml"])
def test_dry_run_reports_the_same(engine: Engine, db: Session, name: str) -> None:
    version, before = site_version(db), rows(db)

    rehearsed = import_all(EXPORTS / name, engine, dry_run=True)

    assert site_version(db) == version
    assert rows(db) == before
    assert rehearsed == import_all(EXPORTS / name, engine)


def test_changed_source_updates_entry(engine: Engine, db: Session, posts: Path) -> None:
    import_all(posts, engine)
    before = entry(db, "one")
    slug, uid, updated = before.slug, before.uid, before.updated
    db.rollback()
    write(posts, "one", "Another text.", "tags: [new]\naliases: [/older]\nslug: other\n")

    summary = import_all(posts, engine)

    assert (summary.imported, summary.updated, summary.unchanged) == (0, 1, 2)
    after = entry(db, "one")
    assert after.body == "Another text."
    assert [tag.name for tag in after.tags] == ["new"]
    assert redirects(db, after) == {"/older"}
    assert (after.slug, after.uid) == (slug, uid)
    assert after.updated > updated
    db.rollback()
    assert import_all(posts, engine).unchanged == 3


def test_edited_entry_is_not_overwritten(engine: Engine, db: Session, posts: Path) -> None:
    import_all(posts, engine)
    edited = entry(db, "one")
    edited.body, edited.updated = "Edited here.", func.now()
    db.commit()
    assert import_all(posts, engine).unchanged == 3
    write(posts, "one", "Edited there.")
    version = site_version(db)

    summary = import_all(posts, engine)

    assert summary.unchanged == 2
    assert summary.skipped == {
        "changed in its source, but edited here after its import": ["2020-01-02-one.md"]
    }
    assert entry(db, "one").body == "Edited here."
    db.rollback()
    assert site_version(db) == version


def test_deleted_entry_stays_deleted(engine: Engine, db: Session, posts: Path) -> None:
    import_all(posts, engine)
    db.delete(entry(db, "one"))
    db.commit()

    for _ in range(2):
        summary = import_all(posts, engine)
        assert summary.skipped == {"deleted here after its import": ["2020-01-02-one.md"]}
    assert rows(db)[0] == 2


def test_moved_file_is_recognised(engine: Engine, db: Session, posts: Path) -> None:
    import_all(posts, engine)
    version = site_version(db)
    moved = posts.rename(posts.with_name("moved"))
    (moved / "2020-01-02-one.md").rename(moved / "2020-01-02-renamed.md")

    assert import_all(moved, engine).unchanged == 3
    assert site_version(db) == version

    write(moved, "renamed", "Changed after the move.")
    assert import_all(moved, engine).updated == 1
    assert rows(db)[0] == 3


@pytest.mark.parametrize("name", ["one", "two", "page", "bundle"])
def test_moved_and_edited_folder_is_same(
    engine: Engine, db: Session, posts: Path, name: str
) -> None:
    files = {
        "one": "2020-01-02-one.md", "two": "2020-01-02-two.md", "page": "about.md",
        "bundle": "post/bundle/index.md",
    }  # fmt: skip
    (posts / "post" / "bundle").mkdir(parents=True)
    text = "---\ntitle: {}\n---\nText."
    (posts / files["page"]).write_text(text.format("page\nlayout: page"), encoding="utf-8")
    (posts / files["bundle"]).write_text(text.format("bundle\ndate: 2020-01-02"), encoding="utf-8")
    import_all(posts, engine)
    ids = set(db.scalars(select(Entry.id)))
    db.rollback()
    moved = posts.rename(posts.with_name("moved"))
    with (moved / files[name]).open("a", encoding="utf-8") as file:
        file.write("Edited after the move.")

    summary = import_all(moved, engine)

    assert (summary.imported, summary.updated, summary.unchanged) == (0, 1, 4)
    assert set(db.scalars(select(Entry.id))) == ids
    assert "Edited" in entry(db, name).body


def test_same_name_in_other_blog_is_new(
    engine: Engine, db: Session, posts: Path, tmp_path: Path
) -> None:
    (posts / "about.md").write_text("---\ntitle: About\nlayout: page\n---\nMe.", encoding="utf-8")
    import_all(posts, engine)
    other = tmp_path / "other"
    other.mkdir()
    write(other, "one", "Another one.")
    (other / "about.md").write_text("---\ntitle: About\nlayout: page\n---\nYou.", encoding="utf-8")

    assert import_all(other, engine).imported == 2
    assert import_all(posts, engine).unchanged == 4
    assert sorted(db.scalars(select(Entry.body).where(Entry.title == "About"))) == ["Me.", "You."]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("_posts/2020-01-02-one.md", "_drafts/2020-01-02-one.md"),
        ("_posts/2020-01-02-one.md", "_drafts/one.md"),
        ("2020-01-02-one.md", "drafts/one.md"),
        ("post/one/index.md", "private/one/index.md"),
        ("2020-01-02-one.md", "2999-01-02-one.md"),
    ],
)
@pytest.mark.parametrize("added", ["", "\nEdited."])
def test_post_moved_to_drafts_is_withdrawn(
    engine: Engine,
    db: Session,
    client: BlogClient,
    tmp_path: Path,
    before: str,
    after: str,
    added: str,
) -> None:
    first, second = tmp_path / "blog" / before, tmp_path / "blog" / after
    first.parent.mkdir(parents=True)
    date = "date: 2020-01-02\n" if "index" in before else ""
    first.write_text(f"---\ntitle: one\n{date}---\nPublic.", encoding="utf-8")
    import_all(tmp_path / "blog", engine)
    assert "Public." in client.get("/blog").text
    second.parent.mkdir(parents=True, exist_ok=True)
    text = first.read_text(encoding="utf-8")
    first.unlink()
    second.write_text(text + added, encoding="utf-8")

    summary = import_all(tmp_path / "blog", engine)

    assert (summary.updated, summary.imported) == (1, 0)
    assert "Public." not in client.get("/blog").text
    assert [name for names in summary.notes.values() for name in names] == [after] * len(
        summary.notes
    )
    # And back again
    second.rename(first)
    import_all(tmp_path / "blog", engine)
    assert "Public." in client.get("/blog").text


def test_trashed_post_is_withdrawn(engine: Engine, client: BlogClient, tmp_path: Path) -> None:
    import_all(WORDPRESS, engine)
    assert "Blocks" in client.get("/blog").text
    text = WORDPRESS.read_text(encoding="utf-8")
    before, item, after = text.partition("<title><![CDATA[Blocks]]>")
    path = tmp_path / "later.xml"
    path.write_text(before + item + after.replace(">publish<", ">trash<", 1), encoding="utf-8")

    summary = import_all(path, engine)

    assert (summary.updated, summary.unchanged) == (1, 6)
    assert summary.notes["Imported as a draft: “status” is “trash”."] == ["Blocks"]
    assert "Blocks" not in client.get("/blog").text
    assert import_all(path, engine).unchanged == 7
    import_all(WORDPRESS, engine)
    assert "Blocks" in client.get("/blog").text


def test_public_but_hidden_source_is_reported(engine: Engine, db: Session, posts: Path) -> None:
    write(posts, "one", "Text.", "draft: true\n")
    import_all(posts, engine)
    entry(db, "one").state = "published"
    db.commit()

    for _ in range(2):
        summary = import_all(posts, engine)
        assert summary.unchanged == 3
        told = "Published here, but a new import would make it a draft: check who may read it."
        assert summary.notes == {told: ["2020-01-02-one.md"]}
    assert entry(db, "one").state == "published"


def test_file_is_same_alone_or_in_folder(engine: Engine, posts: Path) -> None:
    assert import_all(posts / "2020-01-02-one.md", engine).imported == 1

    summary = import_all(posts.parent, engine)

    assert (summary.imported, summary.unchanged) == (2, 1)


def test_copied_folder_is_recognised(engine: Engine, db: Session, posts: Path) -> None:
    import_all(posts, engine)
    shutil.copytree(posts, posts.with_name("copy"))

    assert import_all(posts.with_name("copy"), engine).unchanged == 3
    assert rows(db)[0] == 3


def test_equal_files_are_two_entries(engine: Engine, db: Session, posts: Path) -> None:
    shutil.copy(posts / "2020-01-02-one.md", posts / "2020-01-02-a-copy.md")

    assert import_all(posts, engine).imported == 4
    assert import_all(posts, engine).unchanged == 4
    assert db.scalars(select(Entry.slug).where(Entry.title == "one")).all() == ["a-copy", "one"]


def test_earlier_copy_is_another_entry(engine: Engine, posts: Path) -> None:
    import_all(posts, engine)
    shutil.copy(posts / "2020-01-02-one.md", posts / "2020-01-02-a-copy.md")

    summary = import_all(posts, engine)

    assert (summary.imported, summary.unchanged) == (1, 3)


def test_same_slug_gets_a_number(engine: Engine, db: Session, posts: Path) -> None:
    (posts / "2021-03-04-one.md").write_text("---\ntitle: uno\n---\n", encoding="utf-8")

    summary = import_all(posts, engine)

    assert entry(db, "uno").slug == "one-2"
    assert summary.notes == {"Imported at “one-2”: “one” is already in use.": ["2021-03-04-one.md"]}


def test_taken_address_is_reported(engine: Engine, db: Session, posts: Path) -> None:
    write(posts, "one", "Text.", "redirect_from: /old/\n")
    write(posts, "two", "Text.", "redirect_from: [/old/, /blog/]\n")

    summary = import_all(posts, engine)

    assert redirects(db, entry(db, "one")) == {"/old"}
    assert summary.notes == {
        "No redirect from /old/: it leads to another entry.": ["2020-01-02-two.md"],
        "No redirect from /blog/: the blog has a page of its own there.": ["2020-01-02-two.md"],
    }


def test_interrupt_between_items_is_resumable(engine: Engine, db: Session, posts: Path) -> None:
    stopped = import_path(posts, session_factory(engine))
    assert len(stopped) == 3

    def show(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deque(map(show, (number for number, _ in enumerate(stopped, 1))))

    assert stopped.summary.imported == 2
    assert rows(db) == [2, 0, 0, 0, 2]
    summary = import_all(posts, engine)
    assert (summary.imported, summary.unchanged) == (1, 2)


def test_interrupt_within_item_is_rolled_back(engine: Engine, db: Session) -> None:
    before = rows(db)
    sessions = session_factory(engine)

    def interrupt(session: Session) -> None:
        session.flush()
        raise KeyboardInterrupt

    event.listen(sessions, "before_commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(iter(import_path(WORDPRESS, sessions)))

    assert rows(db) == before
    assert import_all(WORDPRESS, engine).imported == 7


def test_later_export_adds_comments(engine: Engine, db: Session, tmp_path: Path) -> None:
    text = WORDPRESS.read_text(encoding="utf-8")
    late = """<wp:comment><wp:comment_id>20</wp:comment_id><wp:comment_approved>1
        </wp:comment_approved><wp:comment_content>Late</wp:comment_content>
        <wp:comment_parent>4</wp:comment_parent></wp:comment></item>"""
    import_all(WORDPRESS, engine)
    edited = entry(db, "Bread & butter")
    edited.updated = func.now()
    first = db.scalars(select(Comment.id).where(Comment.name == "First")).one()
    db.commit()
    path = tmp_path / "later.xml"
    path.write_text(text.replace("</item>", late, 1), encoding="utf-8")

    summary = import_all(path, engine)

    assert (summary.updated, summary.unchanged, summary.comments) == (1, 6, 1)
    comment = db.scalars(select(Comment).where(Comment.text == "<p>Late</p>")).one()
    assert comment.parent_id == first
    db.rollback()
    assert import_all(path, engine).unchanged == 7


def test_deleted_comment_stays_deleted(engine: Engine, db: Session) -> None:
    import_all(WORDPRESS, engine)
    db.delete(db.scalars(select(Comment).where(Comment.state == "spam")).one())
    db.commit()

    assert import_all(WORDPRESS, engine).comments == 0
    assert rows(db)[1] == 4


def test_circular_replies_all_appear(engine: Engine, db: Session, tmp_path: Path) -> None:
    text = WORDPRESS.read_text(encoding="utf-8")
    path = tmp_path / "circle.xml"
    path.write_text(
        text.replace("<wp:comment_parent>0<", "<wp:comment_parent>3<", 1), encoding="utf-8"
    )

    import_all(path, engine)

    first, answer = db.scalars(select(Comment).where(Comment.name.in_(["First", "Reply «er»"])))
    assert {first.parent_id, answer.parent_id} in ({None, first.id}, {None, answer.id})


def test_repeated_item_is_imported_once(engine: Engine, db: Session, tmp_path: Path) -> None:
    for name in ("a.xml", "b.xml"):
        shutil.copy(WORDPRESS, tmp_path / name)
    folder = tmp_path / "exports"
    folder.mkdir()
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).rename(folder / name)

    summary = import_all(folder, engine)

    assert summary.imported == 7
    assert len(summary.skipped["a duplicate of an item of this import"]) == 7 + 1  # one was trashed
    assert rows(db)[0] == 7


def test_folder_with_both_formats(engine: Engine) -> None:
    summary = import_all(EXPORTS, engine)

    assert summary.imported == 6 + 2 + 7


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "missing does not exist"),
        ("a.txt", b"text", r"a\.txt: neither Markdown nor a WordPress export$"),
        ("a.xml", b"<feed/>", r"a\.xml: neither Markdown nor a WordPress export$"),
    ],
)
def test_unimportable_files_are_reported(
    engine: Engine, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError, match=message):
        import_all(tmp_path / name, engine)


def test_empty_folder_is_reported(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".hidden.md").write_text("x", encoding="utf-8")

    with pytest.raises(SourceError, match=r"can be imported\.$"):
        import_all(folder, engine)


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("2020-01-01-hello.md", "../secret.md", "a link out of the folder"),
        ("hello.md", "../posts/../secret.md", "a link out of the folder"),
        ("export.xml", "../secret.md", "a link out of the folder"),
        ("hello.md", "../missing.md", "a link out of the folder"),
        ("outside", "../outside", "a link out of the folder"),
        ("parent", "..", "a link out of the folder"),
        ("twin", "../posts-2", "a link out of the folder"),
        ("here", ".", "a link to a folder; these are not followed"),
        ("inside", "folder", "a link to a folder; these are not followed"),
        ("hello.md", "hello.md", "a broken link"),
        ("hello.md", "missing.md", "a broken link"),
        ("hello.md", ".hidden.md", "a link to a hidden file"),
        ("hello.md", ".git/hidden.md", "a link to a hidden file"),
    ],
)
def test_link_out_of_folder_is_refused(
    engine: Engine,
    db: Session,
    posts: Path,
    tmp_path: Path,
    name: str,
    target: str,
    reason: str,
) -> None:
    secret = "---\ndate: 2020-01-01\n---\nA secret."
    for place in ("secret.md", "outside/a.md", "posts-2/a.md", "posts/.hidden.md"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(secret, encoding="utf-8")
    (posts / ".git").mkdir()
    (posts / ".git" / "hidden.md").write_text(secret, encoding="utf-8")
    (posts / "folder").mkdir()
    make_link(posts / name, target)

    summary = import_all(posts, engine)

    assert summary.skipped == {reason: [name]}
    assert summary.imported == 3
    assert "secret" not in "".join(db.scalars(select(Entry.body)))


def test_link_within_folder_is_followed(engine: Engine, posts: Path) -> None:
    (posts / "folder").mkdir()
    (posts / "folder" / "text.md").write_text(
        "---\ndate: 2020-01-01\n---\nOther.", encoding="utf-8"
    )
    make_link(posts / "linked.md", "folder/text.md")

    assert import_all(posts, engine).imported == 5


def test_linked_folder_is_read(engine: Engine, posts: Path, tmp_path: Path) -> None:
    make_link(tmp_path / "link", posts)

    summary = import_all(tmp_path / "link", engine)

    assert (summary.imported, summary.skipped) == (3, {})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_special_file_is_not_opened(engine: Engine, posts: Path) -> None:
    os.mkfifo(posts / "2020-01-02-pipe.md")
    os.mkfifo(posts / "export.xml")

    summary = import_all(posts, engine)

    assert summary.skipped == {"not a regular file": ["2020-01-02-pipe.md", "export.xml"]}
    with pytest.raises(SourceError, match=r"export\.xml: not a regular file$"):
        import_all(posts / "export.xml", engine)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot create a path that is too long")
def test_unreadable_folder_is_reported(engine: Engine, posts: Path) -> None:
    name = "x" * 200
    top = os.open(posts, os.O_RDONLY)
    for _ in range(30):  # longer than a path may be
        os.mkdir(name, dir_fd=top)
        below = os.open(name, os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)

    summary = import_all(posts, engine)

    shutil.rmtree(posts / name)
    assert summary.imported == 3
    ((reason, names),) = summary.skipped.items()
    assert reason == f"cannot be read ({os.strerror(errno.ENAMETOOLONG)})"
    assert names[0].startswith(f"{name}/{name}/")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user can read everything")
@pytest.mark.parametrize("name", ["2020-01-02-one.md", "secret", "locked/secret"])
def test_forbidden_file_is_reported(engine: Engine, posts: Path, name: str) -> None:
    (posts / "secret").mkdir()
    (posts / "locked" / "secret").mkdir(parents=True)
    locked = posts / name.partition("/")[0]
    locked.chmod(0 if "/" not in name else 0o600)

    summary = import_all(posts, engine)

    locked.chmod(0o700)
    ((reason, names),) = summary.skipped.items()
    assert reason == f"cannot be read ({os.strerror(errno.EACCES)})"
    assert names == [name]
