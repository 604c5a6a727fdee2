"""Truncated, malformed and malicious exports."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from blog.importing.errors import SourceError
from blog.importing.sources import read
from blog.models import Comment, Entry
from tests.importing import EXPORTS, entry, import_all

WHOLE = (EXPORTS / "wordpress.xml").read_text(encoding="utf-8")

BOMB = "".join(
    [
        '<?xml version="1.0"?>\n<!DOCTYPE rss [\n<!ENTITY a0 "ha">\n',
        *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">\n' for n in range(1, 30)),
        ']>\n<rss xmlns:wp="http://wordpress.org/export/1.2/"><channel><title>&a29;</title>',
        "<item><title>x</title></item></channel></rss>",
    ]
)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "exports" / "export.xml"
    path.parent.mkdir()
    return path


@pytest.mark.parametrize(
    ("whole", "broken", "title"),
    [
        ("<title>Secret", "<title>R & B", "R & B"),
        ("<title>Secret", "<title>A&nbsp;&eacute;", "A é"),
        ("<title>Secret", "<title>1 < 2 &#0;&#x1F;", "1 < 2 \ufffd"),
        ("<title>Secret", "<title>Bell \x07 rings", "Bell rings"),
    ],
)
def test_broken_xml_is_repaired(
    engine: Engine, db: Session, export: Path, whole: str, broken: str, title: str
) -> None:
    export.write_text(WHOLE.replace(whole, broken), encoding="utf-8")

    summary = import_all(export, engine)

    assert (summary.imported, summary.comments) == (7, 5)
    assert entry(db, title).state == "draft"
    assert len(summary.notes["Broken XML was repaired."]) == 1
    assert entry(db, "Bread & butter").author == "Ada & Co."
    (reason,) = (reason for reason, names in summary.skipped.items() if "the rest" in names[0])
    assert reason.startswith("not well-formed XML (")


def test_undeclared_prefix_is_accepted(engine: Engine, db: Session, export: Path) -> None:
    export.write_text(WHOLE.replace("Secret", "A <x:b>bold</x:b> move"), encoding="utf-8")

    assert import_all(export, engine).imported == 7
    assert entry(db, "A bold move").body == "<p>Hidden.</p>"


def test_invalid_utf8_in_xml_is_windows_1252(engine: Engine, db: Session, export: Path) -> None:
    export.write_bytes(WHOLE.encode().replace(b"Hidden.", b"Sm\xf6rg\xe5s\x85"))

    assert import_all(export, engine).imported == 7
    assert entry(db, "Secret").body == "<p>Smörgås…</p>"


def test_broken_utf16_export_is_read(engine: Engine, db: Session, export: Path) -> None:
    text = WHOLE.replace('encoding="UTF-8"', 'encoding="UTF-16"').replace("Hidden.", "日本 & more")
    export.write_bytes(text.replace("<title>Secret", "<title>R & B").encode("utf-16"))

    assert import_all(export, engine).imported == 7
    assert entry(db, "R & B").body == "<p>日本 & more</p>"


def test_irreparable_item_is_named(engine: Engine, db: Session, export: Path) -> None:
    export.write_text(
        WHOLE.replace("<wp:post_name>bread</wp:post_name>", "<wp:post_name>bread</wp:post>"),
        encoding="utf-8",
    )

    summary = import_all(export, engine)

    assert summary.imported == 6
    assert summary.skipped["its XML is broken (mismatched tag)"] == [
        "“Bread &amp;amp; &lt;em&gt;butter&lt;/em&gt;” (item 1)"
    ]
    assert "Blocks" in db.scalars(select(Entry.title)).all()


def test_truncated_export_is_read_to_its_end(engine: Engine, db: Session, export: Path) -> None:
    export.write_text(WHOLE[: WHOLE.index("Hidden.")], encoding="utf-8")

    summary = import_all(export, engine)

    assert summary.imported == 3
    assert summary.skipped["its XML is broken (unclosed CDATA section)"] == ["“Secret” (item 4)"]
    assert len(db.scalars(select(Comment)).all()) == 5


def test_broken_export_is_imported_once(engine: Engine, export: Path) -> None:
    export.write_text(WHOLE.replace("Secret", "R & B"), encoding="utf-8")
    import_all(export, engine)

    assert import_all(export, engine).unchanged == 7


def test_export_mended_by_hand_is_the_same(engine: Engine, export: Path) -> None:
    export.write_text(WHOLE.replace("Secret", "R & B"), encoding="utf-8")
    import_all(export, engine)
    export.write_text(WHOLE.replace("Secret", "R &amp; B"), encoding="utf-8")

    assert import_all(export, engine).unchanged == 7


@pytest.mark.parametrize("text", [BOMB, BOMB.replace("<title>x", "<title>\x01")])
def test_entity_bomb_is_refused(export: Path, text: str) -> None:
    export.write_text(text, encoding="utf-8")

    with pytest.raises(SourceError, match=r"export\.xml: declares XML entities"):
        read(export)


def test_files_beside_bomb_are_read(engine: Engine, export: Path) -> None:
    export.write_text(BOMB, encoding="utf-8")
    export.with_name("good.xml").write_text(WHOLE, encoding="utf-8")

    summary = import_all(export.parent, engine)

    assert summary.imported == 7
    assert ["export.xml"] in summary.skipped.values()


def test_external_entity_is_refused(export: Path) -> None:
    text = WHOLE.replace("<rss", '<!DOCTYPE rss [<!ENTITY f SYSTEM "file:///etc/passwd">]>\n<rss')
    export.write_text(text.replace("Secret", "&f;"), encoding="utf-8")

    with pytest.raises(SourceError, match="declares XML entities"):
        read(export)


def test_plain_doctype_is_accepted(engine: Engine, export: Path) -> None:
    export.write_text(WHOLE.replace("<rss", "<!DOCTYPE rss>\n<rss", 1), encoding="utf-8")

    assert import_all(export, engine).imported == 7


@pytest.mark.long
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "<a>" * 100_000,
        "<item>" * 20_000,
        "<item><title>" * 20_000,
        "<item>" + "<wp:comment>" * 100_000,
        "<item>" + "&" * 1_000_000 + "</item>",
        "<link>" * 100_000,
        "<![CDATA[" * 100_000,
        "<item><![CDATA[]]]]>" * 20_000,
    ],
    ids=lambda text: text[:20],
)
def test_hostile_export_is_linear(export: Path, text: str) -> None:
    head = '<rss xmlns:wp="http://wordpress.org/export/1.2/"><channel>'
    export.write_text(head + text, encoding="utf-8")

    source = read(export)
    assert len(list(source)) == len(source)


PIECES = st.sampled_from(
    [
        b"<item>", b"</item>", b"<title>", b"</title>", b"<![CDATA[", b"]]>", b"&amp;", b"&",
        b"<wp:comment>", b"</wp:comment>", b"<!DOCTYPE a [", b"<!ENTITY a 'b'>", b"<!--", b"-->",
        b"<wp:post_date>2020-01-01</wp:post_date>", b"<link>http://[x</link>", b"\n", b"\xff",
    ]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES | st.binary(max_size=10), max_size=15))
def test_any_xml_bytes_are_handled(export: Path, pieces: list[bytes]) -> None:
    head = b'<rss xmlns:wp="http://wordpress.org/export/1.2/"><channel>'
    export.write_bytes(head + b"".join(pieces))

    try:
        source = read(export)
    except SourceError:
        return
    assert len(list(source)) == len(source)
