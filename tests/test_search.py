"""The search finds what matches, accepts any query, and shows nothing hidden."""

import re
import sqlite3
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session

from blog.application import Blog, create_app
from blog.config import Config
from blog.database.search_index import BELOW, PORTION
from blog.models import Comment, searchable
from blog.operations.backfill import index_all
from blog.search.matches import CANDIDATES
from tests.conftest import NOW, SITE_URL, BlogClient, MakeEntry

MakeComment = Callable[..., Comment]

#: All examples of Hypothesis share the one database of a test.
shared = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def found(client: BlogClient, q: str, **scope: str) -> list[str]:
    """Return the titles of the results, in order."""
    response = client.get("/blog/search", query_string={"q": q, **scope})
    assert response.status_code == 200, q
    titles = re.findall(r"<article class=\"found\">\s*<h2><a [^>]*>(.*?)</a>", response.text)
    return [unescape(re.sub("</?mark>", "", title)) for title in titles]


# Matches


@pytest.mark.parametrize("q", ["title", "words", "wor", "subject", "of the body", "WORDS title"])
def test_search_in_title_body_and_tag(client: BlogClient, make_entry: MakeEntry, q: str) -> None:
    make_entry("A title", body="The *words* of the body.", tags=("subject",))
    make_entry("Another one", body="Nothing.")

    assert found(client, q) == ["A title"]


