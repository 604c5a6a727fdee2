"""Hidden content changes no page, and its existence cannot be inferred."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from blog.models import Comment, Redirect, Series, Tag
from tests.conftest import NOW, BlogClient, MakeEntry, form_token
from tests.test_layers import MODULES

#: A year without other entries.
LONG_AGO = NOW.replace(year=1999)
NEXT_YEAR = NOW + timedelta(days=400)


def addresses() -> Iterator[str]:
    """Addresses of the hidden content, and of pages that could show it."""
    for tag in ("secret", "tea", "none"):
        yield f"/blog/tag/{tag}"
        yield f"/blog/tag/{tag}?page=2"
        yield from (f"/blog/tag/{tag}/feed.{kind}" for kind in ("atom", "rss", "json"))
        yield f"/blog/search?tag={tag}"
        yield from (f"/blog/search?tag={tag}&q={word}" for word in ("hidden", "heron", "herom"))
        yield f"/blog/search?tag={tag}&year=1999&q=hidden"
    for slug in ("hidden", "seen", "none"):
        yield f"/blog/{slug}"
        yield f"/{slug}"
        yield f"/Blog/{slug.upper()}/"
        yield f"/blog/{slug}/feed.atom"
        yield f"/blog/{slug}/reply/1"
        yield f"/blog/{slug}/comments/2.x"
        yield f"/blog/series/{slug}"
        yield f"/old/{slug}/"
        yield f"/?p={slug}"
    for year in (1999, 1998, NEXT_YEAR.year):
        yield f"/blog/{year}"
        yield f"/blog/{year}?page=2"
        yield f"/blog/{year}/{NOW:%m}"
        yield f"/blog/search?year={year}&q=heron"
    # A word found only in the hidden text, similar words, and a prefix of it.
    for words in (
        "osprey",
        "osprei",
        "ospre",
        "heron",
        "herom",
        "heronry",
        "heronri",
        "seen osprei",
    ):
        yield f"/blog/search?q={words}"
    yield from ("/blog", "/blog?page=2", "/blog/archive", "/blog/tags", "/blog/search")
    yield from ("/blog/feed.atom", "/blog/feed.rss", "/blog/feed.json")
    yield from ("/sitemap.xml", "/sitemap-2.xml")


HIDDEN: dict[str, dict[str, Any]] = {
    "a draft": {"state": "draft", "timestamp": LONG_AGO},
    "a draft of the future": {"state": "draft", "timestamp": NEXT_YEAR},
    "a scheduled entry": {"timestamp": NEXT_YEAR},
    "a page to come": {"kind": "page", "timestamp": NEXT_YEAR},
    "a draft of a page": {"kind": "page", "state": "draft", "timestamp": LONG_AGO},
}


@pytest.mark.parametrize("what", HIDDEN)
def test_hidden_content_changes_no_page(
    client: BlogClient,
    db: Session,
    make_entry: MakeEntry,
    make_comment: Callable[..., Comment],
    what: str,
) -> None:
    series = Series(title="Seen series", slug="seen")
    db.add(series)
    db.commit()
    seen = make_entry("Seen", body="A heron.", tags=("tea",), series_id=series.id)
    make_comment(seen, "Thank you.")

    token = form_token(client.get("/blog/seen").text)

    def pages() -> dict[str, tuple[int, str, str | None]]:
        answers = {path: client.get(path) for path in addresses()}
        for slug in ("hidden", "none"):
            sent = {"csrf_token": token, "text": "Hello", "parent": "1"}
            answers[f"POST {slug}"] = client.post(f"/blog/{slug}/comments", data=sent)
        return {
            path: (answer.status_code, answer.text, answer.headers.get("Location"))
            for path, answer in answers.items()
        }

    before = pages()
    hidden_series = Series(title="Hidden series", slug="hidden")
    db.add_all([hidden_series, Tag(name="Secret plans", slug="secret")])
    db.commit()
    hidden = make_entry(
        "Hidden",
        body="Hidden osprey, herom, heronri.",
        tags=("secret", "tea"),
        series_id=hidden_series.id,
        featured=True,
        **HIDDEN[what],
    )
    make_entry("Hidden part", slug="none", tags=("none",), series_id=series.id, **HIDDEN[what])
    make_comment(hidden, "A comment on what is hidden: osprey.")
    make_comment(seen, "Held: osprey.", state="held")
    db.add_all(Redirect(path=path, entry_id=hidden.id) for path in ("/old/hidden", "/?p=hidden"))
    db.commit()
    after = pages()

    assert {path for path in before if before[path] != after[path]} == set()


def test_visibility_is_defined_once() -> None:
    written = re.compile(
        r"\bstate\b\W{1,3}=\W{1,3}published|\btimestamp (<=|>) [:_]?now", re.IGNORECASE
    )
    owners = {"blog.models.entry", "blog.models.comment", "blog.models.tag"}
    exempt = (
        "blog.importing",
        "blog.database.migrations",
        "blog.views.comments",
    )  # foreign files; acts

    copies = [
        f"{path}:{source[: match.start()].count(chr(10)) + 1}"
        for module, path in MODULES.items()
        if module.startswith("blog") and not module.startswith(exempt) and module not in owners
        for source in [path.read_text(encoding="utf-8")]
        for match in written.finditer(source)
    ]
    assert copies == []
