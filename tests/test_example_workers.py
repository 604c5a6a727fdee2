"""The examples without a web server: a thread pool and Celery."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Pool, QueuePool

from examples.thread_pool import store
from pool import ThreadLocalPool
from tests.processes import PATIENCE, environment

pytestmark = [pytest.mark.examples, pytest.mark.timeout(3 * PATIENCE)]

TEXTS = [f"Comment {number}" for number in range(40)]


def comments(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "blog.db")) as reader:
        return [text for (text,) in reader.execute("SELECT text FROM comment")]


@pytest.mark.parametrize("poolclass", [ThreadLocalPool, QueuePool])
def test_thread_pool(poolclass: type[Pool], tmp_path: Path) -> None:
    ids = store(TEXTS, f"sqlite:///{(tmp_path / 'blog.db').as_posix()}", poolclass)

    assert len(set(ids)) == len(TEXTS)
    assert sorted(comments(tmp_path)) == sorted(TEXTS)


# Celery's messages as files, so that the test needs no broker.
CONFIG = """
import os
from examples.celery_tasks import app, comment

queue = os.path.join(os.getcwd(), "queue")
app.conf.broker_transport_options = {
    "data_folder_in": queue, "data_folder_out": queue, "control_folder": queue
}
"""

SEND = """
import sys
from celery_config import comment

sent = [comment.delay(1, text, "Worker") for text in sys.argv[1:]]
ids = {one.get(timeout=60) for one in sent}
assert len(ids) == len(sent)
"""


@pytest.mark.parametrize(
    "workers",
    [
        "threads",
        pytest.param(
            "prefork",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="Celery cannot fork here"),
        ),
    ],
)
def test_celery(workers: str, tmp_path: Path) -> None:
    pytest.importorskip("celery", reason="needs the extra `examples`")
    (tmp_path / "celery_config.py").write_text(CONFIG, encoding="utf-8")
    for folder in "queue", "results":
        (tmp_path / folder).mkdir()
    variables = environment(
        CELERY_BROKER="filesystem://",
        CELERY_BACKEND=(tmp_path / "results").as_uri(),
        DATABASE=f"sqlite:///{(tmp_path / 'blog.db').as_posix()}",
    )
    command = [
        *(sys.executable, "-m", "celery", "--app", "celery_config", "worker"),
        *(f"--pool={workers}", "--concurrency=4"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as output:
        worker = subprocess.Popen(
            command, cwd=tmp_path, env=variables, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            subprocess.run(
                [sys.executable, "-c", SEND, *TEXTS],
                cwd=tmp_path,
                env=variables,
                check=True,
                timeout=2 * PATIENCE,
            )
        finally:
            worker.terminate()
            worker.wait(PATIENCE)

    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert sorted(comments(tmp_path)) == sorted(TEXTS)
