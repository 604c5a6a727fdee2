"""Texts of authors and readers are rendered complete, valid and harmless."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import nh3
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blog.importing.front_matter import split
from blog.markup import Format, absolute_links, plain, render, render_comment, render_summary


class Tags(HTMLParser):
    """All start tags of a page, read by a parser independent of the project."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.found if name in attributes]


def markdown(text: str) -> str:
    return str(render(text, "markdown").html)


def html(text: str) -> str:
    return str(render(text, "html").html)


def ids(page: str) -> list[str]:
    return Tags(page).attributes("id")


# Markdown --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("*a* **b** `c`", "<em>a</em> <strong>b</strong> <code>c</code>"),
        ("~~gone~~", "<s>gone</s>"),
        ('"Hi" -- it\'s...', "“Hi” – it’s…"),
        ("[a](/b 'c')", '<a href="/b" title="c">a</a>'),
        ("<https://example.org>", '<a href="https://example.org">https://example.org</a>'),
        ("H<sub>2</sub>O", "H<sub>2</sub>O"),
        ("    code <b>", "<code>code &lt;b&gt;\n</code>"),
        ("3. three", '<ol start="3">'),
        ("|a|b|\n|-|-:|\n|1|2|", '<td class="align-right">2</td>'),
    ],
)
def test_markdown_rendering(text: str, part: str) -> None:
    assert part in markdown(text)


def test_code_is_highlighted_by_class() -> None:
    assert markdown("```python\ndef f(): pass  # no\n```") == (
        '<pre tabindex="0"><code class="language-python"><span class="k">def</span> '
        '<span class="nf">f</span>(): <span class="k">pass</span>  <span class="c"># no</span>\n'
        "</code></pre>\n"
    )


@pytest.mark.parametrize("language", ["", "nonesuch", "../../etc"])
def test_unknown_language_is_plain(language: str) -> None:
    page = markdown(f"```{language}\nif a < b: 'c'\n```")
    assert plain(page) == "if a < b: 'c'"
    assert "<span" not in page


@pytest.mark.timeout(60)
@pytest.mark.parametrize("code", ["x = 1\n" * 20_000, "'" * 90_000, " \n" * 40_000, "a<" * 400])
def test_slow_code_is_not_highlighted(code: str) -> None:
    page = str(render(f"~~~python\n{code}\n~~~", "markdown").html)

    assert plain(page).replace(" ", "") == "".join(code.split())


def test_task_boxes_are_disabled_and_named() -> None:
    boxes = [found for found in Tags(markdown("- [ ] to do\n- [x] done")).found if "input" in found]
    assert [("checked" in attributes) for _, attributes in boxes] == [False, True]
    for _, attributes in boxes:
        assert attributes["type"] == "checkbox"
        assert attributes["aria-label"]
        assert "disabled" in attributes


def test_deep_brackets_are_text() -> None:
    assert "[" * 40 in markdown("[" * 40)
    assert markdown("[" * 5 + "a](b)" + "]" * 4).count("<a ") == 1


def test_comment_has_no_extensions() -> None:
    typed = "|a|b|\n|-|-|\n|c|d|\n\nx[^1] ^[y]\n\n- [x] z\n\n[^1]: two words"

    comment = render_comment(typed, "markdown")
    for part in ("|c|d|", "x[^1] ^[y]", "[x] z", "[^1]: two words"):
        assert part in comment


@pytest.mark.parametrize("tag", ["ul><li", "div", "blockquote", "dl><dt"])
def test_element_depth_is_limited(tag: str) -> None:
    page = html(f"<{tag}>" * 600 + "The end")
    name = tag.partition(">")[0]

    assert page.count(f"<{name}>") == 512
    assert f"&lt;{name}&gt;" in page
    assert "The end" in page


@pytest.mark.parametrize(
    "text",
    [
        "<p>a" * 600,
        "<ul><li>a<li>b</ul>" * 600,
        "<table><tr><td>a<td><b>b</b></table>" * 600,
        "<div><span>a</div>" * 600,
        "<p><b><i>a</b></i></p>" * 600,
        "<img src='a.png'><br>" * 600,
    ],
)
def test_long_text_is_not_deep(text: str) -> None:
    assert "&lt;" not in html(text)


