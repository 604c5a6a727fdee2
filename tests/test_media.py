"""Images and other files of the author."""

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from werkzeug.http import http_date
from werkzeug.test import create_environ, run_wsgi_app

from blog.application import Blog
from blog.config import Config
from blog.views.files import find
from tests.conftest import BlogClient
from tests.links import make_link

PICTURE = bytes(range(256)) * 4

MakeFile = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "2026").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"secret")
    for name in ("a.png", "2026/Bild ü.JPG", "a.svg", "a.html", "a.unknown", ".hidden.png"):
        (folder / name).write_bytes(PICTURE)
    return folder


@pytest.fixture
def client(config: Config, engine: Engine, folder: Path) -> BlogClient:
    return BlogClient(Blog(replace(config, media=str(folder)), engine, "s"))


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [
        ("a.png", "image/png"),
        ("2026/Bild ü.JPG", "image/jpeg"),
        ("a.svg", "image/svg+xml"),
        ("a.html", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
    ],
)
def test_file_has_its_type(client: BlogClient, name: str, mimetype: str) -> None:
    response = client.get(f"/media/{name}")

    assert (response.status_code, response.mimetype) == (200, mimetype)
    assert response.data == PICTURE
    is_offered = "attachment" in response.headers.get("Content-Disposition", "")
    assert is_offered == (mimetype == "application/octet-stream")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    head = client.head(f"/media/{name}")
    assert head.data == b""
    assert head.headers["Content-Length"] == str(len(PICTURE))


def test_svg_file_cannot_run_scripts(client: BlogClient) -> None:
    assert client.get("/media/a.svg").headers["Content-Security-Policy"].startswith("sandbox;")


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, PICTURE[:10]),
        ("bytes=1000-", 206, PICTURE[1000:]),
        ("bytes=-24", 206, PICTURE[-24:]),
        ("bytes=-99999", 206, PICTURE),
        ("bytes=-" + "9" * 3000, 206, PICTURE),
        ("bytes=0-" + "9" * 3000, 206, PICTURE),
        ("Bytes= 0-9 ", 206, PICTURE[:10]),
        ("bytes=1023-", 206, PICTURE[1023:]),
        ("bytes=1024-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-9999", 206, PICTURE),
        ("bytes=5000-", 416, None),
    ],
)
def test_range_of_file(client: BlogClient, asked: str, status: int, part: bytes | None) -> None:
    response = client.get("/media/a.png", headers={"Range": asked})

    assert response.status_code == status
    if part is None:
        assert response.headers["Content-Range"] == "bytes */1024"
    else:
        assert response.data == part
        assert response.headers["Content-Range"].endswith("/1024")


@pytest.mark.parametrize(
    "asked",
    [
        *("lines=1-2", "bytes=9-2", "bytes=0-9,20-29", "bytes=", "bytes", "", "bytes=x-y"),
        *("bytes=-", "bytes=--5", "bytes=+1-5", "bytes=1-5x", "bytes=\u00b2-5", "bytes=0 -9"),
        "bytes=" + "9" * 5000 + "-",
    ],
)
def test_invalid_range_gets_whole_file(client: BlogClient, asked: str) -> None:
    response = client.get("/media/a.png", headers={"Range": asked})

    assert (response.status_code, response.data) == (200, PICTURE)


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=5000-"])
def test_head_of_file_ignores_range(client: BlogClient, asked: str) -> None:
    response = client.head("/media/a.png", headers={"Range": asked})

    assert response.status_code == 200
    assert response.headers["Content-Length"] == "1024"


def test_if_range_mismatch_gets_whole_file(client: BlogClient) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}

    assert client.get("/media/a.png", headers=headers).data == PICTURE


CHANGED = datetime(2020, 2, 29, 12, tzinfo=UTC)
DATES = {
    "exact": http_date(CHANGED),
    "earlier": http_date(CHANGED - timedelta(days=1)),
    "later": http_date(CHANGED + timedelta(days=1)),
    "no date": "yesterday",
}
TAGS = ["*", "{}", "W/{}", '"x"', '"x", {}', "x"]


