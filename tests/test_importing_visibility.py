"""No import publishes what was not public, however its source says so."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from blog.importing.texts import one_line
from blog.importing.visibility import decide
from blog.models import Entry
from tests.conftest import BlogClient
from tests.importing import import_all

#: Front matter, without its fences.
YAML = """
draft: true
draft: True
draft: 'yes'
draft: 1
draft: treu
draft: {value: false}
Draft : true
is_draft: true
published: false
published: no
published: never
publish: draft
publish: unlisted
status: draft
status: hidden
status: pending
status: private
status: skip
status: Entwurf
status: future
status: scheduled
status: [published, draft]
state: idea
post_status: inherit
visibility: private
visibility: members
visibility: paid
access: subscribers
email_only: true
password: x
password: ' '
encrypt: true
private: true
hidden: true
hide: true
saveAsDraft: true
make_discoverable: false
audience: only_paid
unlisted: true
headless: true
listed: false
visible: false
render: false
output: false
permalink: false
layout: draft
type: private
tags: [draft]
tags: tea private
category: Drafts
eleventyExcludeFromCollections: true
build: {render: never}
build: {list: never}
_build: {render: link}
cascade: [{draft: true}]
extra: {hidden: true}
params: {private: true}
<<: {draft: true}
publishDate: 2999-01-01
publish_date: 2999-01-01
published_at: 2999-01-01 10:00
pubDate: some day
scheduled: 2999-01-01
embargo: 2999-01-01
date: 2999-01-01
date: '{{ .Date }}'
expiryDate: 2020-02-01
unpublishdate: 2020-02-01
expires: soon
""".strip().split("\n")

#: Whole files.
FILES = [
    # Fences of all kinds
    "+++\ndraft = true\n+++\nText.",
    "+++\n[build]\nrender = 'never'\n+++\nText.",
    '{\n"draft": true\n}\nText.',
    '{"draft": true}\nText.',
    '{"status": ["draft"]} Text.',
    ';;;\n{"draft": true}\n;;;\nText.',
    '"title": "A",\n"published": false\n;;;\nText.',
    "---yaml\ndraft: true\n---\nText.",
    "--- yaml\ndraft: true\n---\nText.",
    "---toml\ndraft = true\n---\nText.",
    '---json\n{"draft": true}\n---\nText.',
    "---js\n({draft: true})\n---\nText.",
    "----\ndraft: true\n----\nText.",
    "---\ndraft: true\n...\nText.",
    " ---\ndraft: true\n---\nText.",
    "\n\n---\ndraft: true\n---\nText.",
    "\t\n---\n\ndraft: true\n---\nText.",
    "\u00a0\ufeff---\r\ndraft: true\r\n---\r\nText.",
    # Without fences
    "Title: A\nStatus: draft\n\nText.",
    "title: A\nstatus: hidden\nText.",
    "Title:  A\n    long title\nDate: 2020-01-01\nStatus: Draft  \n\nText.",
    "Title: A\nDate: 2999-01-01\n\nText.",
    "Status: draft\n\nText.",
    "title: A\ntags:\n- tea\npublished: false\n---\nText.",
    ".. title: A\n.. status: draft\n\nText.",
    "<!--\n.. title: A\n.. slug: a\n.. status: private\n-->\n\nText.",
    "<!-- \n.. title: A\n.. tags: draft, tea\n-->\nText.",
    "<!--\n---\ndraft: true\n---\n-->\nText.",
    # Twice
    "---\ntitle: A\n---\n---\ndraft: true\n---\nText.",
    "---\ntitle: A\n---\n\nStatus: draft\n\nText.",
    "Title: A\nStatus: draft\nStatus: published\n\nText.",
    "---\ndraft: true\ndraft: false\n---\nText.",
    "---\ndraft: false\nDraft: true\n---\nText.",
    # Broken
    "---\ndraft: true\nText.",
    "---\ndraft true\n---\nText.",
    "---\ndraft: true\n- x\n---\nText.",
    "+++\ndraft = yes\n+++\nText.",
    "+++\ndraft = true\n---\nText.",
    '{"draft": true,}\nText.',
    # For members only
    "Text.\n\n<!--members-only-->\n\nMore.",
]

#: Paths of hidden files.
PLACES = [
    "_drafts/{}.md", "_drafts/2020/{}.md", "drafts/{}.md", "old/Drafts/{}.md",
    "private/{}/index.md", "_private/{}.md", "unpublished/{}.md", "_{}.md",
]  # fmt: skip

WHOLE = "<wp:status>publish</wp:status><wp:post_type>post</wp:post_type>"
#: The end of an item in an export.
ITEMS = [
    *(
        f"<wp:status>{status}</wp:status><wp:post_type>post</wp:post_type></item>"
        for status in (
            "draft", "pending", "private", "auto-draft", "trash", "inherit", "future", "archive",
            "Private", "publish draft", "", "<![CDATA[private]]>", "scheduled", "expired", "hidden",
            "spam", "request-pending", "acf-disabled", "publish,private", "1",
        )
    ),
    "<wp:status>draft</wp:status><wp:post_type>page</wp:post_type></item>",
    "<wp:status>publish</wp:status><wp:post_type>recipe</wp:post_type></item>",
    "<wp:status>publish</wp:status><wp:post_type></wp:post_type></item>",
    "<wp:status>publish</wp:status></item>",
    "<wp:post_type>post</wp:post_type></item>",
    "</item>",
    f"{WHOLE}<wp:status>draft</wp:status></item>",
    f"{WHOLE}<wp:post_password>x</wp:post_password></item>",
    f"{WHOLE}<wp:post_password> </wp:post_password></item>",
    f"{WHOLE}<wp:post_password></wp:post_password><wp:post_password>x</wp:post_password></item>",
    *(
        f"{WHOLE}<wp:postmeta><wp:meta_key>{key}</wp:meta_key>"
        f"<wp:meta_value>{value}</wp:meta_value></wp:postmeta></item>"
        for key, value in [
            ("_jetpack_newsletter_access", "subscribers"),
            ("_jetpack_newsletter_access", "paid_subscribers"),
            ("_members_access_role", "administrator"),
            ("_expiration-date", "1580515200"),
        ]
    ),
    # Broken
    "",
    "<wp:status>",
    "<wp:status>publish</wp:status>",
    "<wp:status>publish</wp:status><wp:post_type>post",
    WHOLE,
    f"{WHOLE}<wp:post_password>",
    f"{WHOLE}<wp:comment><wp:comment_approved>1</wp:comment_approved>",
]  # fmt: skip


@dataclass
class Moved:
    """The path of private texts, and the words that identify them."""

    path: Path
    words: dict[str, str]


def folder(at: Path) -> Moved:
    """Write files that are not public, each with a unique word."""
    contents = {
        f"y{n}.md": f"---\n{line}\naliases: /old/{{word}}/\n---\n{{word}} is private.\n"
        for n, line in enumerate(YAML)
    }
    contents |= {f"f{n}.md": text.replace("Text.", "{word}.") for n, text in enumerate(FILES)}
    contents |= {
        place.format(f"2020-01-02-p{n}"): "---\ntags: [{word}]\n---\n{word}."
        for n, place in enumerate(PLACES)
    }
    words = {}
    for number, (name, text) in enumerate(contents.items()):
        word = words[name] = f"qz{number}qz"
        plain = not ("/" in name or name[0] == "_")
        path = at / (f"2020-01-02-{word}-{name}" if plain else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.replace("{word}", word).encode())
        words[path.relative_to(at).as_posix()] = words.pop(name)
    sidecar = at / "2020-01-02-qz999qz.md"
    sidecar.write_text("qz999qz.", encoding="utf-8")
    sidecar.with_suffix(".meta").write_text(".. status: draft\n", encoding="utf-8")
    (at / "2020-01-02-seen.md").write_text("---\ntitle: Seen\n---\nSeen.", encoding="utf-8")
    return Moved(at, words | {sidecar.name: "qz999qz"})


def export(at: Path) -> Moved:
    """Write an export of items that are not public, each with a unique word."""
    words, items = {}, []
    for number, end in enumerate([f"{WHOLE}</item>", *ITEMS]):
        word = f"qz{number}qz" if number else "seen"
        words[word] = word
        date = "2019" if "future" in end else "2020"
        items.append(
            f"<item><title>{word}</title><link>http://old.example/2020/{word}/</link>"
            f'<category domain="post_tag"><![CDATA[{word}]]></category>'
            f"<content:encoded><![CDATA[{word} is private.]]></content:encoded>"
            f"<wp:post_id>{number + 1}</wp:post_id><wp:post_name>{word}</wp:post_name>"
            f"<wp:post_date_gmt>{date}-01-02 00:00:00</wp:post_date_gmt>{end}"
        )
    path = at / "export.xml"
    at.mkdir()
    path.write_text(
        '<rss xmlns:wp="http://wordpress.org/export/1.2/" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>'
        "<link>http://old.example</link>" + "\n".join(items),
        encoding="utf-8",
    )
    del words["seen"]
    return Moved(path, words)


ADDRESSES = [
    "/blog", "/blog?page=2", "/blog/archive", "/blog/tags", "/blog/2020", "/blog/2020/01",
    "/blog/2019", "/sitemap.xml", "/sitemap-1.xml", "/blog/feed.atom", "/blog/feed.rss",
    "/blog/feed.json", "/blog/search?q=private", "/blog/search?q=title", "/blog/search?q=more",
]  # fmt: skip
#: Addresses at which a text with a certain word could appear.
OWN = ["/blog/{}", "/{}", "/blog/tag/{}", "/old/{}/", "/2020/{}/", "/blog/search?tag={}",
       "/blog/search?q={}", "/blog/search?q={}&year=2020", "/blog/{}/feed.atom"]  # fmt: skip


@pytest.mark.parametrize("write", [folder, export], ids=["folder", "export"])
def test_hidden_source_stays_hidden(
    engine: Engine, db: Session, client: BlogClient, tmp_path: Path, write: Callable[[Path], Moved]
) -> None:
    moved = write(tmp_path / "blog")
    assert len(moved.words) >= 40

    summary = import_all(moved.path, engine)

    shown = "".join(client.get(address).text for address in ADDRESSES)
    assert "/blog/seen" in shown
    assert [name for name, word in moved.words.items() if word in shown] == []
    for address in OWN:
        unknown = found(client, address, "qzqzqz")
        for word in moved.words.values():
            assert found(client, address, word) == unknown, word
    for slug in db.scalars(select(Entry.slug).where(Entry.slug != "seen")):
        assert client.get(f"/blog/{slug}").status_code == 404, slug
    told = [*summary.skipped.items(), *summary.notes.items()]
    reasons = {name: reason for reason, names in told for name in names if is_reason(reason)}
    assert [name for name in moved.words if not any(name in told for told in reasons)] == []


def found(client: BlogClient, address: str, word: str) -> tuple[int, str]:
    answer = client.get(address.format(word))
    return answer.status_code, answer.text.replace(word, "…")


def is_reason(line: str) -> bool:
    return not line.startswith(("The field", "Broken XML", "The date", "a duplicate"))


@pytest.mark.parametrize(
    "yaml",
    [
        "draft: false", "draft: 'False'", "draft:", "draft: ~", "draft: null", "published: true",
        "publish: yes",
        "published: 2020-01-01", "status: published", "Status: Publish", "visibility: public",
        "hidden: no", "password:", "password: ''", "permalink: /a/", "permalink: pretty",
        "layout: post", "tags: [drafting, privacy]", "build: {render: always, list: true}",
        "publishDate: 2020-01-01", "date: 2020-01-01 10:00 CEST", "expiryDate: 2999-01-01",
        "expires: false", "author: {status: hidden}", "toc: {hidden: true}",
        "cover: {hidden: true}", "hide: [toc, navigation]", "audience: developers",
        "output: {html_document: {toc: true}}",
    ],
)  # fmt: skip
def test_public_source_is_published(
    engine: Engine, client: BlogClient, tmp_path: Path, yaml: str
) -> None:
    (tmp_path / "posts").mkdir()
    path = tmp_path / "posts" / "2020-01-02-seen.md"
    path.write_text(f"---\n{yaml}\n---\nSeen.", encoding="utf-8")

    import_all(path, engine)

    assert "Seen." in client.get("/blog").text


@given(
    st.sampled_from(["draft", "Draft", "is-draft", "hidden", "unlisted", "private"]),
    st.text(min_size=1).filter(str.strip),
)
def test_only_explicit_no_publishes(name: str, value: str) -> None:
    is_no = one_line(value).casefold().removeprefix("#") in {"false", "no", "off", "0", "n"}

    assert (decide({name: value, "date": "2020-01-01"}, "", None).state == "published") == is_no
