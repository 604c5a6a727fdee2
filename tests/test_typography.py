"""The typographer changes a short list of marks, never in code."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from blog.application import create_app
from blog.config import Config
from blog.database import begin_writing, connect, session_factory
from blog.entries.rendering import render_entry
from blog.markup import plain, render, render_comment, render_summary
from blog.markup.quotes import quotes_of, replace_quotes
from blog.models import Comment, Entry, Rendering
from blog.operations.backfill import render_all, unrendered
from tests.conftest import BlogClient, MakeEntry


def everywhere(text: str) -> list[str]:
    """Return a paragraph as shown in an entry, a comment and a summary."""
    body = str(render(text, "markdown").html).strip()
    comment = str(render_comment(text, "markdown")).strip()
    assert body.startswith("<p>")
    assert body.replace(' rel="ugc nofollow noopener"', "") == comment.replace(
        ' rel="ugc nofollow noopener"', ""
    )
    return [body[3:-4], str(render_summary(text)).strip()]


@pytest.mark.parametrize(
    "typed",
    [
        *("(a) x (b) y (c) z (p)", "501(c)(3)", "f(c)", "(r) (tm) (C) (R)"),
        *("--force: x", "use --force", "i--", "a--b", "x+-y", "3 +- 1", "a,,b"),
        *("Client..ctor", "../README", "a.. b", "a....b", "....", "f(...args)", "./...", "a...b"),
        *("what????", "really!!!!!", "+---+", "a ----", "a|---|b", "1--2"),
    ],
)
def test_typed_text_stays(typed: str) -> None:
    assert everywhere(typed) == [typed, typed]


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Wait... (so...) [...] and ...", "Wait… (so…) […] and …"),
        ("a -- b --\nc", "a – b –\nc"),
        ("*a* -- `b` -- c", "<em>a</em> – <code>b</code> – c"),
        ("a---b --- c", "a—b — c"),
        ("a... b..`.c` a---b--`-c`", "a… b..<code>.c</code> a—b--<code>-c</code>"),
        ("`.`.. a... `-`-- a---b", "<code>.</code>.. a… <code>-</code>-- a—b"),
        ("`a`--all `b` --c", "<code>a</code>--all <code>b</code> --c"),
        ('\\-- a \\... \\"b\\"', '-- a ... "b"'),
    ],
)
def test_unambiguous_marks_are_set(typed: str, shown: str) -> None:
    # As nh3 writes quotes in text.
    assert everywhere(typed) == [shown, shown]


@pytest.mark.parametrize("name", ["code", "kbd", "samp", "var", "tt", "CODE"])
def test_inline_html_code_is_unchanged(name: str) -> None:
    tag = name.lower().replace("tt", "code")
    typed = f'x <{name}>a -- "b" \'c\' ... (c)</{name}> "y" <{name}>--</{name}> -- z'
    shown = f"x <{tag}>a -- \"b\" 'c' ... (c)</{tag}> “y” <{tag}>--</{tag}> – z"
    assert everywhere(typed) == [shown, shown]


@pytest.mark.parametrize(
    "typed",
    [
        '<pre>\na -- "b" ...\n</pre>',
        '<div><code>\n\na -- "b" ...\n\n</code></div>',
        '    a -- "b" ...',
        '```\na -- "b" ...\n```',
        '<ul>\n<li><code>\n\na -- "b" ...\n</code></li>\n</ul>',
    ],
)
def test_code_blocks_are_unchanged(typed: str) -> None:
    page = render(f'{typed}\n\n"Then" -- this', "markdown").html
    assert 'a -- "b" ...' in page.replace("&quot;", '"')
    assert "“Then” – this" in page


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("'tis the '90s, rock 'n' roll and '68", "’tis the ’90s, rock ’n’ roll and ’68"),
        ("[a]'s, (b)'s and `c`'s", "[a]’s, (b)’s and <code>c</code>’s"),
        ("*a*'s and \"b\"'s", "<em>a</em>’s and “b”’s"),
        ("it's the dogs' and the cats'", "it’s the dogs’ and the cats’"),
        ("'em' is not 'em, nor '90' the '90s", "‘em’ is not ’em, nor ‘90’ the ’90s"),
        ("in 's Hertogenbosch, 't is 'n dag", "in ’s Hertogenbosch, ’t is ’n dag"),
        ('"\'Tis," he said, "an \'a\'."', "“’Tis,” he said, “an ‘a’.”"),
    ],
)
def test_apostrophes(typed: str, shown: str) -> None:
    assert everywhere(typed) == [shown, shown]


def only_quotes(state: StateCore) -> None:
    for block in state.tokens:
        if block.children:
            flags = [token.type == "text" for token in block.children]
            replace_quotes(block.children, flags, quotes_of("en"))


@settings(deadline=None)
@given(st.text("ab '\".(-\n*`[(\\", max_size=40).filter(lambda text: "\"'" not in text))
@example("'\" 'a' \"b\" *'c* d' a'b'")
def test_quotes_equal_markdown_it(text: str) -> None:
    theirs = MarkdownIt("commonmark", {"typographer": True}).enable(["smartquotes"])
    ours = MarkdownIt("commonmark", {"typographer": True}).enable(["smartquotes"])
    ours.core.ruler.at("smartquotes", only_quotes)

    assert ours.render(text) == theirs.render(text)


# URLs


@pytest.mark.parametrize(
    ("typed", "address", "around"),
    [
        ("See https://example.org/x.", "https://example.org/x", "See {}."),
        ("(https://e.org/a_(b)).", "https://e.org/a_(b)", "({})."),
        ("[http://e.org/?a=b_c~d]!", "http://e.org/?a=b_c~d", "[{}]!"),
        ('"https://e.example/a--b..." yes', "https://e.example/a--b", "“{}…” yes"),
        ("**https://e.org/it's**", "https://e.org/it's", "<strong>{}</strong>"),
        ("HTTPS://e.org:80/a,b; c", "HTTPS://e.org:80/a,b", "{}; c"),
        ("<https://e.org/a--b>", "https://e.org/a--b", "{}"),
    ],
)
def test_bare_url_is_link(typed: str, address: str, around: str) -> None:
    shown = around.format(f'<a href="{address}">{address}</a>')
    assert everywhere(typed) == [shown, shown]


def test_url_without_scheme_is_link() -> None:
    assert everywhere("www.example.com.")[0] == (
        '<a href="http://www.example.com">www.example.com</a>.'
    )


@pytest.mark.parametrize(
    "typed",
    [
        *("https://", "ahttps://e.org", "x@https://e.org", "www.", "www.a", "ann@example.org"),
        *("javascript://e.org", "`https://e.org`", "\\https\\://e.org"),
    ],
)
def test_not_a_bare_url(typed: str) -> None:
    assert not any("<a " in page for page in everywhere(typed))


@pytest.mark.parametrize("typed", ["[https://e.org](/x)", '<a href="/x">https://e.org</a>'])
def test_links_do_not_nest(typed: str) -> None:
    shown = '<a href="/x">https://e.org</a>'
    assert everywhere(typed) == [shown, shown]


# Quotes by language


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", "“Hallo ‘du’” it’s"),
        ("de", "„Hallo ‚du‘“ it’s"),
        ("de-AT", "„Hallo ‚du‘“ it’s"),
        ("fr", "«\u202fHallo “du”\u202f» it’s"),
        ("fr-CH", "«Hallo ‹du›» it’s"),
        ("pl", "„Hallo «du»” it’s"),
        ("sv", "”Hallo ’du’” it’s"),
        ("pt-BR", "“Hallo ‘du’” it’s"),
        ("pt-PT", "«Hallo “du”» it’s"),
        ("ru", "«Hallo „du“» it’s"),
        ("ja", "「Hallo 『du』」 it’s"),
        ("zh-Hant-TW", "「Hallo 『du』」 it’s"),
        ("zh-TW", "「Hallo 『du』」 it’s"),
        ("tlh", "“Hallo ‘du’” it’s"),
    ],
)
def test_quotes_follow_language(language: str, shown: str) -> None:
    typed = "\"Hallo 'du'\" it's"

    assert plain(render(typed, "markdown", language).html) == shown.replace("\u202f", " ")
    assert render(typed, "markdown", language).html == f"<p>{shown}</p>\n"
    assert render_summary(typed, language) == shown
    assert render_comment(typed, "markdown", language) == f"<p>{shown}</p>\n"


def test_blog_quotes_follow_its_language(
    config: Config, make_entry: MakeEntry, make_comment: Callable[..., Comment], engine: Engine
) -> None:
    entry = make_entry(body='Er sagt "ja".', summary='"Ja"')
    make_comment(entry, 'So "gut"?', format="markdown")
    german = replace(config, language="de", database=config.database)
    app = create_app(german)
    pages = [BlogClient(app).get(path).text for path in ("/blog", "/blog/a-title")]
    feeds = [BlogClient(app).get(f"/blog/{path}feed.atom").text for path in ("", "a-title/")]

    for words, page in zip(("„Ja“", "„ja“"), pages, strict=True):
        assert words in page
    assert "„gut“" in pages[1]
    assert "„Ja“" in feeds[0]
    assert "„gut“" in feeds[1]
    app.engine.dispose()


def test_language_change_renders_again(
    config: Config, make_entry: MakeEntry, engine: Engine, db: Session
) -> None:
    make_entry(body='Er sagt "ja".')
    german = connect(config.database, language="de")
    with german.connect() as connection:
        ids = unrendered(connection)
    assert len(ids) == 1
    assert sum(render_all(german, ids)) == 1
    with german.connect() as connection:
        assert unrendered(connection) == []
    german.dispose()

    assert "„ja“" in db.scalars(select(Rendering.html)).one()


def test_save_renders_in_blog_language(config: Config, db: Session) -> None:
    german = connect(config.database, language="de")
    with session_factory(german)() as session:
        begin_writing(session)
        entry = Entry(title="A", slug="a", body='"Ja"', timestamp=datetime.now(UTC))
        session.add(entry)
        render_entry(session, entry)
        session.commit()
        assert "„Ja“" in entry.shown.html
    german.dispose()

    assert "„Ja“" in db.scalars(select(Rendering.html)).one()
