"""Every typed word is shown on the page, also in angle brackets."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blog.markup import render, render_comment, render_summary
from blog.markup.sanitising import PHRASES
from blog.models import Entry
from tests.conftest import BlogClient, MakeEntry

HTML = """a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big
blink blockquote body br button canvas caption center cite code col colgroup data datalist dd del
details dfn dialog dir div dl dt em embed fieldset figcaption figure font footer form frame frameset
h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe image img input ins isindex kbd keygen label
legend li link listing main map mark marquee menu menuitem meta meter multicol nav nextid nobr
noembed noframes noscript object ol optgroup option output p param picture plaintext pre progress q
rb rp rt rtc ruby s samp script search section select selectedcontent slot small source spacer span
strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title
tr track tt u ul var video wbr xmp"""
SVG = """a animate animateMotion animateTransform circle clipPath defs desc ellipse feBlend
feColorMatrix feComponentTransfer feComposite feConvolveMatrix feDiffuseLighting feDisplacementMap
feDistantLight feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR feGaussianBlur feImage feMerge
feMergeNode feMorphology feOffset fePointLight feSpecularLighting feSpotLight feTile feTurbulence
filter foreignObject g image line linearGradient marker mask metadata mpath path pattern polygon
polyline radialGradient rect script set stop style svg switch symbol text textPath title tspan use
view"""
MATHML = """annotation annotation-xml maction math menclose merror mfenced mfrac mglyph mi
mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub
msubsup msup mtable mtd mtext mtr munder munderover none semantics"""
NAMES = sorted(set(f"{HTML} {SVG} {MATHML}".split()))

#: Of these a lone tag is allowed: a line break, or an opportunity for one.
BREAKS = {"br", "hr", "wbr"}

SENTENCE = "First the {} element, and then some.\n\nWhat follows is *here*, too."
WORDS = "element, and then some. What follows is here, too."


#: Elements whose content a browser hides, at least at first.
HIDING = set(
    "audio details noembed noscript object rp script select style template title video".split()  # noqa: SIM905
)


class Visible(HTMLParser):
    """The text that a browser shows before any click."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.hidden: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in HIDING:
            self.hidden.append(tag)
        self.found.append("" if tag in PHRASES else " ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden:
            self.hidden.remove(tag)

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.found.append(data)


def visible(page: str) -> str:
    return " ".join("".join(Visible(page).found).split())


def straight(text: str) -> str:
    return re.sub("[“”‘’']", '"', text)


def everywhere(text: str) -> list[str]:
    """Return the visible text as the body of an entry, as a comment and as a summary."""
    pages = [
        render(text, "markdown").html,
        render_comment(text, "markdown"),
        render_summary(text),
        render(text, "html").html,
        render_comment(text, "html"),
    ]
    return [visible(str(page)).replace("*", "") for page in pages]


@pytest.mark.parametrize("form", ["<{}>", "</{}>", "<{}/>", "<{} >", "<{}\n>", "<{} class='a'>"])
def test_element_in_sentence_hides_nothing(form: str) -> None:
    for name in NAMES:
        for page in everywhere(SENTENCE.format(form.format(name))):
            assert page.startswith("First the"), name
            assert page.endswith(WORDS), name


def test_lone_tag_is_shown() -> None:
    for name in sorted(set(NAMES) - BREAKS):
        body, comment, summary, *_ = everywhere(SENTENCE.format(f"<{name}>"))
        for page in (body, comment, summary):
            assert page == f"First the <{name}> {WORDS}"


@pytest.mark.parametrize(
    "text",
    [
        "`git checkout` <branch> <path> restores it",
        "Use List<int> here, or Map<K, List<V>>. It is fast",
        "Replace <your-name> and <em-dash> by yours",
        "#include <stdio.h> and <https:x y>",
        "close it with </b> or </title> or </your-name>",
        "x </ y, I </3 you, </>",
        "a <b and a <p> b",
        "<?php echo $a > 1; ?> and <?xml version='1.0'?>",
        "<!DOCTYPE html> and <!ELEMENT br EMPTY> and <![CDATA[ x > y ]]>",
        "<script>alert(1)</script> <style>p {}</style>",
        "between <iframe> and </iframe>, or <title>a</title>",
        '<input type="text"> <path d="M 0 0">',
        "<!-- never closed",
        "<p class='a",
    ],
)
def test_non_html_is_text(text: str) -> None:
    shown = f"In words, {text.replace('`', '')}. More."
    for page in everywhere(f"In words, {text}.\n\nMore.")[:3]:
        assert straight(page) == straight(shown)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("<div\n\nText.", "<div Text."),
        ("<p is one, and\n\nText.", "<p is one, and Text."),
        ("<video>\n\nText.", "<video> Text."),
        ("<details>\n<summary>a</summary>\n\nText.", "<details> a Text."),
        ("<!-- never closed\n\nText.", "<!-- never closed Text."),
        ("<script>\nalert(1)\n</script>\n\nText.", "<script> alert(1) </script> Text."),
        ("<?php\n\nText.", "<?php Text."),
        ("- a <b>\n- <i> b\n\nText.", "a <b> <i> b Text."),
        ("|<a>|<branch>|\n|-|-|\n|1|<b>|", "<a> <branch> 1 <b>"),
        ("# The <title> tag\n\nText.", "The <title> tag Text."),
        ("> <select>\n\nText.", "<select> Text."),
        ("a^[the <title> tag]\n\nText.", "a[1] Text. the <title> tag ↩︎"),
        ("a[^1]\n\n[^1]: the <title> tag\n\nText.", "a[1] Text. the <title> tag ↩︎"),
    ],
)
def test_block_hides_nothing(typed: str, shown: str) -> None:
    assert visible(render(typed, "markdown").html) == shown


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("H<sub>2</sub>O <kbd>x</kbd><br>y", "H<sub>2</sub>O <kbd>x</kbd><br>y"),
        ("<b>*a*</b> <strike>b</strike>", "<b><em>a</em></b> <s>b</s>"),
        ("<B>a</b>", "<b>a</b>"),
        ('a <a name="x"></a> b', '<a id="x"></a>'),
        ('a <a id="x"/> b', '<a id="x"></a> b'),
        ("<ul>\n<li>one\n<li>two\n</ul>", "<li>one\n</li><li>two\n</li>"),
        ("<div>\n\n*a* b</div>\n\nc", "<div>\n<p><em>a</em> b</p></div>\n<p>c"),
        ("<details><summary>a</summary>\n\nb\n\n</details>", "<summary>a</summary>\n<p>b</p>"),
        ("a <!-- note --> b", "<p>a  b</p>"),
        ('<img src="/a.png" alt="x > y">', 'alt="x &gt; y"'),
        ('x <iframe src="//v.example/e"></iframe>', '<a href="https://v.example/e">'),
        ("<center>a</center>", "<div>a</div>"),
        ("<div>\n<blockquote>\na\n</div>", "<blockquote>\na\n</blockquote></div>"),
    ],
)
def test_allowed_html_works(typed: str, part: str) -> None:
    page = str(render(typed, "markdown").html)

    assert part in page
    assert "&lt;" not in page


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("<font color=red>a</font> <nobr>b</nobr>", "a b"),
        ("<svg><text>a</text><path d='M'/></svg> <math><mi>b</mi></math>", "a b"),
        ("<select><option>a</option></select> <textarea>b</textarea>", "a b"),
        ("a<script>if (b<c) x('</p>')</script><style>p {}</style>d", "ad"),
        ("<o:p></o:p><st1:place>Rome</st1:place> <fb:like href='x'>", "Rome"),
        ("<my-widget>a</my-widget>", "a"),
        ("<!--[if gte mso 9]><xml>a</xml><![endif]-->b<![endif]>", "b"),
        ('<?xml:namespace prefix = o ns = "urn:x" />a', "a"),
        ("git checkout <branch> and List<int>", "git checkout <branch> and List<int>"),
        ("a <b", "a <b"),
        ("a <script>b", "a <script>b"),
        ('<p title="x > <y>">a</p>', "a"),
        ('<p title="it\'s"">a</p>', "a"),
    ],
)
def test_foreign_html_shows_its_text(foreign: str, shown: str) -> None:
    for page in (render(foreign, "html").html, render_comment(foreign, "html")):
        assert visible(str(page)) == shown


