"""Lighthouse, https://developer.chrome.com/docs/lighthouse, has nothing to improve."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.processes import THREADLEAF, Server, start

#: The program of the npm package `lighthouse`.
LIGHTHOUSE = os.environ.get("LIGHTHOUSE", "")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.lighthouse,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.skipif(not LIGHTHOUSE, reason="LIGHTHOUSE does not name its program"),
]

PAGES = {
    "front": "/blog",
    "entry": "/blog/two-visitors-and-one-key",
    "search": "/blog/search?q=key",
    "tag": "/blog/tag/garden",
}

CATEGORIES = ["performance", "accessibility", "best-practices", "seo"]
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    # Its pages name their own address, so it has to be known before.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Server(start([*THREADLEAF, "demo", "--port", port])) as server:
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_a_hundred_in_everything(demo: Server, tmp_path: Path, page: str) -> None:
    report = tmp_path / "report.json"
    subprocess.run(
        [
            *(LIGHTHOUSE, demo.url + PAGES[page], "--quiet", "--output=json"),
            *(f"--output-path={report}", f"--only-categories={','.join(CATEGORIES)}"),
            f"--chrome-flags={FLAGS} --user-data-dir={tmp_path / 'browser'}",
        ],
        env={**os.environ, "CHROME_PATH": str(CHROMIUM)},
        check=True,
    )
    found = json.loads(report.read_text("utf-8"))
    scores = {name: found["categories"][name]["score"] for name in CATEGORIES}
    click.echo(f"\n{page}: {scores}")

    assert scores == dict.fromkeys(CATEGORIES, 1), missed(found)


def missed(report: dict[str, dict[str, dict[str, object]]]) -> list[object]:
    """Return the titles of what cost points."""
    audits = report["audits"].values()
    return [audit["title"] for audit in audits if audit["score"] not in {None, 1}]