def test_search_in_pages_and_comments(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    make_entry("About", kind="page", body="Who writes about herons.")
    comment = make_comment(make_entry("Birds"), "I saw a heron.", name="Ann")

    assert sorted(found(client, "heron")) == ["About", "Ann on Birds"]
    page = client.get("/blog/search?q=heron").text
    assert 'href="/about"' in page
    assert f'href="/blog/birds#comment-{comment.id}"' in page


def test_search_ignores_html_in_title(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    titles = ["The <em>Odys</em>sey &amp; more", "A <video> for 1 < 2"]
    for title in titles:
        make_comment(make_entry(title, slug=title[0]), "A heron.", name="Ann")

    shown = ["The Odyssey &amp; more", "A <video> for 1 < 2"]
    assert found(client, "odyssey") == [shown[0]]
    assert found(client, "em") == found(client, "odys sey") == []
    assert found(client, "video") == [shown[1]]
    assert sorted(found(client, "heron")) == sorted(f"Ann on {title}" for title in shown)
    page = client.get("/blog/search?q=odyssey").text
    assert "The <mark>Odyssey</mark> &amp;amp; more" in page


def test_excerpt_has_quotes_of_comment(
    config: Config, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    make_comment(make_entry("Birds"), 'I saw a "heron".', format="markdown")
    app = create_app(replace(config, language="de"))

    assert "I saw a „<mark>heron</mark>“." in BlogClient(app).get("/blog/search?q=heron").text
    app.engine.dispose()


def test_search_without_comments(
    config: Config, engine: Engine, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    make_comment(make_entry("Birds"), "I saw a heron.")
    quiet = Config(**{**vars(config), "search_comments": False})

    assert found(BlogClient(Blog(config, engine, "secret")), "heron") == ["Anonymous on Birds"]
    assert found(BlogClient(Blog(quiet, engine, "secret")), "heron") == []


def test_all_words_are_required(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="red green")
    make_entry("Two", body="red blue")

    assert found(client, "red green") == ["One"]
    assert sorted(found(client, "red")) == ["One", "Two"]


def test_phrase_search(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="green red")
    make_entry("Two", body="red, green")

    assert found(client, '"red green"') == ["Two"]
    assert found(client, '"red gree"') == []
    assert found(client, '"red green') == ["Two"], "the second quote may be missing"
    assert found(client, "red-green") == ["Two"], "so are words joined by punctuation"


def test_excluded_word(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="red green")
    make_entry("Two", body="red blue")

    assert found(client, "red -green") == ["Two"]
    assert found(client, '-"red blue" red') == ["One"]
    assert found(client, "-green") == []


def test_only_last_word_is_a_prefix(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="elephants dancing")

    assert found(client, "elephants danc") == ["One"]
    assert found(client, "elephants da") == [], "two letters are no prefix search"
    assert found(client, "elephant dancing") == []


@pytest.mark.parametrize(
    ("q", "body"),
    [
        ("creme brulee", "Crème brûlée"),
        ("CRÈME", "creme"),
        ("crème", "cre\u0300me"),
        ("Zurich", "Zürich"),
        ("Tiếng Việt", "tieng viet"),
        ("ελλαδα", "Ελλάδα"),
        ("Ελλάδα", "Ελλαδα"),
        ("елка", "ёлка"),
        ("日本", "これは日本語です"),
        ("本語で", "これは日本語です"),
        ("한국", "한국어를"),
        ("пр", "привет"),
        ("مرحبا", "مرحبا بالعالم"),
        ("שלום", "שלום עולם"),
        ("e-mail", "My e-mail."),
        ("3.14", "It is 3.14, about."),
        ("example.org/a", "See example.org/a/b."),
        ("x86_64", "On x86_64 only"),
        ("don't", "I don't."),
        ("don't", "I don’t."),
    ],
)
def test_search_ignores_accents(
    client: BlogClient, make_entry: MakeEntry, q: str, body: str
) -> None:
    make_entry("One", body=body)
    make_entry("Two", body="Nothing of the kind, nor 日 or 語 alone.")

    assert found(client, q) == ["One"]
    assert "<mark>" in client.get("/blog/search", query_string={"q": q}).text


@pytest.mark.parametrize(
    ("q", "body", "marked"),
    [
        ("heron", "A heron, herons.", ["heron", "herons"]),
        ("heron x", "A heron x, herons.", ["heron", "x"]),
        ('"red green"', "red, Green. red blue green", ["red, Green"]),
        ('"a a b"', "a a c a a b", ["a a b"]),
        ("a", "日a本 ab", ["a"]),
        ("日本", "日 日本 日、本", ["日本", "日、本"]),
        ("cafe\u0301", "Cafe\u0301s café cafe\u0301", ["Cafe\u0301s", "café", "cafe\u0301"]),
        ("ea\u0301 x", "e\u0301a\u0301 e\u0301\u0301b x", ["e\u0301a\u0301", "x"]),
        ("ΟΔΟΣ", "οδός", ["οδός"]),
    ],
)
def test_marked_words(
    client: BlogClient, make_entry: MakeEntry, q: str, body: str, marked: list[str]
) -> None:
    make_entry("One", body=body)
    page = client.get("/blog/search", query_string={"q": q}).text

    assert re.findall("<mark>(.*?)</mark>", page) == marked


def test_long_text_without_spaces_is_indexed(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="吾輩は猫である。" * 500 + "名前はまだ無い")

    assert found(client, "まだ無い") == ["One"]


def test_best_match_then_newest(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("Old", body="A heron stood.", timestamp=NOW - timedelta(days=3))
    make_entry("New", body="A heron stood.", timestamp=NOW - timedelta(days=1))
    make_entry("The heron", body="It stood.", timestamp=NOW - timedelta(days=9))

    assert found(client, "heron") == ["The heron", "New", "Old"]


def test_only_latest_matches_are_ranked(
    client: BlogClient, make_entry: MakeEntry, engine: Engine
) -> None:
    make_entry("Entry", body="heron")
    copy(engine, CANDIDATES)

    assert f"the {CANDIDATES} latest" in client.get("/blog/search?q=heron").text
    assert len(found(client, "heron", page=str(CANDIDATES // 10))) == 10
    assert client.get(f"/blog/search?q=heron&page={CANDIDATES // 10 + 1}").status_code == 404


def copy(engine: Engine, number: int) -> None:
    """Copy an entry, as another program would."""
    with engine.begin() as connection:
        for each in range(number):
            connection.exec_driver_sql(
                "INSERT INTO entry (title, body, timestamp, featured, slug, state, uid, updated,"
                " format, kind, comments_open) SELECT title, body, timestamp, featured,"
                f" 's{each}', state, 'u{each}', updated, format, kind, comments_open"
                " FROM entry WHERE slug = 'entry'"
            )


# Hidden and changed content


def test_search_omits_hidden_content(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    make_entry("Draft", body="secret", state="draft")
    later = make_entry("Later", body="secret", timestamp=NOW + timedelta(days=1))
    shown = make_entry("Shown", body="open")
    make_comment(later, "secret")
    for state in ("held", "spam", "trash"):
        make_comment(shown, "secret", state=state)

    assert found(client, "secret") == []
    assert found(client, "open") == ["Shown"]


def test_search_follows_changes(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment, db: Session
) -> None:
    entry = make_entry("One", body="heron", tags=("birds",))
    comment = make_comment(entry, "stork")
    assert found(client, "heron") == ["One"]

    for statement, q, titles in [
        ("UPDATE entry SET body = 'crane'", "heron", []),
        ("UPDATE entry SET title = 'Two'", "crane", ["Two"]),
        ("UPDATE tag SET name = 'fowl'", "fowl", ["Two"]),
        ("DELETE FROM entry_tag", "fowl", []),
        ("UPDATE comment SET text = 'ibis'", "ibis", ["Anonymous on Two"]),
        ("UPDATE comment SET state = 'held'", "ibis", []),
        ("UPDATE entry SET state = 'draft'", "crane", []),
    ]:
        db.execute(text(statement))
        db.commit()
        assert found(client, q) == titles, statement
    assert comment.text == "ibis"


def test_search_follows_other_programs(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment, engine: Engine
) -> None:
    make_comment(make_entry("Old", body="heron", tags=("birds",)), "stork")
    assert found(client, "heron") == ["Old"]

    for statement, q, titles in [
        ("UPDATE entry SET body = 'Łódź C++'", "lodz c++", ["Old"]),
        ("UPDATE entry SET title = 'New'", "heron", []),
        ("UPDATE tag SET name = 'Vögel'", "vogel", ["New"]),
        ("UPDATE comment SET text = 'ЁЛКА'", "елка", ["Anonymous on New"]),
        ("UPDATE entry SET state = 'draft'", "lodz", []),
        ("UPDATE entry SET state = 'published'", "lodz", ["New"]),
        ("DELETE FROM comment", "елка", []),
    ]:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        assert found(client, q) == titles, statement


def test_search_follows_bulk_changes(
    client: BlogClient, make_entry: MakeEntry, engine: Engine
) -> None:
    make_entry("Entry", body="heron")
    copy(engine, 2 * PORTION)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE entry SET body = 'Łódź' WHERE slug != 'entry'")

    assert found(client, "heron") == ["Entry"]
    assert f"the {CANDIDATES} latest" in client.get("/blog/search?q=lodz").text


def test_search_does_not_wait_for_writer(
    client: BlogClient, make_entry: MakeEntry, engine: Engine
) -> None:
    make_entry("One", body="heron")
    make_entry("Two", body="heron")
    an_hour = {"sqlite": "PRAGMA busy_timeout = 3600000", "postgresql": "SET lock_timeout = '1h'"}
    with engine.connect() as connection:
        connection.exec_driver_sql(an_hour[engine.dialect.name])
        connection.commit()
    other = create_engine(engine.url, poolclass=NullPool)
    with other.begin() as connection:
        connection.exec_driver_sql("UPDATE entry SET body = 'stork' WHERE slug = 'two'")

    with other.begin() as connection:
        connection.exec_driver_sql("UPDATE site SET version = version")
        assert found(client, "heron") == ["One"], "and no deleted text"
        assert found(client, "stork") == []
        assert "no-store" in client.get("/blog/search?q=stork").headers["Cache-Control"]
    assert found(client, "stork") == ["Two"]
    assert found(client, "heron") == ["One"]


@pytest.mark.parametrize(
    "damage",
    [
        "title = X'ff'",
        "body = CAST(X'c3' AS TEXT)",
        "body = 5",
        "body = ''",
    ],
)
def test_damaged_text_hides_no_other(
    client: BlogClient, make_entry: MakeEntry, engine: Engine, damage: str
) -> None:
    make_entry("Damaged")
    make_entry("Whole", body="heron")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE entry SET {damage} WHERE slug = 'damaged'")

    make_entry("Another", body="heron")
    assert sorted(found(client, "heron")) == ["Another", "Whole"]


BY_ANYBODY = [
    "INSERT INTO entry (id, title, body, timestamp, featured, slug, state, uid, updated, format,"
    " kind, comments_open) VALUES ({a}, 'T{b} é', 'body {b} 日本', '201{b}-01-01', FALSE, 's{b}',"
    " 'published', 'u{b}', '2010-01-01', 'markdown', 'entry', TRUE) ON CONFLICT DO NOTHING",
    "INSERT INTO rendering (entry_id, renderer, minutes, teaser, description, text, html)"
    " SELECT id, 1, 1, '', '', 'made {b}', '' FROM entry WHERE id = {a} ON CONFLICT DO NOTHING",
    "INSERT INTO tag (id, name, slug) VALUES ({a}, 'tag {b}', 't{b}') ON CONFLICT DO NOTHING",
    "INSERT INTO entry_tag (entry_id, tag_id) SELECT entry.id, tag.id FROM entry, tag"
    " WHERE entry.id = {a} AND tag.id = {b} ON CONFLICT DO NOTHING",
    "INSERT INTO comment (id, entry_id, text, name, state, format, uid, created)"
    " SELECT {a}, id, 'said {b}', 'N', 'published', 'text', 'c{a}', '201{b}-05-05' FROM entry"
    " WHERE id = {b} ON CONFLICT DO NOTHING",
    "UPDATE entry SET state = 'draft' WHERE id = {a}",
    "UPDATE entry SET state = 'published'",
    "UPDATE entry SET body = 'other', timestamp = '2022-02-02' WHERE id = {a}",
    "UPDATE entry SET title = 'Ώ {b}' WHERE id <= {a}",
    "UPDATE entry_tag SET tag_id = {b} WHERE entry_id = {a} AND EXISTS (SELECT 1 FROM tag"
    " WHERE id = {b}) AND NOT EXISTS (SELECT 1 FROM entry_tag AS other"
    " WHERE other.entry_id = {a} AND other.tag_id = {b})",
    "UPDATE rendering SET text = 'again {b}' WHERE entry_id = {a}",
    "UPDATE tag SET name = 'renamed {b}' WHERE id = {a}",
    "UPDATE comment SET state = 'spam' WHERE id = {a}",
    "UPDATE comment SET state = 'published', text = 'said again' WHERE id >= {a}",
    "DELETE FROM rendering WHERE entry_id = {a}",
    "DELETE FROM entry_tag WHERE tag_id = {a}",
    "DELETE FROM tag WHERE id = {a}",
    "DELETE FROM comment WHERE entry_id = {a}",
    "DELETE FROM entry WHERE id = {a} AND NOT EXISTS"
    " (SELECT 1 FROM comment WHERE entry_id = entry.id)",
]

ON_SQLITE = [
    "REPLACE INTO entry (id, title, body, timestamp, featured, slug, state, uid, updated, format,"
    " kind, comments_open) VALUES ({a}, 'R{b}', 'replaced', '2015-01-01', FALSE, 's{b}',"
    " 'published', 'u{b}', '2010-01-01', 'markdown', 'entry', TRUE)",
    "REPLACE INTO rendering (entry_id, renderer, minutes, teaser, description, text, html)"
    " SELECT id, 1, 1, '', '', 'replaced {b}', '' FROM entry WHERE id = {a}",
    "REPLACE INTO comment (id, entry_id, text, state, format, uid)"
    " SELECT {a}, id, 'said {b}', 'published', 'text', 'c{b}' FROM entry WHERE id = {b}",
    "UPDATE OR REPLACE entry SET slug = 's{b}' WHERE id = {a}",
]


def indexed(engine: Engine) -> list[Any]:
    """Return the index of existing rows. Those of deleted rows are never found."""
    number = "rowid" if engine.dialect.name == "sqlite" else "id"
    columns = "title, tags, text, marks" if engine.dialect.name == "sqlite" else "words"
    with engine.connect() as connection:
        return list(
            connection.exec_driver_sql(
                f"""SELECT {number}, {columns} FROM search_index
                    WHERE {number} IN (SELECT id FROM entry WHERE state = 'published')
                    OR {number} + {BELOW} IN
                        (SELECT id FROM comment WHERE state = 'published')
                    ORDER BY 1"""
            )
        )


@shared
@given(steps=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3), st.integers(1, 3))))
def test_index_equals_rebuilt_index(engine: Engine, steps: list[tuple[int, int, int]]) -> None:
    dialect = engine.dialect.name
    statements = BY_ANYBODY + (ON_SQLITE if dialect == "sqlite" else [])
    written = [statements[number % len(statements)].format(a=a, b=b) for number, a, b in steps]
    if dialect == "sqlite":
        # A shell has foreign keys off.
        with closing(sqlite3.connect(str(engine.url.database))) as shell, shell:
            shell.executescript(";".join(written))
    else:
        with engine.begin() as connection:
            for statement in written:
                connection.exec_driver_sql(statement)

    list(index_all(engine))
    followed = indexed(engine)
    with engine.begin() as connection:
        for statement in searchable.empty():
            connection.exec_driver_sql(statement)
    assert sum(index_all(engine)) == len(followed)
    assert followed == indexed(engine)


# Any text is a query


@shared
@given(q=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_any_text_is_a_query(client: BlogClient, q: str) -> None:
    assert found(client, q) == []


@pytest.mark.parametrize(
    "q",
    [
        "a" * 10_000,
        "a " * 5_000,
        '"' * 9_999,
        "-" * 10_000,
        "日" * 10_000,
        "e" + "\u0301" * 9_999,
        "(" * 10_000,
        *('"', '" "', "-", '-"', "*", "^", "-*", "a*", "^a", "a:b", "title:a", "{title} : a"),
        *("AND", "OR", "NOT", "a AND", "NOT a", "NEAR(a b)", "a NEAR/2 b", "a + b", "(a", "a)"),
        *("'", "';--", "' OR 1=1 --", "%", "_", "\\", "a & b", "a | !b", "a <-> b", ":*", "a:*"),
        "<script>alert(1)</script>",
        *("\u202e\u202d", "\ufeff", "👩‍👩‍👧‍👦", "ﷺ", "İ", "ß", "ǅ", "\u0e33", "\U0010ffff"),
    ],
)
def test_query_syntax_is_harmless(client: BlogClient, make_entry: MakeEntry, q: str) -> None:
    make_entry("One", body="Nothing of this.")
    response = client.get("/blog/search", query_string={"q": q})

    assert response.status_code == 200
    assert "<script>alert" not in response.text


def test_nul_in_search_is_dropped(client: BlogClient) -> None:
    assert client.get("/blog/search?q=a%00b").status_code == 200


@pytest.mark.parametrize(
    "scope", [{"tag": "none"}, {"tag": "a" * 5000}, {"year": "x"}, {"year": "٢٠٢٠"}, {"year": "-1"}]
)
def test_unknown_tag_or_year_finds_nothing(
    client: BlogClient, make_entry: MakeEntry, scope: dict[str, str]
) -> None:
    make_entry("One", body="heron", tags=("birds",))

    assert found(client, "heron", **scope) == []


# The page


def test_search_form_without_query(client: BlogClient) -> None:
    page = client.get("/blog/search").text

    assert 'role="search"' in page
    assert 'role="status"' not in page


def test_search_canonical_is_the_form(client: BlogClient) -> None:
    page = client.get("/blog/search?q=a").text

    assert f'<link rel="canonical" href="{SITE_URL}/blog/search">' in page


def test_empty_result_is_explained(client: BlogClient) -> None:
    page = client.get("/blog/search?q=heron").text

    assert "No results." in page
    assert 'value="heron"' in page


def test_misspelt_word_gets_proposal(
    client: BlogClient, make_entry: MakeEntry, engine: Engine
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL cannot list the words of an index")
    make_entry("One", body="A grey heron stood.")
    make_entry("Later", body="A hermit.", timestamp=NOW + timedelta(days=1))

    page = client.get("/blog/search?q=grey+heroon").text
    assert '<a href="/blog/search?q=grey+heron">grey heron</a>' in page
    assert "Did you mean" not in client.get("/blog/search?q=hermitt").text
    assert "Did you mean" not in client.get("/blog/search?q=heron").text


def test_search_excerpt_is_marked_text(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("A <b> heron", body="Long ago. " * 100 + "See `<b>` & the *heron* there. " * 9)

    page = client.get("/blog/search?q=heron").text
    assert "A &lt;b&gt; <mark>heron</mark>" in page
    assert "&lt;b&gt; &amp; the <mark>heron</mark> there" in page
    assert "… Long ago" in page or "… ago" in page


def test_results_filter_by_tag_and_year(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    year = datetime(2020, 5, 5, tzinfo=UTC)
    make_entry("One", body="heron", tags=("birds",), timestamp=year)
    make_entry("Two", body="heron", tags=("birds", "ponds"))
    make_comment(make_entry("Three"), "heron", created=year)

    page = client.get("/blog/search?q=heron").text
    assert 'href="/blog/search?q=heron&amp;tag=birds"' in page
    assert 'href="/blog/search?q=heron&amp;year=2020"' in page
    assert found(client, "heron", tag="ponds") == ["Two"]
    assert sorted(found(client, "heron", year="2020")) == ["Anonymous on Three", "One"]
    assert found(client, "heron", year="2020", tag="birds") == ["One"]
    assert found(client, "year2020") == [], "a filter is not searched"


def test_results_are_paginated(client: BlogClient, make_entry: MakeEntry) -> None:
    for number in range(12):
        make_entry(f"Entry {number}", body="heron")

    first = found(client, "heron")
    second = found(client, "heron", page="2")
    assert (len(first), len(second)) == (10, 2)
    assert len({*first, *second}) == 12
    assert re.search('rel="next" href="[^"]*page=2', client.get("/blog/search?q=heron").text)
    assert client.get("/blog/search?q=heron&page=3").status_code == 404


def test_opensearch_description(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("One", body="heron")
    address = re.search(r'<link rel="search"[^>]* href="([^"]+)">', client.get("/blog").text)
    assert address
    response = client.get(address[1])
    assert response.mimetype == "application/opensearchdescription+xml"

    space = "{http://a9.com/-/spec/opensearch/1.1/}"
    url = ElementTree.fromstring(response.text).find(f"{space}Url")
    assert url is not None
    template = url.attrib["template"]
    assert template.startswith(SITE_URL)
    page = client.get(template.removeprefix(SITE_URL).replace("{searchTerms}", "heron"))
    assert "<mark>heron</mark>" in page.text
