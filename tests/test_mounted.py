"""A blog below a path of a larger site: links in texts, and old addresses."""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urljoin

import pytest
from lxml import html
from sqlalchemy.orm import Session

from blog.application import Blog
from blog.models import Comment, Redirect
from tests.conftest import SITE_URL, BlogClient, MakeEntry


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("/journal/2015/03/hello", "/2015/03/hello/"),
        ("/2015/03/hello", "/2015/03/hello/?utm_source=x"),
        ("/blog/former", "/blog/former"),
        ("/journal/blog/former", "/blog/former"),
        ("/journal?p=7", "/?p=7&utm_source=a"),
        ("/?p=7", "/?p=7&utm_source=a"),
    ],
)
def test_old_address_redirects_below_mount(
    client: BlogClient, db: Session, make_entry: MakeEntry, stored: str, asked: str
) -> None:
    db.add(Redirect(path=stored, entry_id=make_entry().id))
    other = make_entry("Other")
    db.add_all(Redirect(path=path, entry_id=other.id) for path in ("/journal", "/other/hello"))
    db.commit()

    response = client.get(asked, base_url=f"{SITE_URL}/journal")
    assert (response.status_code, response.location) == (301, "/journal/blog/a-title")


MOUNTED = """\
![Tea](/media/tea.png) [entry](/blog/other?x=1#y) [page](/about) [site](/shop/tea)
[there](/journal/blog/x)
[host](//example.org/blog/x) [tags](/blog/tags) `src="/media/x.png"`

<picture><source srcset="/media/a.png 1x, /media/b.png 2x"><img src="media/c.png" alt=""></picture>
"""


def addresses(text: str) -> list[str]:
    body = html.fragment_fromstring(text, create_parent=True)
    return [str(found) for found in body.xpath("//@href | //@src | //@srcset")]


@pytest.mark.parametrize("mount", ["", "/journal", "/blog", "/a/b"])
def test_links_in_texts_follow_mount(
    app: Blog,
    make_entry: MakeEntry,
    make_comment: Callable[..., Comment],
    mount: str,
) -> None:
    """One database works with every mount, because stored texts do not contain it."""
    entry = make_entry(body=MOUNTED, summary="[A](/media/a.png)")
    make_comment(entry, "[B](/blog/other)", format="markdown")
    config = replace(app.config, site_url=f"https://blog.example{mount}")
    blog = Blog(config, app.engine, app.secret)
    clients = {mount: BlogClient(blog), "": BlogClient(app)}
    for each, client in clients.items():
        own = f"https://blog.example{each}"
        # A link that begins with the mount is left unchanged.
        below = "" if each == "/blog" else each
        page = html.document_fromstring(client.get("/blog/a-title", base_url=own).text)
        (body,) = page.find_class("prose")
        shown = addresses(html.tostring(body, encoding="unicode"))
        wanted = [
            *(f"{each}/media/tea.png", f"{below}/blog/other?x=1#y", "/about", "/shop/tea"),
            *("/journal/blog/x", "//example.org/blog/x", f"{below}/blog/tags"),
            *(f"{each}/media/a.png 1x, {each}/media/b.png 2x", "media/c.png"),
        ]
        assert shown == wanted
        assert 'src="/media/x.png"' in body.text_content()
        (comment,) = page.find_class("comment")
        assert comment.xpath(f".//a[@href='{below}/blog/other']")
        listed = html.document_fromstring(client.get("/blog", base_url=own).text)
        (teaser,) = listed.find_class("p-summary")
        assert teaser.xpath(f".//a[@href='{each}/media/a.png']")

        (item,) = client.get("/blog/feed.json", base_url=own).get_json(force=True)["items"]
        outside = [address for address in addresses(item["content_html"]) if ", " not in address]
        assert outside == [
            urljoin(f"{own}/blog/a-title", address) for address in wanted if ", " not in address
        ]
        described = page.xpath("//script[@type='application/ld+json']")[0].text
        assert f'"https://blog.example{each}/media/tea.png"' in described