def expected(headers: dict[str, str], etag: str) -> int:
    """Return the status of a GET, by https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2.

    With one exception: a file replaced by an older one does not match a later date.
    """
    tags = {name: set(value.split(", ")) for name, value in headers.items()}
    if "If-Match" in headers:
        if not tags["If-Match"] & {"*", etag}:
            return 412
    elif headers.get("If-Unmodified-Since") == DATES["earlier"]:
        return 412
    if "If-None-Match" in headers:
        if tags["If-None-Match"] & {"*", etag, f"W/{etag}"}:
            return 304
    elif headers.get("If-Modified-Since") == DATES["exact"]:
        return 304
    if headers.get("If-Range", etag) in {etag, DATES["exact"]}:
        return {"bytes=0-9": 206, "bytes=5000-": 416}.get(headers.get("Range", ""), 200)
    return 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "If-Match": st.sampled_from(TAGS),
            "If-None-Match": st.sampled_from(TAGS),
            "If-Unmodified-Since": st.sampled_from([*DATES.values()]),
            "If-Modified-Since": st.sampled_from([*DATES.values()]),
            "If-Range": st.sampled_from([*TAGS[1:4], *DATES.values()]),
            "Range": st.sampled_from(["bytes=0-9", "bytes=5000-", "lines=1-2"]),
        },
    )
)
def test_preconditions_come_before_range(
    client: BlogClient, folder: Path, headers: dict[str, str]
) -> None:
    os.utime(folder / "a.png", (CHANGED.timestamp(), CHANGED.timestamp()))
    etag = client.get("/media/a.png").headers["ETag"]
    headers = {name: value.format(etag) for name, value in headers.items()}
    response = client.get("/media/a.png", headers=headers)

    assert response.status_code == expected(headers, etag)
    size = {200: 1024, 206: 10, 304: 0, 412: 0}.get(response.status_code)
    assert size is None or len(response.data) == size
    if response.status_code != 416:
        assert response.headers["ETag"] == etag


def test_recently_changed_file_has_no_date(client: BlogClient, folder: Path) -> None:
    (folder / "a.png").write_bytes(PICTURE)
    response = client.get("/media/a.png")
    assert "Last-Modified" not in response.headers

    changed = response.headers["ETag"]
    (folder / "a.png").write_bytes(PICTURE[::-1] + b"x")
    headers = {"If-None-Match": changed, "Range": "bytes=0-9", "If-Range": changed}
    assert client.get("/media/a.png", headers=headers).data == PICTURE[::-1] + b"x"


def test_files_are_closed(client: BlogClient, folder: Path) -> None:
    for headers in ({}, {"Range": "bytes=0-1"}, {"Range": "bytes=5000-"}, {"If-None-Match": "*"}):
        client.get("/media/a.png", headers=headers)
        client.head("/media/a.png", headers=headers)
    # Windows would not delete an open file.
    (folder / "a.png").rename(folder / "b.png")


@pytest.mark.parametrize(
    "name",
    [
        *("none.png", "", "2026", "2026/", ".hidden.png", "../secret.png", "2026/../../secret.png"),
        *(
            "..%2fsecret.png",
            "a.png/x",
            "a.png:stream",
            "..\\secret.png",
            "/etc/passwd",
            "C:/x",
            "NUL",
        ),
        "x" * 5000,
    ],
)
def test_other_paths_are_not_found(client: BlogClient, name: str) -> None:
    environ = create_environ("/")
    environ["PATH_INFO"] = f"/media/{name}"
    _, status, _ = run_wsgi_app(client.application, environ, buffered=True)

    assert status == "404 NOT FOUND"


@pytest.mark.skipif(sys.platform != "win32", reason="only Windows has short names")
def test_hidden_file_has_no_short_name(client: BlogClient, folder: Path) -> None:
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.png").write_bytes(PICTURE)
    for path in (folder / ".hidden.png", folder / ".hidden" / "a.png"):
        name = short(path).relative_to(short(folder))
        assert not str(name).startswith("."), "the volume has no short names"

        assert client.get(f"/media/{name.as_posix()}").status_code == 404


def short(path: Path) -> Path:
    """Return the short name, as of DOS."""
    buffer = ctypes.create_unicode_buffer(1_000)
    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    assert kernel.GetShortPathNameW(str(path), buffer, len(buffer))
    return Path(buffer.value)


def test_link_out_of_media_is_refused(client: BlogClient, folder: Path) -> None:
    make_link(folder / "out.png", folder.parent / "secret.png")
    make_link(folder / "in.png", folder / "a.png")

    assert client.get("/media/out.png").status_code == 404
    assert client.get("/media/in.png").status_code == 200


@given(name=st.text(max_size=60))
def test_no_name_leaves_media(name: str) -> None:
    here = Path(__file__).parent
    found = find(here / "pool", name)

    assert found is None or found.is_relative_to(here / "pool")


def test_blog_without_media(config: Config, engine: Engine, tmp_path: Path) -> None:
    client = BlogClient(Blog(replace(config, media=str(tmp_path / "none")), engine, "s"))

    assert client.get("/media/a.png").status_code == 404
