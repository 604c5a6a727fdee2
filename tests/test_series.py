"""Series: the order of parts, on the page of the series and on each part."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree, html
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from blog.entries.taxonomy import series_titled
from blog.models import Series
from tests.conftest import NOW, SITE_URL, BlogClient, MakeEntry
from tests.importing import import_all


@pytest.fixture
def series(db: Session) -> Series:
    made = series_titled(db, "Bread & butter")
    db.commit()
    return made


@pytest.fixture
def five(make_entry: MakeEntry, series: Series) -> None:
    """Three parts with a number, newest first, and two without, oldest first."""
    numbers = {"Flour": 1, "Water": 2, "Salt": 10, "Oven": None, "Crust": None}
    for age, (title, number) in enumerate(numbers.items()):
        make_entry(
            title,
            series_id=series.id,
            series_number=number,
            timestamp=NOW - timedelta(days=age + 1 if number else 30 - age),
        )


ORDER = ["Flour", "Water", "Salt", "Oven", "Crust"]


def parts(client: BlogClient) -> list[str]:
    page = html.document_fromstring(client.get("/blog/series/bread-butter").text)
    return [link.text for link in page.xpath("//ol[@class='parts']/li/a")]


def around(client: BlogClient, slug: str) -> dict[str, str]:
    """Return the linked parts on an entry's page by label, and its place in the series."""
    page = html.document_fromstring(client.get(f"/blog/{slug}").text)
    found = {
        row.text_content().split("\n")[0].replace(row.find("a").text, "").strip(): row.find(
            "a"
        ).text
        for row in page.xpath("//nav[@aria-label='Series']/p")
    }
    place = page.xpath("//article/header/p[@class='path']")
    return found | {"place": " ".join(place[0].text_content().split()) if place else ""}


@pytest.mark.usefixtures("five")
def test_numbered_parts_come_first(client: BlogClient) -> None:
    assert parts(client) == ORDER


@pytest.mark.usefixtures("five")
def test_part_links_to_neighbours(client: BlogClient) -> None:
    assert around(client, "flour") == {
        "place": "Part 1 of 5 in Bread & butter",
        "Next part": "Water",
    }
    assert around(client, "salt") == {
        "place": "Part 3 of 5 in Bread & butter",
        "Previous part": "Water",
        "Next part": "Oven",
    }
    assert around(client, "crust") == {
        "place": "Part 5 of 5 in Bread & butter",
        "Previous part": "Oven",
    }


@pytest.mark.usefixtures("five")
def test_hidden_parts_are_not_counted(
    client: BlogClient, make_entry: MakeEntry, series: Series
) -> None:
    hidden = {"series_id": series.id, "series_number": 0}
    make_entry("Draft", state="draft", **hidden)
    make_entry("Later", timestamp=NOW + timedelta(days=1), **hidden)
    make_entry("A page", kind="page", **hidden)

    assert parts(client) == ORDER
    assert around(client, "flour")["place"] == "Part 1 of 5 in Bread & butter"


def test_series_exists_with_visible_part(
    client: BlogClient, make_entry: MakeEntry, series: Series
) -> None:
    make_entry("Draft", state="draft", series_id=series.id)
    address = "/blog/series/bread-butter"

    assert client.get(address).status_code == 404
    assert client.get("/blog/series/none").status_code == 404
    assert SITE_URL + address not in client.get("/sitemap.xml").text
    make_entry("First", series_id=series.id)
    assert client.get(address).status_code == 200
    root = etree.fromstring(client.get("/sitemap.xml").data)
    assert SITE_URL + address in [loc.text for loc in root.iter("{*}loc")]


@pytest.mark.usefixtures("five")
def test_series_follows_shell_changes(client: BlogClient, engine: Engine) -> None:
    assert parts(client) == ORDER
    for change in (
        "UPDATE entry SET series_number = 11 WHERE title = 'Flour'",
        "UPDATE series SET title = 'Bread alone'",
        "UPDATE entry SET series_id = NULL WHERE title = 'Crust'",
    ):
        with engine.begin() as connection:
            connection.execute(text(change))

    assert parts(client) == ["Water", "Salt", "Flour", "Oven"]
    assert around(client, "flour")["place"] == "Part 3 of 4 in Bread alone"
    assert around(client, "crust") == {"place": ""}


@pytest.mark.usefixtures("five")
def test_entry_of_deleted_series_has_page(client: BlogClient, engine: Engine) -> None:
    with closing(sqlite3.connect(str(engine.url.database))) as connection:
        connection.execute("DELETE FROM series")
        connection.commit()

    assert around(client, "flour") == {"place": ""}


def test_series_titles_ignore_case(db: Session) -> None:
    first = series_titled(db, "Bread & Butter")

    assert series_titled(db, "bread &  butter") is first
    assert series_titled(db, "Bread, butter").slug == "bread-butter-2"
    assert series_titled(db, "?!").slug == "series"


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("series: Bread & butter\nseries_number: 2", ("Bread & butter", 2)),
        ("series: [Bread & butter, Other]\nweight: 2", ("Bread & butter", 2)),
        ("series: Bread & butter\npart: two", ("Bread & butter", None)),
        ("series: Bread & butter\npart: -1", ("Bread & butter", None)),
        ("weight: 2", None),
        ("series: Bread & butter\ntype: page", None),
    ],
)
def test_import_keeps_series(
    tmp_path: Path, engine: Engine, db: Session, front: str, expected: tuple[str, int] | None
) -> None:
    (tmp_path / "2020-01-02-a.md").write_text(f"---\n{front}\n---\nText.\n", encoding="utf-8")
    summary = import_all(tmp_path, engine)

    found = db.execute(
        text("SELECT series.title, series_number FROM entry JOIN series ON series.id = series_id")
    ).one_or_none()
    assert found == expected
    noted = "The field “weight” is not supported and was ignored." in summary.notes
    assert noted is (front == "weight: 2")


def test_part_leaves_series_with_source(tmp_path: Path, engine: Engine, client: BlogClient) -> None:
    for name in ("one", "two"):
        path = tmp_path / f"2020-01-02-{name}.md"
        path.write_text(f"---\nseries: Bread, butter\n---\n{name}\n", encoding="utf-8")
    import_all(tmp_path, engine)
    assert parts(client) == ["One", "Two"]
    path.write_text("Alone.\n", encoding="utf-8")
    import_all(tmp_path, engine)

    assert parts(client) == ["One"]
