"""Automatic paragraphs, as WordPress renders classic texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blog.importing.paragraphs import paragraphs


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("One\ntwo\n\nThree", "<p>One<br>\ntwo</p>\n<p>Three</p>"),
        ("One\n \t\n\n\nTwo", "<p>One</p>\n<p>Two</p>"),
        ("One<br />\ntwo", "<p>One<br>\ntwo</p>"),
        ("<p>One</p>\n\nTwo", "<p>One</p>\n<p>Two</p>"),
        ("<p>One\ntwo</p>", "<p>One<br>\ntwo</p>"),
        ("<p>One\n\ntwo</p>", "<p>One</p>\n<p>two</p>"),
        ("<h2>A\ntitle</h2>\nText", "<h2>A<br>\ntitle</h2>\n<p>Text</p>"),
        ("<ul>\n<li>a</li>\n<li>b\nc</li>\n</ul>", "<ul>\n<li>a</li>\n<li>b<br>\nc</li>\n</ul>"),
        ("<blockquote>Said.</blockquote>", "<blockquote>\n<p>Said.</p>\n</blockquote>"),
        ("<div>Loose</div>", "<div>Loose</div>"),
        ("<div>\n\na\n\nb</div>", "<div>\n<p>a</p>\n<p>b</p>\n</div>"),
        ("a\n\n<pre>\nx\n\ny</pre>\n\nb", "<p>a</p>\n<pre>\nx\n\ny</pre>\n<p>b</p>"),
        ("a\n<hr>\nb", "<p>a</p>\n<hr>\n<p>b</p>"),
        ("<p>never closed\n<p>second", "<p>never closed\n<p>second"),
        ("a <!--more-->\n\nb", "<p>a <!--more--></p>\n<p>b</p>"),
        ("a\n\n<!--more-->\n\nb", "<p>a</p>\n<!--more-->\n<p>b</p>"),
        ("<img\nsrc='x\n\ny'>\nz", "<p><img src='x  y'><br>\nz</p>"),
        ("<param>\n<p-x>\n", "<p><param><br>\n<p-x></p>"),
    ],
)
def test_line_breaks_become_paragraphs(text: str, html: str) -> None:
    assert paragraphs(text) == html


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["<a '", "<div></p>", "\n ", "<!--", "<pre>", "<p>\n\n", "<br ", "<td><", "<div>a\n\n"]
)
def test_hostile_paragraphs_are_linear(text: str) -> None:
    assert isinstance(paragraphs(text * 50_000), str)


@given(st.text(alphabet="ab<>/!-pbr'\" \n", max_size=60))
def test_paragraphs_lose_no_letter(text: str) -> None:
    letters = [c for c in text if c == "a"]
    assert [c for c in paragraphs(text) if c == "a"] == letters
