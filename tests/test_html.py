"""Pages pass the Nu HTML checker, https://validator.github.io/validator/."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from blog.application import Blog
from tests.conftest import BlogClient

JAR = os.environ.get("NU_JAR", "")
JAVA = shutil.which("java")

pytestmark = [
    pytest.mark.nu,
    pytest.mark.skipif(JAVA is None, reason="Java is not installed"),
    pytest.mark.skipif(not JAR, reason="NU_JAR is not set to the path of vnu.jar"),
]

PAGES = [
    *("/blog", "/blog?page=2", "/blog/archive", "/blog/2026", "/blog/2025/03", "/blog/tags"),
    *("/blog/tag/garden", "/about", "/blog/two-visitors-and-one-key", "/blog/counting-words"),
    *("/blog/series/a-small-garden", "/blog/the-wrong-spade", "/blog/the-slow-post"),
    *("/blog/a-list-for-january", "/blog/questions-for-a-garden-diary", "/blog/privacy"),
    *("/blog/two-visitors-and-one-key/reply/3", "/blog/search?q=the+key"),
    *("/blog/search", "/nowhere"),
]


def test_pages_are_valid_html(demo_blog: Blog, tmp_path: Path) -> None:
    client = BlogClient(demo_blog)
    answers = [client.get(path) for path in PAGES]
    answers.append(client.send_comment("counting-words", text="Is this so?", preview="yes"))
    links = " ".join(f"https://{number}.example/" for number in range(9))
    held = client.send_comment("counting-words", text=f"Look: {links}", name="A & B")
    answers.append(client.get(held.headers["Location"]))
    answers.append(client.send_comment("counting-words", text="", name="x" * 100))
    answers.append(client.post("/blog/counting-words/comments", data={"text": "Kept"}))
    for number, answer in enumerate(answers):
        (tmp_path / f"{number}.html").write_bytes(answer.data)

    files = sorted(map(str, tmp_path.iterdir()))
    command = [str(JAVA), "-jar", JAR, "--format", "json", "--exit-zero-always", *files]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [a.status_code for a in answers] == [200] * (len(PAGES) - 1) + [404, 200, 200, 422, 403]
    assert json.loads(result.stderr)["messages"] == []