def test_footnote_links_both_ways() -> None:
    page = markdown("A[^x] and again[^x].\n\n[^x]: The note.")
    links = [link[1:] for link in Tags(page).attributes("href")]
    assert set(links) == set(ids(page)) == {"fn1", "fnref1", "fnref1:1"}
    assert 'aria-label="Back to reference 1"' in page
    assert render("A[^x] text.\n\n[^x]: The note.", "markdown").excerpt == "A text."


def test_deep_lists_lose_nothing() -> None:
    page = markdown("\n".join(f"{'  ' * depth}- level {depth}" for depth in range(40)))
    assert "level 39" in page


# Headings, ids and links -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("# a\n## b\n### c", "h2 h3 h4"),
        ("## a\n### b\n## c", "h2 h3 h2"),
        ("#### a\n#### b", "h2 h2"),
        ("## a\n##### b\n### c", "h2 h3 h3"),
        ("# 1\n## 2\n### 3\n#### 4\n##### 5\n###### 6", "h2 h3 h4 h5 h6 h6"),
    ],
)
def test_headings_start_below_title(written: str, shown: str) -> None:
    found = [tag for tag, _ in Tags(markdown(written)).found]
    assert found == shown.split()


def test_empty_heading_is_dropped() -> None:
    assert "<h" not in html("<h2> </h2><h3></h3>text")


def test_headings_have_anchors() -> None:
    text = "# Crème & *brûlée*\n# 你好\n# Again\n# Again\n# !?"
    assert ids(markdown(text)) == ["creme-brulee", "你好", "again", "again-2", "section"]


@pytest.mark.parametrize(
    "name", ["content", "comments", "skip", "comment-12", "comment-form", "tl-x"]
)
def test_id_of_page_is_not_taken(name: str) -> None:
    page = html(f'<p id="{name}">a</p><a href="#{name}">b</a>')
    assert ids(page) == [f"user-{name}"]
    assert f'href="#user-{name}"' in page


def test_heading_named_comments_is_linked() -> None:
    page = markdown("[down](#comments)\n\n# Comments\n\n# Comment\n\n# Comment")
    assert ids(page) == ["user-comments", "comment", "user-comment-2"]
    assert 'href="#user-comments"' in page


def test_ids_are_unique() -> None:
    assert ids(html('<p id="a">1</p><p id="a">2</p><h2>A</h2><i id=" b c ">3</i>')) == [
        "a",
        "a-2",
        "a-3",
        "b-c",
    ]


def test_old_anchor_still_works() -> None:
    assert html('<a name="there">x</a>') == '<a id="there">x</a>'


def test_urls_become_absolute() -> None:
    page = html(
        '<a href="#a">1</a><a href="b">2</a><a href="/c?d=1&amp;e=2">3</a>'
        '<a href="mailto:x@y">4</a><img src="//cdn/f" srcset="g.jpg 1x, /h.jpg 2x"><a href="https://i/j">5</a>'
    )
    tags = Tags(absolute_links(page, "https://blog.example/blog/post"))
    assert tags.attributes("href") == [
        "https://blog.example/blog/post#a",
        "https://blog.example/blog/b",
        "https://blog.example/c?d=1&e=2",
        "mailto:x@y",
        "https://i/j",
    ]
    assert tags.attributes("src") == ["https://cdn/f"]
    assert tags.attributes("srcset") == [
        "https://blog.example/blog/g.jpg 1x, https://blog.example/h.jpg 2x"
    ]


def test_invalid_url_does_not_stop_feed() -> None:
    assert "[x" in absolute_links('<a href="//[x">a</a>', "https://blog.example/")


