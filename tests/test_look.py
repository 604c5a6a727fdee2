"""The pages in a real browser: screen sizes, keyboard, print and dark mode."""

import gzip
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from lxml import html
from sqlalchemy import delete, select

from blog.application import Blog
from blog.database import begin_writing
from blog.entries.redirects import redirect_from
from blog.models import Entry, Redirect
from tests.conftest import BlogClient
from tests.pool.servers import waitress_threads

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

ENTRY = "/blog/two-visitors-and-one-key"
PAGES = [
    *("/blog", ENTRY, "/blog/archive", "/blog/2026", "/blog/tags", "/blog/tag/garden", "/about"),
    *("/blog/a-list-for-january", "/blog/questions-for-a-garden-diary", "/nowhere"),
    *("/blog/series/a-small-garden", "/blog/the-slow-post#fn1", "/blog/privacy"),
    *(f"{ENTRY}/reply/3", "/blog/search?q=the+key"),
]


@pytest.fixture(scope="module")
def site(demo_blog: Blog) -> Iterator[str]:
    with waitress_threads(demo_blog) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: "Browser", site: str) -> Iterator[Any]:
    """Return a function that opens a page in a browser with a given screen."""
    contexts = []

    def open_page(path: str, width: int = 1280, **options: Any) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.goto(site + path)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(visit: Any, path: str, width: int, scheme: str) -> None:
    page = visit(path, width, color_scheme=scheme, bypass_csp=True)

    assert axe.Axe().run(page).response["violations"] == []


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_overflows_viewport(visit: Any, path: str, width: int) -> None:
    assert visit(path, width).evaluate("document.documentElement.scrollWidth") <= width


def test_line_length_is_readable(visit: Any) -> None:
    measure = """
        [...document.querySelectorAll('.e-content > p')].flatMap(p => {
            const range = document.createRange(), lines = {}
            for (const node of p.childNodes) if (node.nodeType == 3)
                for (let i = 0; i < node.length; i++) {
                    range.setStart(node, i); range.setEnd(node, i + 1)
                    const top = Math.round(range.getBoundingClientRect().top)
                    lines[top] = (lines[top] || 0) + 1
                }
            return Object.values(lines).slice(0, -1)
        }).sort((a, b) => a - b)"""
    lengths = visit("/blog/the-slow-post").evaluate(measure)

    assert lengths
    assert 55 <= lengths[len(lengths) // 2] <= 75


def test_skip_link_is_first_stop(visit: Any) -> None:
    page = visit("/blog")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")

    assert focused.get_attribute("id") == "skip"
    assert focused.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_keyboard_focus_is_visible(visit: Any) -> None:
    page = visit(ENTRY)
    outlines = []
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement != document.body"):
        outlines.append(page.evaluate("getComputedStyle(document.activeElement).outlineStyle"))
        page.keyboard.press("Tab")

    assert len(outlines) > 20
    assert "none" not in outlines


@pytest.mark.parametrize("path", PAGES)
def test_page_loads_only_own_files(visit: Any, site: str, path: str) -> None:
    page = visit("/robots.txt")
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(site + path)

    assert {urlsplit(url).netloc for url in asked} == {urlsplit(site).netloc}
    assert len(asked) <= 3, "a page, its stylesheet, its icon"
    assert [text for text in said if "404" not in text] == []


def test_comment_form_works_without_script(visit: Any) -> None:
    page = visit("/blog/a-pencil-and-a-knife", java_script_enabled=False)
    page.fill("#comment-text", "A fine point.")
    page.fill("#comment-name", "Nib")
    page.click("#comment-form button")

    assert (
        page.locator("[role=status]").inner_text() == "Thank you. Your comment has been published."
    )
    comment = page.locator(".comment:target")
    assert "A fine point." in comment.inner_text()
    assert "Nib" in comment.inner_text()


def test_long_name_does_not_overflow(visit: Any) -> None:
    page = visit("/blog/a-pencil-and-a-knife", 320)
    page.fill("#comment-text", "w" * 200)
    page.fill("#comment-name", "W" * 80)
    page.click("text=Preview")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.click("text=Post comment")
    page.locator(".comment:target .reply a").click()
    page.fill("#comment-text", "An answer.")
    page.click("text=Post comment")

    assert "in reply to" in page.locator(".comment:target").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_form_errors_are_at_their_fields(visit: Any) -> None:
    page = visit("/blog/before-the-frost", java_script_enabled=False, bypass_csp=True)
    # A browser that checks `maxlength` and `required` would not submit it.
    page.locator("#comment-form").evaluate("form => form.noValidate = true")
    page.fill("#comment-name", "Kept")
    page.click("#comment-form button")

    field = page.locator("#comment-text")
    assert field.get_attribute("aria-invalid") == "true"
    described = field.get_attribute("aria-describedby").split()[0]
    assert "enter a comment" in page.locator(f"#{described}").inner_text()
    assert page.input_value("#comment-name") == "Kept"
    assert "Not posted yet" in page.title()


def test_old_page_is_readable_in_print(visit: Any) -> None:
    page = visit(ENTRY)
    page.emulate_media(media="print")

    assert not page.locator("nav").first.is_visible()
    for around in ("#comment-form", ".contents", ".onward", ".related"):
        assert page.locator(around).count() == 1
        assert not page.locator(around).is_visible()
    assert page.locator("h1").is_visible()


def test_print_is_light_in_dark_mode(visit: Any) -> None:
    page = visit(ENTRY, color_scheme="dark")
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [320, 1280])
def test_footnote_target_is_in_view(visit: Any, width: int) -> None:
    page = visit("/blog/the-slow-post", width, has_touch=True)
    mark = page.locator(".footnote-ref a").first
    mark.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    box = mark.bounding_box()
    assert min(box["width"], box["height"]) >= 24
    mark.tap()

    note = page.locator(".footnotes li").first
    assert page.evaluate("scrollY") == before
    assert note.bounding_box()["y"] + note.bounding_box()["height"] <= 900
    page.locator(".footnotes li:target .footnote-backref").tap()
    assert page.locator(".footnote-ref a:target").bounding_box()["y"] < 900
    assert page.locator(".footnotes li:target").count() == 0