def test_picture_text_is_shown_without_picture() -> None:
    for page in (
        render_comment("a ![*b* `c`](/x.png) d", "markdown"),
        render_summary("a ![*b* `c`](/x.png) d"),
    ):
        assert visible(str(page)) == "a b c d"
        assert "<img" not in page


words = st.sampled_from("one two three four five six".split())  # noqa: SIM905
tags = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from([f"<{name}>", f"</{name}>", f"<{name}/>", f"<{name} x=y>"])
)
junk = st.sampled_from(["<", "</", "<!--", "<!", "<?", "<a-b>", '"', "'", "\n", "\n\n"])


@settings(deadline=None)
@given(st.lists(words | tags | junk, max_size=20))
@example(["<details>", "one", "</details>", "<details>", "two"])
@example(["<b", "one", "\n\n", "<i>", "two"])
def test_tag_loses_no_word(typed: list[str]) -> None:
    given_ = [word for word in typed if word.isalpha()]
    text = " ".join(typed)
    # A complete HTML comment, a video or a closed details element is hidden on purpose.
    hidden = re.search(r"<!--.*--|</(?:audio|details|rp|video)>", text, re.DOTALL)
    for page in everywhere(text)[:3] if not hidden else []:
        assert Counter(re.findall("|".join(set(given_)) or "$^", page)) >= Counter(given_)