# Cleaning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<center><font color=red>a</font></center>", "<div>a</div>"),
        ("<section>a</section><aside>b</aside>", "<div>a</div><div>b</div>"),
        (
            "<tt>a</tt><strike>b</strike><acronym>c</acronym>",
            "<code>a</code><s>b</s><abbr>c</abbr>",
        ),
        ('<p align="center" style="color:red" onclick="x()">a</p>', "<p>a</p>"),
        ('<p class="h-entry align-left u-url">a</p>', '<p class="align-left">a</p>'),
        ('<a href="/x" rel="me" target="_blank" class="u-url">a</a>', '<a href="/x">a</a>'),
        ('<a href="/a b|c">a</a>', '<a href="/a%20b%7Cc">a</a>'),
        ("<form><p>a</p><input name=q><button>b</button></form>", "<p>a</p>b"),
        ("a<script>b</script><style>c</style>", "a"),
        ("<li>a</li><figcaption>b</figcaption>", "<div>a</div><div>b</div>"),
        ("<ul><ul><li>a</li></ul></ul>", "<ul><li><ul><li>a</li></ul></li></ul>"),
        ("<p>a</p><p></p>", "<p>a</p>"),
        ('<td>a</td><img alt="a cat">', "aa cat"),
        ('<time datetime="x">May</time>', "May"),
    ],
)
def test_html_is_reduced_to_valid(written: str, shown: str) -> None:
    assert html(written) == shown


def test_image_is_lazy_and_has_alt() -> None:
    picture = html('<img src="a.png" width="50%" height="40" border="0">')
    assert picture == '<img alt="" decoding="async" height="40" loading="lazy" src="a.png">'


def test_linked_image_without_alt_is_named() -> None:
    assert 'aria-label="my cat.jpg"' in html('<a href="/m/my%20cat.jpg"><img src="s.jpg"></a>')


def test_table_scrolls_without_empty_header() -> None:
    page = markdown("| |b|\n|-|-|\n|1|2|")
    assert page.startswith(
        '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>'
    )
    assert page.rstrip().endswith("</table></div>")
    assert "<td></td>\n<th>b</th>" in page


@pytest.mark.parametrize("tag", ["iframe", "embed", "IFRAME"])
def test_embedded_video_becomes_link(tag: str) -> None:
    page = html(f'<{tag} width="5" src="//video.example/e?a=1&amp;b=2"></{tag}>')
    target = "https://video.example/e?a=1&amp;b=2"
    assert page == f'<p><a href="{target}">{target}</a></p>'


def test_embedded_script_is_not_a_link() -> None:
    assert html('a<iframe src="javascript:alert(1)">b</iframe><iframe srcdoc="c">') == (
        'ab&lt;iframe srcdoc="c"&gt;'
    )


def test_forbidden_characters_are_dropped() -> None:
    assert html("a\x00b\x07c\ud800d&#1;e\ufffff") == "abcdef"
    assert render_comment("a\x00b\ud800", "text") == "<p>ab</p>"


# Excerpts and lengths --------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["<!-- more -->", "<!--more-->", "<!--more Go on-->"])
def test_excerpt_ends_at_marker(marker: str) -> None:
    rendered = render(f"# Title\n\nOne *two*.\n\n{marker}\n\nThree.", "markdown")
    assert rendered.excerpt == "One two."
    assert plain(rendered.html) == "Title One two. Three."


def test_excerpt_is_beginning() -> None:
    text = "# Title\n\n" + "```\ncode\n```\n\n" + "word & " * 60 + "\n\nMore."
    excerpt = render(text, "markdown").excerpt
    assert excerpt.startswith("word & word")
    assert excerpt.endswith(("word…", "&…"))
    assert 240 < len(excerpt) <= 281


def test_excerpt_of_chinese_has_same_length() -> None:
    assert len(render("第一 " + "文" * 400, "markdown").excerpt) == 281


def test_excerpt_without_paragraphs() -> None:
    assert render("<div>One<br>two</div>", "html").excerpt == "One two"
    assert render("", "html").excerpt == ""