def test_contents_links_reach_headings(visit: Any) -> None:
    page = visit(ENTRY, 390, java_script_enabled=False)
    page.click("summary")
    page.click(".contents li:last-child a")

    assert page.locator("h2:target").inner_text() == "What I like about it"


def test_entry_renames_back_and_forth(visit: Any, demo_blog: Blog) -> None:
    def rename(before: str, after: str) -> None:
        with demo_blog.sessions() as db:
            begin_writing(db)
            entry = db.scalars(select(Entry).where(Entry.slug == before)).one()
            entry.slug = after
            # As an author does: the old address redirects, the new one does not.
            db.execute(delete(Redirect).where(Redirect.path == f"/blog/{after}"))
            assert redirect_from(db, entry, f"/blog/{before}") is None
            db.commit()

    page = visit("/blog/before-the-frost")
    for slug in ("a", "b") * 2:
        before = urlsplit(page.url).path.rpartition("/")[2]
        rename(before, slug)
        page.goto(page.url)
        assert urlsplit(page.url).path == f"/blog/{slug}"
        assert page.locator("h1").inner_text() == "Before the frost"
    rename("b", "before-the-frost")
    for old in ("a", "b", "before-the-frost"):
        page.goto(f"{page.url.rpartition('/')[0]}/{old}")
        assert urlsplit(page.url).path == "/blog/before-the-frost"


@pytest.mark.parametrize("path", ["/blog", "/blog?page=2"])
def test_first_visit_fits_into_14_kb(demo_blog: Blog, path: str) -> None:
    client = BlogClient(demo_blog)
    page = client.get(path)
    (stylesheet,) = html.document_fromstring(page.text).xpath("//link[@rel='stylesheet']/@href")
    sent = gzip.compress(page.data, 9) + gzip.compress(client.get(stylesheet).data, 9)

    assert len(sent) < 14_000
