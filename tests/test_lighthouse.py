"""Lighthouse, https://developer.chrome.com/docs/lighthouse, finds nothing to improve."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import THREADLEAF, Server, start

#: The executable of the npm package `lighthouse`.
LIGHTHOUSE = os.environ.get("LIGHTHOUSE", "")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.lighthouse,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not LIGHTHOUSE, reason="LIGHTHOUSE is not set to its executable"),
]

PAGES = {
    "front": "/blog",
    "entry": "/blog/two-visitors-and-one-key",
    "search": "/blog/search?q=key",
    "tag": "/blog/tag/garden",
}

#: Categories that do not depend on timing.
CATEGORIES = ["accessibility", "best-practices", "seo"]
#: Audits of performance that do not depend on how busy the machine is.
WEIGHT = [
    "cumulative-layout-shift",
    "dom-size",
    "font-display",
    "network-requests",
    "redirects",
    "third-party-summary",
    "total-byte-weight",
    "unminified-css",
    "unused-css-rules",
    "uses-text-compression",
]
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    # Pages contain their own address, so the port must be known in advance.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Server(start([*THREADLEAF, "demo", "--port", port])) as server:
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_lighthouse(demo: Server, tmp_path: Path, page: str) -> None:
    report = audit(demo.url + PAGES[page], tmp_path)
    assert missed(report) == []
    scores = {name: report["categories"][name]["score"] for name in CATEGORIES}
    assert scores == dict.fromkeys(CATEGORIES, 1)


def audit(address: str, folder: Path) -> dict[str, Any]:
    """Return the report of Lighthouse for a page."""
    report = folder / "report.json"
    subprocess.run(
        [
            *(LIGHTHOUSE, address, "--quiet", "--output=json"),
            *(f"--output-path={report}", f"--only-categories=performance,{','.join(CATEGORIES)}"),
            f"--chrome-flags={FLAGS} --user-data-dir={folder / 'browser'}",
        ],
        env={**os.environ, "CHROME_PATH": str(CHROMIUM)},
        check=True,
    )
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


def missed(report: dict[str, Any]) -> list[object]:
    """Return the titles of failed audits, without those that depend on timing."""
    audits = report["audits"]
    names = [each["id"] for name in CATEGORIES for each in report["categories"][name]["auditRefs"]]
    found = [audits[name] for name in [*names, *WEIGHT]]
    return [each["title"] for each in found if each["score"] not in {None, 1}]
