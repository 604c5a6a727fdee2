"""Attacks in every kind of text, in a browser without the Content-Security-Policy."""

import shutil
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import pytest

from blog.markup import render, render_comment, render_summary
from blog.markup.titles import title_html
from tests.test_markup import VECTORS

if TYPE_CHECKING:
    from playwright.sync_api import Page

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

RUN = "alert(1)"
SCRIPT = f"<script>{RUN}</script>"
IMAGE = f"<img src=x onerror={RUN}>"
EVENTS = ["onload", "onerror", "onclick", "onfocus", "onmouseover", "ontoggle", "onanimationstart"]
HOLDERS = """a audio b body button details div form iframe img input isindex li marquee math object
p select span style svg table td textarea title video""".split()  # noqa: SIM905
RAW = """iframe noembed noframes noscript plaintext script style svg template textarea title
xmp""".split()  # noqa: SIM905
OPENERS = ["<!--", "<!", "<?", "<![CDATA[", "</", "<x ", "<b title='", '<b title="', "<p a=`"]
URLS = ["javascript:{}", "JaVa&#x09;Script:{}", " &#1;javascript:{}", "java\nscript:{}"]
URLS += ["data:text/html,<script>{}</script>", "vbscript:{}", "&#106avascript:{}"]


def attacks() -> Iterator[str]:
    yield from VECTORS
    for holder in HOLDERS:
        for event in EVENTS:
            yield f"<{holder} {event}={RUN} src=x autofocus open tabindex=0>x</{holder}>"
            yield f"<{holder}/{event}='{RUN}'/src=x>"
    for name in RAW:
        for inner in (SCRIPT, IMAGE):
            yield f"<{name}>{inner}</{name}>"
            yield f"<{name}><{name}></{name}>{inner}"
            yield f"<b><{name}><b title='</{name}>{inner}'></{name}>"
            yield f"<svg></p><{name}><a title='</{name}>{inner}'>"
            yield f"<math><mtext><table><mglyph><{name}><!--</{name}>{inner}--></math>"
    for opener in OPENERS:
        for inner in (SCRIPT, IMAGE):
            yield opener + inner
            yield f"{opener}>{inner}"
            yield f"{opener}-->{inner}' \">"
            yield f"<div {opener}{inner}>\n\n{inner}"
    for url in URLS:
        address = url.format(RUN)
        yield f"[x]({address}) [y](<{address}>) ![z]({address})\n\n[r]: {address}\n\n[r]"
        yield f"<{address}> <a href='{address}'>x</a> <iframe src='{address}'></iframe>"
        yield f'<a href="{address}">x</a><embed src="{address}"><form action="{address}">'
        yield f"## x {{#a onclick={RUN}}}\n\n[a](/b){{: href='{address}' onclick={RUN}}}"
    yield f"https://a.example/\"onmouseover={RUN}// www.a.example/'onclick={RUN} https://x.example/<b>"
    yield f"x~onclick={RUN}~ 'n' <a title=\"'n'\" -- \"...\" onclick={RUN}>x</a>"


def documents(attack: str) -> str:
    """Return a page with an attack in each kind of text and place."""
    texts = [attack, f"a {attack} b\n\n> {attack}\n\n* {attack}\n\n<p>{attack}</p>\n\n{attack}"]
    pages = [title_html(attack)]
    for text in texts:
        pages += [
            render(text, "markdown").html,
            render(text, "html").html,
            render_comment(text, "markdown"),
            render_comment(text, "html"),
            render_summary(text),
        ]
    return "".join(f"<div>{page}</div>" for page in map(str, pages))


@pytest.fixture(scope="module")
def page() -> Iterator["Page"]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        context = browser.new_context(offline=True)
        context.add_init_script(
            "top.ran = top.ran || []; alert = () => top.ran.push(document.title)"
        )
        yield context.new_page()
        browser.close()


def opened(page: "Page", documents: list[str]) -> tuple[list[str], list[str]]:
    """Open documents side by side; return those that ran, and those that could by a click."""
    frames = (
        f'<iframe srcdoc="{escape(f"<!doctype html><title>{number}</title>{document}")}"></iframe>'
        for number, document in enumerate(documents)
    )
    page.goto("about:blank")
    page.set_content("".join(frames), wait_until="load")
    page.wait_for_timeout(100)
    dangerous = page.evaluate(
        """[...document.querySelectorAll("iframe")].map(frame =>
            [...frame.contentDocument.querySelectorAll("body *")].filter(element =>
                element.matches("script, style, iframe, object, embed, form, svg, math, base, meta")
                || [...element.attributes].some(each => each.name.startsWith("on")
                || /^\\s*(javascript|vbscript|data):/i.test(element[each.name])))
            .map(element => element.outerHTML)).flat()"""
    )
    return page.evaluate("top.ran"), dangerous


def test_unfiltered_attack_is_noticed(page: "Page") -> None:
    ran, dangerous = opened(page, [IMAGE, f"<p onclick={RUN}>x", f"<a href='javascript:{RUN}'>x"])

    assert ran == ["0"]
    assert len(dangerous) == 3


@pytest.mark.timeout(120)
def test_filtered_attack_does_not_run(page: "Page") -> None:
    every = list(dict.fromkeys(attacks()))
    assert len(every) > 500
    groups = [every[start : start + 10] for start in range(0, len(every), 10)]
    ran, dangerous = opened(page, ["".join(map(documents, group)) for group in groups])

    assert [groups[int(number)] for number in ran] == []
    assert dangerous == []