@pytest.mark.parametrize(
    ("text", "minutes"), [("", 1), ("word " * 230, 1), ("word " * 1150, 5), ("文" * 1500, 3)]
)
def test_reading_time_is_in_minutes(text: str, minutes: int) -> None:
    assert render(text, "markdown").minutes == minutes


def test_plain_text_separates_words() -> None:
    assert (
        plain("<h2>A</h2><p>b<b>c</b><br>d &lt;&amp; e</p><ul><li>f</li></ul>") == "A bc d <& e f"
    )


# Summaries and comments ------------------------------------------------------------------


def test_summary_is_inline_markdown() -> None:
    assert (
        render_summary("It's *so* [good](/x)\n# no <div>heading</div> <img src=x>")
        == 'It’s <em>so</em> <a href="/x">good</a>\n# no heading &lt;img src=x&gt;'
    )


def test_text_comment_is_escaped() -> None:
    assert (
        render_comment("1 < 2 & <b>\r\nnext\n \n\n*new*", "text")
        == "<p>1 &lt; 2 &amp; &lt;b&gt;<br>\nnext</p>\n<p>*new*</p>"
    )


def test_imported_comment_keeps_basic_html() -> None:
    assert render_comment('<b>a</b>\nb\n\n<a href="http://x" rel="me">c</a>', "html") == (
        '<p><b>a</b><br>\nb</p>\n<p><a href="http://x" rel="ugc nofollow noopener">c</a></p>'
    )
    assert render_comment('<h1 id="x" class="k">a</h1><img src="b"><p>c</p>', "html") == "a<p>c</p>"


# Hostile input ---------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(60)
@pytest.mark.parametrize("language", ["markdown", "html"])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "![[]()" * 8_000,
        "[a](" * 20_000,
        ">" * 5_000,
        "> " * 5_000,
        "- " * 5_000,
        "^[" * 5_000,
        "*a_" * 10_000,
        "# a\n" * 5_000,
        "<" * 50_000,
        "<a " * 20_000,
        "<!--" * 20_000,
        "<!-- more" * 10_000,
        "<iframe src=" * 10_000,
        "<div>" * 5_000,
        "<ul><li>" * 5_000,
        "<table><tr><th>" * 3_000,
        "<h1><div>" * 3_000,
        '<p id="a">' * 10_000,
        "".join(f"<b title={n}><p>" for n in range(5_000)),
        "".join(f"<b\0 title={n}><p>" for n in range(5_000)),
        f"<img src=a srcset='{'a,' * 40_000}'>",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_markup_is_harmless(text: str, language: Format) -> None:
    page = str(render(text, language).html)

    assert len(page) < 30 * len(text)
    assert_harmless(page)


VECTORS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    '<img src="javascript:alert(1)">',
    "<img src=`javascript:alert(1)`>",
    '<img """><script>alert(1)</script>">',
    '<img srcset="javascript:alert(1) 1x, data:text/html,x 2x" src="a">',
    "<svg onload=alert(1)>",
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<math><mtext><table><mglyph><style><!--</style>"
    "<img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<iframe src='https://a.example/\"onload=alert(1)//'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='JaVaScRiPt:alert(1)'>x</a>",
    "<a href='java&#x09;script:alert(1)'>x</a>",
    "<a href='java&#1;script:alert(1)'>x</a>",
    "<a href='&#1;javascript:alert(1)'>x</a>",
    "<a href='vbscript:x'>x</a><a href='data:text/html,<script>alert(1)</script>'>y</a>",
    "[x](javascript:alert(1)) [y](<java\nscript:alert(1)>) ![z](data:text/html,x)",
    "[x](&#x6A;avascript:alert(1))",
    "<javascript:alert(1)>",
    '[x](http://a "onclick=alert(1)")',
    '![x](a"onerror=alert(1))',
    '```"onmouseover=alert(1)\nx\n```',
    "<form action='javascript:alert(1)'><button formaction='javascript:alert(1)'>x</button></form>",
    "<object data='javascript:alert(1)'></object><embed src='javascript:alert(1)'>",
    "<base href='https://evil.example/'><meta http-equiv=refresh content='0;url=javascript:x'>",
    "<link rel=stylesheet href='//evil.example'><style>@import '//evil.example';</style>",
    "<p style='background:url(javascript:alert(1))' onclick=alert(1)>x</p>",
    "<video poster='javascript:alert(1)' src='javascript:alert(1)' autoplay onplay=alert(1)>",
    "<input type=image src=x onerror=alert(1)><input type=checkbox onfocus=alert(1) autofocus>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<xmp><img src=x onerror=alert(1)></xmp><plaintext><script>alert(1)</script>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?php echo '<script>' ?><!DOCTYPE x [<!ENTITY y '<script>'>]>",
]