def test_reader_sees_whole_sentence(client: BlogClient, make_entry: MakeEntry) -> None:
    entry: Entry = make_entry(
        body="Use the <title> element.\n\nThis is the end.", summary="About <title> and <branch>"
    )
    page = client.get(f"/blog/{entry.slug}").text
    assert "Use the &lt;title&gt; element." in page
    assert "This is the end." in page
    assert "About &lt;title&gt; and &lt;branch&gt;" in client.get("/blog").text
    assert "This is the end." in client.get("/blog/feed.atom").text
    assert "is the" in client.get("/blog/search?q=title+end").text


# Markdown without HTML

INLINE = [
    *("{}", "*{}*", "__{}__", "~~{}~~", "`{}`", "``{}``", "[{}](/x)", "[{}][r]", "<https://{}>"),
    *("**a *{}* b**", "\\*{}\\*", "&lt;{}&gt;", "{}  \nb", "{}\\\nb", "{}^2^", "H~2~{}", "({})"),
    *('"{}"', "'{}'", "{}'s", "{} -- a", "{}...", "---{}", "https://e.example/{}", "{}^[note]"),
    *(
        "*{}",
        "[{}",
        "[{}]",
        "![{}",
        "`{}",
        "{}**",
        "<{}",
        "{}>",
        "&{};",
        "{{{}}}",
        "{{: {}}}",
        "|{}",
    ),
]
BLOCK = [
    *(
        "{}",
        "# {}",
        "## {} {{#id}}",
        "{}\n===",
        "{}\n---",
        "> {}",
        "> > {}",
        "- {}",
        "1. {}",
        "7) {}",
    ),
    *(
        "- [ ] {}",
        "- a\n  - {}",
        "    {}",
        "```\n{}\n```",
        "```python\n{}\n```",
        "~~~\n{}",
        "a\n: {}",
    ),
    *(
        "{}\n: a",
        "|{}|b|\n|-|-|\n|c|d|",
        "|a|b|\n|-|-|\n|{}|d|",
        "{}\n{{: .x}}",
        "a[^n]\n\n[^n]: {}",
    ),
    *(
        "***\n{}",
        "\t{}",
        "<div>\n\n{}\n\n</div>",
        "<p>{}</p>",
        "{{: #x}}\n{}",
        "\\# {}",
        "+ {}\n\n  a",
    ),
]


@pytest.mark.parametrize("block", BLOCK)
def test_markdown_loses_no_word(block: str) -> None:
    for inline in INLINE:
        typed = f"Before.\n\n{block.format(inline.format('word'))}\n\n[r]: /y\n\nAfter."
        shown = visible(render(typed, "markdown").html)
        assert shown.startswith("Before."), typed
        assert "word" in shown, typed
        assert "After." in shown, typed
