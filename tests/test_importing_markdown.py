"""Folders of Markdown files: what is read, what is guessed, and what is reported."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from blog.importing.items import ForeignEntry, Skipped
from blog.importing.markdown import read_file
from blog.models import Entry, Tag
from tests.importing import EXPORTS, entry, import_all, redirects


def written(folder: Path, text: str | bytes, name: str = "2020-01-02-a-file.md") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str | bytes, name: str = "2020-01-02-a-file.md") -> ForeignEntry:
    item = read_file(written(folder, text, name), name)
    assert isinstance(item, ForeignEntry), item
    return item


def front(folder: Path, yaml: str) -> ForeignEntry:
    return read(folder, f"---\n{yaml}\n---\nText.\n")


def test_jekyll_site(engine: Engine, db: Session) -> None:
    summary = import_all(EXPORTS / "jekyll", engine)

    assert summary.imported == 6
    assert summary.skipped == {
        "empty file": ["_posts/2015-06-04-empty.md"],
        "neither Markdown nor a WordPress export": ["images/hello.png"],
    }
    assert db.scalars(select(Entry.title).order_by(Entry.title)).all() == [
        "About",
        "An idea",
        "Broken",
        "Colons: how they break YAML",
        "Hello, World: a beginning",
        "How to build this site",
    ]


def test_jekyll_post_keeps_fields(engine: Engine, db: Session) -> None:
    import_all(EXPORTS / "jekyll", engine)

    post = entry(db, "Hello, World: a beginning")
    assert post.slug == "hello-world"
    assert post.body == "    code at the very beginning\n\nIt began **here**."
    assert (post.format, post.kind, post.state) == ("markdown", "entry", "published")
    assert post.timestamp == post.updated == datetime(2015, 3, 1, tzinfo=UTC)
    assert post.author == "Ada"
    assert post.summary == "How it *began*."
    assert {tag.name for tag in post.tags} == {"first", "Meta", "Site News", "words"}
    assert redirects(db, post) == {"/old/hello.html", "/2015/03/hello world"}


def test_broken_yaml_is_read_as_meant(engine: Engine, db: Session) -> None:
    summary = import_all(EXPORTS / "jekyll", engine)

    post = entry(db, "Colons: how they break YAML")
    assert post.timestamp == datetime(2015, 4, 3, 1, 30, tzinfo=UTC)
    assert {tag.name for tag in post.tags} == {"@work", "yaml"}
    assert post.slug == "colons"
    assert post.featured
    for line in (2, 5):
        note = f"Line {line} is not valid YAML and was read as plain text."
        assert summary.notes[note] == ["_posts/2015-04-02-colon.markdown"]


def test_drafts_and_pages_keep_kind(engine: Engine, db: Session) -> None:
    summary = import_all(EXPORTS / "jekyll", engine)

    assert entry(db, "An idea").state == "draft"
    assert (entry(db, "About").kind, entry(db, "About").state) == ("page", "published")
    assert redirects(db, entry(db, "About")) == set()
    assert entry(db, "How to build this site").state == "draft"
    notes = summary.notes
    undated = "Imported as a draft: no readable date, so it is dated by the file."
    assert notes[undated] == ["README.md"]
    assert notes["Imported as a draft: in a folder named “_drafts”."] == ["_drafts/an-idea.md"]


def test_unsupported_fields_are_reported(engine: Engine) -> None:
    summary = import_all(EXPORTS / "jekyll", engine)

    assert summary.notes["The field “image” is not supported and was ignored."] == [
        "_posts/2015-03-01-hello-world.md"
    ]


def test_hugo_site(engine: Engine, db: Session) -> None:
    summary = import_all(EXPORTS / "hugo", engine)

    assert summary.imported == 2
    bundle = entry(db, "A bundle")
    assert bundle.slug == "a-bundle"
    assert bundle.timestamp == datetime(2019, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert bundle.updated == datetime(2020, 1, 1, tzinfo=UTC)
    assert bundle.author == "Grace"
    assert {tag.name for tag in bundle.tags} == {"one", "Three", "two"}
    assert redirects(db, bundle) == {"/older", "/oldest"}
    assert entry(db, "In JSON").state == "draft"
    assert set(summary.notes) == {
        "The field “version” is not supported and was ignored.",
        "Imported as a draft: “draft” is “true”.",
    }


def test_single_file(engine: Engine, db: Session) -> None:
    summary = import_all(EXPORTS / "jekyll" / "about.md", engine)

    assert summary.imported == 1
    assert entry(db, "About").slug == "about"


@pytest.mark.parametrize(
    ("name", "slug", "title"),
    [
        ("2020-01-02-hello-there.md", "hello-there", "Hello there"),
        ("2020-1-2-x_y.md", "x_y", "X y"),
        ("2020-01-02.md", "", "2020 01 02"),
        ("2020-01-02-bundle/index.md", "bundle", "Bundle"),
    ],
)
def test_file_name_supplies_date_and_slug(tmp_path: Path, name: str, slug: str, title: str) -> None:
    item = read(tmp_path, "Text.", name)

    assert (item.slug, item.title) == (slug, title)
    assert item.timestamp == datetime(2020, 1, 2, tzinfo=UTC)
    assert item.state == "published"


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("Text.\n\n## Two *words*, `here`\n", "Two words, here"),
        ("Two\nlines <b>bold</b>\n====\n", "Two lines bold"),
        ("A title\n=======\n\nText.", "A title"),
        ("```\n# no title\n```\n", "A file"),
    ],
)
def test_first_heading_is_title(tmp_path: Path, body: str, title: str) -> None:
    item = read(tmp_path, body)

    assert item.title == title
    assert item.body == body.strip("\n")


def test_undated_file_is_draft(tmp_path: Path) -> None:
    path = written(tmp_path, "Text.", "a-file.md")
    os.utime(path, (1_000_000_000, 1_000_000_000))

    item = read_file(path, path.name)

    assert isinstance(item, ForeignEntry)
    assert (item.state, item.timestamp) == ("draft", datetime.fromtimestamp(1_000_000_000, UTC))


@pytest.mark.parametrize(
    ("yaml", "tags"),
    [
        ("tags: one two", ["one", "two"]),
        ("tags: one thing, two", ["one thing", "two"]),
        ("category: one thing", ["one thing"]),
        ("tags:\n- 3.10\n- no\n- '#hash'\n- [x, [y]]", ["3.10", "no", "hash", "x", "y"]),
        ("tags: [a, A, a]", ["a", "A"]),
        ("tags:", []),
        ("tags: null", []),
        ("tags: [null, a, ~, 'null', NULL]", ["a", "null"]),
        ("categories: [~]", []),
    ],
)  # fmt: skip
def test_tags_as_list_or_words(tmp_path: Path, yaml: str, tags: list[str]) -> None:
    assert list(front(tmp_path, yaml).tags) == tags


def test_nested_yaml_lists_are_linear(tmp_path: Path) -> None:
    doubled = "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))

    assert front(tmp_path, f"a0: &a0 [x, y]\n{doubled}\ntags: *a59").tags == ("x", "y")


def test_equivalent_tags_are_joined(engine: Engine, db: Session, tmp_path: Path) -> None:
    written(tmp_path, "---\ntags: [How we work, how-we-work]\n---\nText.")
    import_all(tmp_path, engine)

    assert db.scalars(select(Tag.name)).all() == ["How we work"]


@pytest.mark.parametrize(
    ("yaml", "slug", "addresses"),
    [
        ("slug: Wanted", "Wanted", []),
        ("permalink: /2015/wanted/", "wanted", ["/2015/wanted/"]),
        ("permalink: /wanted/index.html", "wanted", ["/wanted/index.html"]),
        ("permalink: https://old.example/wanted.html", "wanted", ["https://old.example/wanted.html"]),
        ("permalink: pretty", "a-file", []),
        ("permalink: /:year/:title/", "a-file", []),
        ("permalink: '/{{ page.title }}/'", "a-file", []),
        ("permalink: http://[x/y", "a-file", ["http://[x/y"]),
        ("url: /wanted/", "wanted", ["/wanted/"]),
        ("url: https://elsewhere.example/a/page", "a-file", []),
        ("aliases: [/one, /two]", "a-file", ["/one", "/two"]),
        ("tumblr_url: http://t.example/post/1/x", "a-file", ["http://t.example/post/1/x"]),
    ],
)  # fmt: skip
def test_old_addresses_are_kept(tmp_path: Path, yaml: str, slug: str, addresses: list[str]) -> None:
    item = front(tmp_path, yaml)

    assert (item.slug, list(item.addresses)) == (slug, addresses)


@pytest.mark.parametrize(
    ("yaml", "uid"),
    [
        ("guid: 'tag:old.example,2015:1'", "tag:old.example,2015:1"),
        ("id: 12\nuid: urn:x:1", "urn:x:1"),
        ("id: /2015/x", None),
    ],
)
def test_feed_id_is_kept(tmp_path: Path, yaml: str, uid: str | None) -> None:
    assert front(tmp_path, yaml).uid == uid


@pytest.mark.parametrize(
    ("yaml", "author"),
    [
        ("author: Ada", "Ada"),
        ("authors: [Ada, Grace]", "Ada, Grace"),
        ("author: {name: Ada, email: ada@example.org}", "Ada"),
        ("title: x", None),
    ],
)
def test_author_is_named(tmp_path: Path, yaml: str, author: str | None) -> None:
    assert front(tmp_path, yaml).author == author


@pytest.mark.parametrize(
    ("yaml", "title"),
    [
        ("title: a: b", "a: b"),
        ("title: @foo", "@foo"),
        ('title: "Foo" is bar', '"Foo" is bar'),
        ("title: 'It's'", "It's"),
        ("title: [Draft] foo", "[Draft] foo"),
        ("title: *x y", "*x y"),
        ("title: 100%", "100%"),
        ("title: %x", "%x"),
        ("\ttitle: tabs", "tabs"),
        ("title: 2015", "2015"),
        ("title: ~", "A file"),
        ("title: Null", "A file"),
        ("title: 'null'", "null"),
        ("title: nULL", "nULL"),
        ("Title: Case", "Case"),
        ("title:\n  nested: x", "A file"),
    ],
)
def test_title_of_any_yaml_type(tmp_path: Path, yaml: str, title: str) -> None:
    item = front(tmp_path, yaml)

    assert (item.title, item.body) == (title, "Text.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\ntitle: x\n- y\n---\n", "cannot be read (line 3: did not find expected key)"),
        ("\n---\na: 1\n? [x\n---\n", "cannot be read (line 5: did not find expected ',' or ']')"),
        ("+++\ntitle = \n+++\n", "cannot be read (Invalid value (at line 2, column 9))"),
        ('{\n"title" 1\n}\n', "(Expecting ':' delimiter: line 2 column 9 (char 10))"),
        ("---\n" + "- " * 5_000 + "\n---\n", "(line 2: nested too deep)"),
        ("---\n" + "[" * 100_000 + "\n---\n", "(line 2: nested too deep)"),
        ("---js\n{ draft: true }\n---\n", "cannot be read (its format is not supported)"),
        ("---\ndraft true\n---\n", "has no fields"),
        ("---\n- draft\n---\n", "has no fields"),
        ("---\ntitle: x\ndraft: true\n\n", "has no end"),
        ("+++\ndraft = true\n---\n", "has no end"),
    ],
)
def test_unreadable_front_matter_is_draft(tmp_path: Path, text: str, problem: str) -> None:
    item = read(tmp_path, text + "The text.")

    assert item.state == "draft"
    assert item.body.endswith("The text.")
    assert item.notes[0].startswith("Imported as a draft: the front matter ")
    assert item.notes[0].endswith(f"{problem}.")


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf\r\n\t\n"])
def test_empty_file_is_skipped(tmp_path: Path, text: bytes) -> None:
    assert read_file(written(tmp_path, text), "a name") == Skipped("a name", "empty file")


@pytest.mark.parametrize("text", ["---\n\nA rule\n", "---\n\nBetween rules\n\n---\n\nAfter\n"])
def test_rule_is_not_front_matter(tmp_path: Path, text: str) -> None:
    item = read(tmp_path, text)

    assert (item.body, item.state) == (text.strip("\n"), "published")


def test_rule_in_field_does_not_end_it(tmp_path: Path) -> None:
    item = read(tmp_path, "---\nexcerpt: |\n  a\n  ----\n  b\ntitle: x\n---\nText.")

    assert (item.title, item.summary, item.body) == ("x", "a\n----\nb", "Text.")


def test_invalid_utf8_file_is_windows_1252(tmp_path: Path) -> None:
    item = read(tmp_path, "Smörgås – ".encode("cp1252") + "日本".encode())

    assert item.body == "Smörgås – 日本"
    assert item.notes == ("Not valid UTF-8: invalid characters were read as Windows-1252.",)


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
def test_byte_order_mark_sets_encoding(tmp_path: Path, encoding: str) -> None:
    # Redirection with `>` in PowerShell 5 writes UTF-16.
    text = "---\r\ntitle: Grüße\r\ndraft: true\r\n---\r\n日本\r\n"
    mark = "" if encoding == "utf-8-sig" else "\ufeff"

    item = read(tmp_path, (mark + text).encode(encoding))

    assert (item.title, item.state, item.body) == ("Grüße", "draft", "日本")
    assert item.notes == ("Imported as a draft: “draft” is “true”.",)


def test_truncated_character_hides_no_others(tmp_path: Path) -> None:
    item = read(tmp_path, "Grüße".encode("utf-16") + b"\x00")

    assert item.body == "Grüße\ufffd"
    assert item.notes == ("Not valid UTF-16: invalid characters were replaced.",)


def test_line_ends_are_normalised(tmp_path: Path) -> None:
    item = read(tmp_path, b"\xef\xbb\xbf---\r\ntitle: x\r\n---\r\na\r\nb\rc\0\x0b\r\n")

    assert (item.title, item.body) == ("x", "a\nb\nc")


def test_second_summary_is_reported(tmp_path: Path) -> None:
    item = front(tmp_path, "description: One.\nsummary: Two.\nexcerpt: One.")

    assert item.summary == "One."
    assert item.notes == ("The field “summary” is not supported and was ignored.",)


def test_template_code_is_reported(tmp_path: Path) -> None:
    item = read(tmp_path, "{% include x %}")

    assert item.notes == ("Template code ({{ … }} or {% … %}) was imported as text.",)


def test_unreadable_date_is_reported(tmp_path: Path) -> None:
    item = front(tmp_path, "date: 3/4/2014")

    assert item.timestamp == datetime(2020, 1, 2, tzinfo=UTC)
    assert item.state == "published"
    assert item.notes == ("The date in “date” cannot be read.",)


def test_non_unicode_file_name_is_stored(engine: Engine, tmp_path: Path) -> None:
    try:
        written(tmp_path / "posts", "Text.", os.fsdecode(b"2020-01-02-\xff.md"))
    except (OSError, UnicodeError):
        pytest.skip("this file system allows only Unicode names")

    assert import_all(tmp_path / "posts", engine).imported == 1
    assert import_all(tmp_path / "posts", engine).unchanged == 1


FENCES = st.sampled_from([b"---\n", b"+++\n", b"{\n", b"}\n", b"title: ", b"tags: ", b"&a [*a]"])


@given(st.lists(FENCES | st.binary(max_size=20), max_size=8).map(b"".join))
def test_any_markdown_bytes_are_handled(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "2020-01-02-any.md"
    path.write_bytes(content)

    item = read_file(path, path.name)

    assert isinstance(item, (ForeignEntry, Skipped))
    repr(item).encode()