SCHEMES = {"", "http", "https", "mailto", "tel"}
KEPT_TAGS = set(
    """a abbr audio b blockquote br caption cite code col colgroup dd del details dfn div dl dt em
    figcaption figure h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p picture pre q rp rt ruby s
    samp small source span strong sub summary sup table tbody td tfoot th thead tr track u ul var
    video wbr""".split()  # noqa: SIM905 - read more easily
)
KEPT_ATTRIBUTES = set(
    """alt aria-label checked class colspan controls decoding default dir disabled height href id
    kind label lang loading loop media muted open poster preload rel reversed role rowspan scope
    sizes span src srclang srcset start tabindex title type value width""".split()  # noqa: SIM905
)


def assert_harmless(page: str) -> None:
    tags = Tags(page)
    assert {tag for tag, _ in tags.found} <= KEPT_TAGS
    assert {name for _, attributes in tags.found for name in attributes} <= KEPT_ATTRIBUTES
    assert {urlsplit(address).scheme for address in addresses(tags)} <= SCHEMES
    assert not set(ids(page)) & {"content", "comments", "skip", "comment-form"}
    assert len(ids(page)) == len(set(ids(page)))


def addresses(tags: Tags) -> Iterator[str]:
    for name in ("href", "src", "poster"):
        for address in tags.attributes(name):
            # urlsplit rejects addresses with unmatched brackets; only the scheme is needed.
            yield re.sub(r"[\[\]]", "", address)
    for srcset in tags.attributes("srcset"):
        yield from (candidate.split()[0] for candidate in srcset.split(", "))


REWRITER = nh3.Cleaner(
    tags=KEPT_TAGS,
    attributes={"*": KEPT_ATTRIBUTES},
    link_rel=None,
    url_schemes=SCHEMES - {""},
)


def assert_settled(page: str) -> None:
    """Assert that parsing and serialising the page changes nothing."""
    assert REWRITER.clean(page) == page


@pytest.mark.parametrize("text", VECTORS)
def test_no_script_survives(text: str) -> None:
    everywhere = f"{text}\n\n> {text}\n\n* {text}\n\n<p>{text}</p>\n\na {text} b"
    pages = [
        markdown(text),
        markdown(everywhere),
        html(text),
        html(everywhere),
        render_summary(text),
        render_comment(text, "html"),
        render_comment(text, "text"),
    ]
    for page in map(str, pages):
        assert_harmless(page)
        assert_settled(page)
        assert_harmless(absolute_links(page, "https://blog.example/"))


words = st.sampled_from(
    """<p> </p> <div> </div> <b> </b> <a href=x> </a> <table> <td> </table> <ul> <li> </ul> <pre>
    <h1> </h1> <h3> <svg> <math> <script> </script> <style> <!-- --> <![CDATA[ ]]> <iframe src=//x>
    <img> <img/src=x> <input> <input/type=checkbox> <form> <select> <dt> <dd> <button> <object>
    <xmp> <section> <menu> <font/color=1> &lt; &#1; &nbsp; [a](b) ![ ](c) ** ~~ ` ``` | |- # - >
    [^1] [^1]: ^[x] [x] "x" ' \\ \n \n\n""".split(" ")  # noqa: SIM905
)
soup = st.lists(words | st.text(max_size=8), max_size=25).map("".join)


