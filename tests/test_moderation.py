"""Moderation: which comments are held, decisions, and what the filter learns and forgets."""

import ipaddress
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from blog.application import Blog, forget_addresses
from blog.comments import moderation
from blog.http.client_network import network_of
from blog.models import Comment, SpamWord
from blog.models.spam_word import TOTAL
from tests.conftest import NOW, BlogClient, MakeEntry, form_token
from tests.test_comments import watched

MakeComment = Callable[..., Comment]


def all_comments(db: Session) -> list[Comment]:
    db.rollback()
    db.expire_all()
    return list(db.scalars(select(Comment).order_by(Comment.id)))


def status_line(page: str) -> str:
    (line,) = html.document_fromstring(page).xpath("//*[@role='status']")
    return str(line.text_content())


def with_settings(client: BlogClient, **values: Any) -> BlogClient:
    app = client.application
    assert isinstance(app, Blog)
    return BlogClient(Blog(replace(app.config, **values), app.engine, app.secret))


def hold(client: BlogClient, text: str = "Read this", **fields: str) -> TestResponse:
    """Send a comment that looks like spam."""
    links = " ".join(f"https://{name}.example/" for name in "abcd")
    return client.send_comment("a-title", text=f"{text} {links}", **fields)


def test_comment_with_many_links_is_held(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    response = hold(client, name="Ann")

    assert response.status_code == 303
    page = client.get(response.location)
    assert "awaiting moderation" in status_line(page.text)
    assert "Read this" in page.text
    assert page.cache_control.no_store
    assert "Read this" not in client.get("/blog/a-title").text
    (comment,) = all_comments(db)
    assert (comment.state, comment.reason) == ("held", "4 links")


@pytest.mark.parametrize(
    ("format", "text", "links"),
    [
        ("markdown", "[a](//spam.example/) " * 10, 10),
        ("markdown", "[a](HTTPS:spam.example) " * 3, 3),
        ("markdown", "[a](https:/spam.example) [b](mailto:a@b.example) [c](/x)", 3),
        ("markdown", "&#104;ttp://spam.example/ " * 4, 4),
        ("markdown", "http://<b></b>spam.example/ " * 4, 4),
        ("markdown", "ht*tp://spam.example/* " * 4, 4),
        ("markdown", "https://a.example/ <https://b.example/> [c](//c.example)", 3),
        ("markdown", "[a] [b][a] [a][]\n\n[a]: //spam.example/", 3),
        ("markdown", "![a](//spam.example/1.png) " * 4, 0),
        ("markdown", "`[a](//spam.example/)` " * 4, 0),
        ("markdown", "<a href='&#47;/spam.example'>a</a> " * 4, 4),
        ("text", "http://spam.example/ WWW.spam.example/ HTTPS://spam.example/", 3),
        ("text", "ｈttp://spam.example/ ht\u200btp://spam.example/ www.spam.example", 3),
        ("text", "[a](//spam.example/) &#104;ttp://spam.example " * 4, 0),
    ],
)
def test_links_are_counted_as_shown(
    client: BlogClient, db: Session, make_entry: MakeEntry, format: str, text: str, links: int
) -> None:
    make_entry()
    with_settings(client, comment_format=format).send_comment("a-title", text=text)

    (comment,) = all_comments(db)
    held = ("held", f"{links} links") if links > 2 else ("published", None)
    assert (comment.state, comment.reason) == held


def test_website_and_url_in_name_are_links(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    client.send_comment(
        "a-title", text="http://a.example", name="www.b.example", website="c.example"
    )

    (comment,) = all_comments(db)
    assert comment.reason == "3 links"


def test_link_hosts_are_learnt_as_shown(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    markdown = with_settings(client, comment_format="markdown")
    markdown.send_comment("a-title", text="Buy [&#112;ills](//spam.example/)")
    (comment,) = all_comments(db)
    moderation.mark_spam(db, [comment.id])

    words = set(db.scalars(select(SpamWord.word)))
    assert {"link spam.example", "a link", "pills"} <= words


def test_receipt_shows_decision(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    address = hold(client).location
    (comment,) = all_comments(db)
    moderation.approve(db, [comment.id])
    assert "Your comment has been published." in status_line(client.get(address).text)
    assert "Read this" in client.get("/blog/a-title").text

    moderation.mark_spam(db, [comment.id])
    assert "not to publish" in status_line(client.get(address).text)
    assert "Read this" not in client.get("/blog/a-title").text

    moderation.delete(db, [comment.id])
    assert client.get(address).status_code == 404


@pytest.mark.parametrize("receipt", ["1", "1.x", "x", "1.", ".", "999999999999999999999.x"])
def test_receipt_address_is_unguessable(
    client: BlogClient, make_entry: MakeEntry, receipt: str
) -> None:
    make_entry()
    hold(client)

    assert client.get(f"/blog/a-title/comments/{receipt}").status_code == 404


def test_receipt_follows_entry(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    entry = make_entry()
    make_entry("Other")
    receipt = hold(client).location.rpartition("/")[2]
    entry.slug = "renamed"
    db.commit()

    for slug in ("a-title", "other"):
        response = client.get(f"/blog/{slug}/comments/{receipt}")
        assert response.location == f"/blog/renamed/comments/{receipt}"
    assert "awaiting moderation" in client.get(response.location).text


def test_all_comments_moderated(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    careful = with_settings(client, comment_moderation="all")
    careful.send_comment("a-title", text="Hello")

    (comment,) = all_comments(db)
    assert (comment.state, comment.reason) == ("held", "all comments are moderated")


def test_approved_commenter_is_trusted(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    careful = with_settings(client, comment_moderation="all")
    careful.send_comment("a-title", text="The first", remember="yes")
    careful.send_comment("a-title", text="The second", remember="yes")
    first, second = all_comments(db)
    assert (first.state, second.state) == ("held", "held")
    moderation.approve(db, [first.id])

    careful.send_comment("a-title", text="The third", remember="yes")
    other = with_settings(client, comment_moderation="all")
    other.send_comment("a-title", text="The fourth", remember="yes")
    assert [c.state for c in all_comments(db)] == ["published", "held", "published", "held"]
    strict = with_settings(client, comment_moderation="all", comment_trust=False)
    strict._cookies = careful._cookies
    strict.send_comment("a-title", text="The fifth", remember="yes")
    assert all_comments(db)[-1].state == "held"


def test_trust_has_its_own_limits(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment("a-title", text="The first", remember="yes")
    (first,) = all_comments(db)
    moderation.approve(db, [first.id])

    links = " ".join(f"https://{number}.example/" for number in range(20))
    statuses: Counter[int] = Counter()
    for number in range(1, 41):
        client.address = f"203.0.{number}.7"
        text = f"Number {number}" if number % 2 else f"Number {number} {links}"
        statuses[client.send_comment("a-title", text=text, remember="yes").status_code] += 1
    assert statuses == {303: 4, 429: 36}
    assert [(c.state, c.reason) for c in all_comments(db)] == [
        ("published", None),
        ("published", None),
        ("held", "20 links"),
        ("published", None),
        ("held", "20 links"),
    ]


def test_trusted_comments_hold_nobody_up(
    client: BlogClient,
    app: Blog,
    db: Session,
    make_entry: MakeEntry,
    make_comment: MakeComment,
) -> None:
    entry = make_entry()
    for number in range(70):
        make_comment(entry, f"Number {number}", person=f"{number % 7}")
    for person in range(7):
        trusted = next(c for c in all_comments(db) if c.person == f"{person}")
        moderation.approve(db, [trusted.id])
    client.send_comment("a-title", text="Of somebody else")
    assert all_comments(db)[-1].state == "published"

    # Those who lost their trust count again, and everyone does if trust is off.
    distrustful = with_settings(client, comment_trust=False)
    distrustful.send_comment("a-title", text="Of a third one")
    assert all_comments(db)[-1].reason == "71 comments within an hour"
    moderation.mark_spam(db, [comment.id for comment in all_comments(db)[:7]])
    client.send_comment("a-title", text="Of a fourth one")
    assert all_comments(db)[-1].reason == "72 comments within an hour"


def test_spammer_is_not_trusted(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    careful = with_settings(client, comment_moderation="all")
    for words, decide in (("A nice one", moderation.approve), ("Pills", moderation.mark_spam)):
        careful.send_comment("a-title", text=words, remember="yes")
        decide(db, [all_comments(db)[-1].id])

    careful.send_comment("a-title", text="More pills", remember="yes")
    assert [c.state for c in all_comments(db)] == ["published", "spam", "held"]


def test_commenter_cookie_is_opt_in(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment(
        "a-title", text="One", name="Ann", website="https://ann.example", remember="yes"
    )
    client.get("/blog")
    page = client.get("/blog/a-title")
    form = html.document_fromstring(page.text).forms[0]
    assert (form.fields["name"], form.fields["website"]) == ("Ann", "https://ann.example")
    assert form.fields["remember"] == "yes"
    assert page.cache_control.no_store, "it is private"
    for each in (client._cookies or {}).values():
        assert each.http_only
        assert each.secure
        assert each.same_site == "Lax"
        assert each.key.startswith("__Host-")

    client.send_comment("a-title", text="Two", name="Ann")
    client.get("/blog")
    form = html.document_fromstring(client.get("/blog/a-title").text).forms[0]
    assert form.fields["name"] == ""


def test_forgotten_commenter_is_anonymous(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    for fields in ({"remember": "yes"}, {"remember": "yes"}, {}):
        client.send_comment("a-title", text=f"Number {len(all_comments(db))}", **fields)

    first, second, third = (c.person for c in all_comments(db))
    assert first == second
    assert first is not None
    assert third is None


def test_honeypot_catches_bots(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    response = client.send_comment("a-title", text="Hello", subject="Great offer")

    assert response.status_code == 403
    assert "a hidden field was filled in" in response.text
    assert "Hello" in response.text
    assert all_comments(db) == []


def test_resubmitted_form_leads_to_comment(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    make_entry("Other")
    first = client.send_comment("a-title", text="Once", name="Ann")
    again = client.send_comment("a-title", text=" Once\r\n", name="Ann ")
    held = hold(client)
    assert hold(client).location == held.location

    assert again.location == first.location
    assert len(all_comments(db)) == 2
    client.send_comment("a-title", text="Once", name="Bob")
    client.send_comment("other", text="Once", name="Ann")
    assert len(all_comments(db)) == 4, "another person, another entry"


def test_resubmitted_reply_without_parent(
    client: BlogClient, db: Session, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    parent = make_comment(make_entry()).id
    first = client.send_comment("a-title", text="A reply", parent=str(parent))
    moderation.delete(db, [parent])
    again = client.send_comment("a-title", text="A reply", parent=str(parent))

    assert again.location == first.location
    assert [(c.text, c.parent_id) for c in all_comments(db)] == [("A reply", None)]


def test_decision_does_not_block_writers(
    engine: Engine, db: Session, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    for decide, taught in ((moderation.approve, "real"), (moderation.mark_spam, "spam")):
        comment = make_comment(
            entry, f"Some *{taught}* words, {uuid4()}", format="markdown", state="held"
        )
        with watched(engine, "sanitising.py") as counts:
            decide(db, [comment.id])
        assert comment.taught == taught
        assert {is_free for _, is_free in counts} == {True}


def test_decision_on_long_comment_is_cheap(
    engine: Engine, db: Session, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    comment = make_comment(make_entry(), " ".join(f"word{number}" for number in range(300))).id
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for decide in (moderation.approve, moderation.mark_spam):
        decide(db, [comment])

    assert len(statements) < 60, "other writers wait meanwhile"
    assert {(w.spam, w.real) for w in db.scalars(select(SpamWord))} == {(1, 0)}


def test_concurrent_submission_is_one_comment(
    app: Blog, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    together = threading.Barrier(8)
    answers: list[str] = []

    def send() -> None:
        client = BlogClient(app)
        client.get("/blog/a-title")
        together.wait(10)
        answers.append(client.send_comment("a-title", text="Once").location)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert len(all_comments(db)) == 1


def test_network_rate_limit(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    for number in range(30):
        client.address = f"203.0.113.{number}"
        response = client.send_comment("a-title", text=f"Number {number}")
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 600
    assert "Number 29" in response.text
    assert "try again in" in response.text
    assert len(all_comments(db)) == 5

    client.address = "198.51.100.1"
    assert client.send_comment("a-title", text="From elsewhere").status_code == 303
    client.address = "203.0.113.4"
    assert client.send_comment("a-title", text="Number 4").status_code == 303, "sent before"
    db.rollback()
    db.execute(update(Comment).values(created=NOW - timedelta(minutes=11)))
    db.commit()
    assert client.send_comment("a-title", text="Later").status_code == 303


def test_last_minute_of_limit(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    for number in range(5):
        client.send_comment("a-title", text=f"Number {number}")
    db.execute(update(Comment).values(created=datetime.now(UTC) - timedelta(minutes=9)))
    db.commit()
    page = client.send_comment("a-title", text="Number 5").text
    assert "try again in 1 minute. Your text is still below." in page
    assert "Number 5</textarea>" in page


def test_clock_set_back_locks_nobody_out(
    client: BlogClient, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    for number in range(5):
        client.send_comment("a-title", text=f"Number {number}")
    db.execute(update(Comment).values(created=NOW + timedelta(days=300)))
    db.commit()

    assert client.send_comment("a-title", text="Now").status_code == 303


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_network_of_address(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2000::/3"))
def test_address_lies_in_its_network(address: ipaddress.IPv4Address) -> None:
    assert address in ipaddress.ip_network(network_of(str(address)))


@given(st.text(max_size=50))
def test_invalid_address_has_a_network(address: str) -> None:
    assert network_of(address) == network_of(address)


def test_address_is_not_stored(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment("a-title", text="Hello", remember="yes")
    (comment,) = all_comments(db)

    for value in (comment.network, comment.digest, comment.person):
        assert re.fullmatch("[0-9a-f]{64}", value or "")


def test_network_hash_expires(
    client: BlogClient, app: Blog, engine: Engine, db: Session, make_entry: MakeEntry
) -> None:
    make_entry()
    client.send_comment("a-title", text="Old")
    client.send_comment("a-title", text="New")
    version = db.scalar(text("SELECT version FROM site"))
    old = update(Comment).where(Comment.text == "Old")
    db.execute(old.values(created=NOW - timedelta(days=app.config.comment_days, hours=1)))
    db.commit()
    version = db.scalar(text("SELECT version FROM site"))
    forget_addresses(engine, app.config)

    assert [(c.network is None, c.digest is None) for c in all_comments(db)] == [
        (True, True),
        (False, False),
    ]
    assert db.scalar(text("SELECT version FROM site")) == version, "readers do not see it"


def test_filter_learns_and_unlearns(
    client: BlogClient, db: Session, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    for number in range(12):
        spam = make_comment(entry, f"Buy cheap pills now, offer {number}").id
        real = make_comment(entry, f"My tomatoes liked the rain, bed {number}").id
        moderation.mark_spam(db, [spam])
        moderation.approve(db, [real])
    response = client.send_comment("a-title", text="Cheap pills, buy now")
    comment = all_comments(db)[-1]
    assert "/comments/" in response.location
    assert comment.state == "held"
    assert "“pills” (in 12 of 12 spam, 0 of 12 real)" in (comment.reason or "")
    assert client.send_comment("a-title", text="My tomatoes, too").location.startswith(
        "/blog/a-title#"
    )

    decided = all_comments(db)[:24]
    moderation.approve(db, [each.id for each in decided if "pills" in each.text])
    moderation.mark_spam(db, [each.id for each in decided if "rain" in each.text])
    words = db.get(SpamWord, "pills"), db.get(SpamWord, TOTAL)
    assert [(w.spam, w.real) for w in words if w] == [(0, 12), (12, 12)]


def test_deleted_comment_leaves_replies(
    client: BlogClient, db: Session, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    top = make_comment(entry, "Top")
    middle = make_comment(entry, "Middle", parent_id=top.id)
    make_comment(entry, "Below", parent_id=middle.id)
    moderation.delete(db, [middle.id])

    page = client.get("/blog/a-title").text
    assert "Middle" not in page
    assert "Below" in page
    assert [c.parent_id for c in all_comments(db)] == [None, top.id]


def test_preview_stores_nothing(client: BlogClient, db: Session, make_entry: MakeEntry) -> None:
    make_entry()
    response = client.send_comment(
        "a-title", text="Look <b>here</b>", name="Ann", website="ann.example", preview="yes"
    )

    assert response.status_code == 200
    (preview,) = html.document_fromstring(response.text).xpath("//*[@aria-label='Preview']")
    assert "Look <b>here</b>" in preview.text_content()
    form = html.document_fromstring(response.text).forms[0]
    assert form.fields["text"].strip() == "Look <b>here</b>"
    assert form.fields["website"] == "https://ann.example"
    assert all_comments(db) == []


def test_reply_is_below_parent(
    client: BlogClient, db: Session, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    other = make_entry("Other")
    first = make_comment(entry, "First", name="Ann")
    make_comment(entry, "Second")
    elsewhere = make_comment(other)
    held = make_comment(entry, state="held")

    page = client.get("/blog/a-title").text
    assert f'href="/blog/a-title/reply/{first.id}"' in page
    reply = client.get(f"/blog/a-title/reply/{first.id}")
    assert "Reply to Ann" in reply.text
    assert "First" in reply.text
    assert "noindex" in reply.text
    fields = dict(html.document_fromstring(reply.text).forms[0].fields)
    assert fields["parent"] == str(first.id)
    client.send_comment("a-title", text="My answer", parent=str(first.id))
    assert all_comments(db)[-1].parent_id == first.id
    page = client.get("/blog/a-title").text
    assert page.index("First") < page.index("My answer") < page.index("Second")
    for id_ in (elsewhere.id, held.id, 999_999):
        assert client.get(f"/blog/a-title/reply/{id_}").status_code == 404
        assert client.send_comment("a-title", text=f"To {id_}", parent=str(id_)).status_code == 303
        assert all_comments(db)[-1].parent_id is None


@pytest.mark.parametrize(
    "website",
    [
        "javascript:alert(1)",
        "ftp://a.example",
        "https://",
        "https://a b.example",
        "http://[x",
        "x" * 300,
    ],
)
def test_invalid_website_is_explained(
    client: BlogClient, db: Session, make_entry: MakeEntry, website: str
) -> None:
    make_entry()
    response = client.send_comment("a-title", text="Kept", website=website)

    assert response.status_code == 422
    assert "is not a valid website address" in response.text
    assert "Kept" in response.text
    assert all_comments(db) == []


def test_website_link_is_nofollow(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment("a-title", text="Hello", name="Ann", website="https://ann.example/?a=1&b=2")

    (link,) = html.document_fromstring(client.get("/blog/a-title").text).xpath(
        "//*[@class='meta']/a[@rel='ugc nofollow']"
    )
    assert (link.text, link.get("href")) == ("Ann", "https://ann.example/?a=1&b=2")


def test_website_scheme_ignores_case(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry()
    client.send_comment("a-title", text="Hello", name="Ann", website="Https://ann.example")

    (link,) = html.document_fromstring(client.get("/blog/a-title").text).find_class("p-author")
    assert link.get("href") == "Https://ann.example"


@pytest.mark.parametrize(
    "typed",
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "'); DROP TABLE comment; --",
        "{{ 7 * 7 }}{% raw %}",
        "</textarea></title>",
        "\u202eAnn",
        "أهلا وسهلا",
        "Z" + "\u0301" * 70,
        "👩\u200d💻🏳️\u200d🌈",
    ],
)
def test_form_fields_are_escaped(
    client: BlogClient, db: Session, make_entry: MakeEntry, typed: str
) -> None:
    make_entry()
    previewed = client.send_comment("a-title", text=typed, name=typed, preview="yes")
    client.send_comment("a-title", text=typed, name=typed)
    parent = all_comments(db)[-1]
    client.send_comment("a-title", text="An answer", parent=str(parent.id))
    for page in (
        previewed,
        client.get("/blog/a-title"),
        client.get(f"/blog/a-title/reply/{parent.id}"),
    ):
        document = html.document_fromstring(page.text)
        author = document.find_class("p-author")[0]
        assert author.text == typed
        assert author.get("dir") == "auto", "without it, the text beside it is reversed, too"
        shown = document.xpath(
            "//*[contains(@class, 'comment')]//*[@dir][starts-with(@class, 'e-')]"
        )
        assert shown[0].text_content().strip() == typed
        assert not document.xpath("//img | //script[not(@type)] | //*[@onerror]")
    field = html.document_fromstring(previewed.text).get_element_by_id("comment-text")
    assert field.value.strip() == typed


@pytest.mark.parametrize("nothing", ["\u200b", "\u202e\u200f", "\u00ad \u2060", "\u2028"])
def test_invisible_comment_is_refused(
    client: BlogClient, db: Session, make_entry: MakeEntry, nothing: str
) -> None:
    make_entry()
    assert "Please enter a comment." in client.send_comment("a-title", text=nothing).text
    client.send_comment("a-title", text="Hello", name=nothing)

    (comment,) = all_comments(db)
    assert comment.author == "Anonymous"


def test_comment_markdown_is_restricted(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    make_entry()
    written = with_settings(client, comment_format="markdown")
    written.send_comment(
        "a-title",
        text="# Big\n\n*soft* [link](https://a.example) ![x](y.png) <script>x</script>\n\n- one",
    )

    (body,) = html.document_fromstring(written.get("/blog/a-title").text).xpath(
        "//*[contains(@class, 'comment')]//*[contains(@class, 'e-content')]"
    )
    names = {element.tag for element in body.iter()}
    assert {"em", "a", "ul", "li"} <= names
    assert not names & {"h1", "h2", "img", "script"}
    (link,) = body.iter("a")
    assert set(link.get("rel").split()) >= {"ugc", "nofollow"}


def test_comments_close_after_days(client: BlogClient, make_entry: MakeEntry) -> None:
    make_entry("Young", timestamp=NOW - timedelta(days=6))
    make_entry("Old", timestamp=NOW - timedelta(days=8))
    closing = with_settings(client, comments_close_after=7)

    assert "<textarea" in closing.get("/blog/young").text
    assert "Comments are closed" in closing.get("/blog/old").text
    token = form_token(closing.get("/blog/young").text)
    data = {"csrf_token": token, "text": "Late"}
    assert closing.post("/blog/old/comments", data=data).status_code == 403


@pytest.mark.parametrize("days", [7, 36_500])
def test_entry_of_year_9999_is_served(client: BlogClient, make_entry: MakeEntry, days: int) -> None:
    make_entry("Old", timestamp=NOW - timedelta(days=8))
    make_entry("Never", timestamp=datetime(9999, 12, 31, tzinfo=UTC))
    closing = with_settings(client, comments_close_after=days)

    paths = ["/blog", "/blog/old", "/blog/archive", "/blog/feed.atom", "/sitemap.xml"]
    assert [closing.get(path).status_code for path in paths] == [200] * 5


def test_expired_form_keeps_input(
    client: BlogClient, db: Session, make_entry: MakeEntry, app: Blog
) -> None:
    from itsdangerous import Signer

    make_entry()
    old = Signer(app.secret, salt="csrf").sign("2020-01-01").decode()
    response = client.post("/blog/a-title/comments", data={"csrf_token": old, "text": "Kept"})
    assert response.status_code == 422
    assert "This form has expired." in response.text
    assert all_comments(db) == []

    fields = dict(html.document_fromstring(response.text).forms[0].fields)
    again = client.post("/blog/a-title/comments", data={k: v for k, v in fields.items() if v})
    assert again.status_code == 303


def test_thread_indentation_is_limited(
    client: BlogClient, make_entry: MakeEntry, make_comment: MakeComment
) -> None:
    entry = make_entry()
    parent = None
    for number in range(6):
        parent = make_comment(entry, f"Level {number}", parent_id=parent and parent.id)

    for depth in (0, 3):
        page = html.document_fromstring(
            with_settings(client, comment_depth=depth).get("/blog/a-title").text
        )
        shown = [
            li.get("class").split()[1] for li in page.xpath("//li[contains(@class, 'comment')]")
        ]
        assert shown == [f"depth-{min(number, depth)}" for number in range(6)]


def test_privacy_page_names_days(client: BlogClient) -> None:
    page = with_settings(client, comment_days=12).get("/blog/privacy").text

    assert "after 12 days" in page


@pytest.mark.parametrize("number", [0, -1, 2**31, 9_999_999_999, 2**63, 2**70, -(2**70)])
def test_unknown_comment_id_is_named(db: Session, number: int) -> None:
    with pytest.raises(moderation.UnknownCommentError, match=rf"no comment {number}\. "):
        moderation.delete(db, [number])