@given(st.text() | soup)
@example("\ud800\ufffe\x00")
@example("<pre>\n\n\nx")
@example("<p><button><p>a</button></p>")
def test_any_markup_renders_harmless(text: str) -> None:
    for page in (markdown(text), html(text), str(render_comment(text, "html"))):
        assert_harmless(page)
        assert_settled(page)
    assert "<" not in re.sub(r"</?p>|<br>", "", render_comment(text, "text"))
    assert not re.search(r"</?(?:p|div|h\d|ul|table|pre)\b", render_summary(text))


@pytest.mark.samples
def test_real_posts_render(samples: Path) -> None:
    paths = sorted((samples / "18f-posts").glob("*.md"))
    posts = [split(path.read_text(encoding="utf-8")) for path in paths]
    for post in (render(post.body, "markdown") for post in posts):
        assert post.excerpt
        assert_harmless(post.html)
        assert_settled(post.html)


# Attributes, and extensions of other Markdown dialects


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("## Head {#my-id}", '<h2 id="my-id">Head</h2>'),
        ("## A *b* `c` {#v1.2 .x}", '<h2 id="v1.2">A <em>b</em> <code>c</code></h2>'),
        ("## Head {: #k .x data-a='b c'}", '<h2 id="k">Head</h2>'),
        ("Head {#s}\n====", '<h2 id="s">Head</h2>'),
        ("## Head\n{: #t}", '<h2 id="t">Head</h2>'),
        ("text\n{: .x #y}", '<p id="y">text</p>'),
        ("{: .lead}\ntext", "<p>text</p>"),
        ("- a\n\n{: #list}\n\nb", '<ul id="list">\n<li>a</li>\n</ul>\n<p>b</p>'),
        ('[a](/b){:target="_blank" rel="x"} c', '<p><a href="/b">a</a> c</p>'),
        ("*a*{: .x} `b`{:.y}{: .z}", "<p><em>a</em> <code>b</code>{: .z}</p>"),
    ],
)
def test_attributes_are_applied(written: str, shown: str) -> None:
    assert markdown(written).strip() == shown


@pytest.mark.parametrize(
    "written", ["Set {a} and {b}", "x {: y}", "{:toc}", "a {#b}", "{% x %}", "{: .a b}"]
)
def test_other_braces_are_text(written: str) -> None:
    assert plain(markdown(written)) == written
    assert plain(markdown(f"## {written}.")) == f"{written}."


def test_link_reaches_heading_with_id() -> None:
    page = markdown("[down](#my-id)\n\n## Head {#my-id}\n\n## My id")
    assert ids(page) == ["my-id", "my-id-2"]
    assert 'href="#my-id"' in page


def test_long_heading_has_whole_id() -> None:
    words = [f"word{number}" for number in range(30)]
    assert ids(markdown(f"## {' '.join(words)}")) == ["-".join(words)]


def test_definition_lists() -> None:
    assert markdown("Term\n: One\n: Two *x*") == (
        "<dl>\n<dt>Term</dt>\n<dd>One</dd>\n<dd>Two <em>x</em></dd>\n</dl>\n"
    )


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("H~2~O", "H<sub>2</sub>O"),
        ("x^2^ + (a)^n+1^", "x<sup>2</sup> + (a)<sup>n+1</sup>"),
        ("~~gone~~ ~/a~b ~5-~7 x^2", "<s>gone</s> ~/a~b ~5-~7 x^2"),
        ("a^[note] b^", "a^[note] b^"),
    ],
)
def test_superscript_and_subscript(written: str, shown: str) -> None:
    assert render_summary(written) == shown
    assert render_comment(written, "markdown") == f"<p>{shown}</p>\n"
    assert "note" in written or markdown(written) == f"<p>{shown}</p>\n"


def test_video_url_is_link() -> None:
    film = "https://www.youtube.com/watch?v=a-b_c"
    assert markdown(f"One.\n\n{film}\n\nTwo.") == (
        f'<p>One.</p>\n<p><a href="{film}">{film}</a></p>\n<p>Two.</p>\n'
    )
