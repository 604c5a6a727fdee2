"""How many steps a request takes through `blog/`: calls, files, and moves between files.

    python benchmarks/steps.py                  # of this checkout
    python benchmarks/steps.py ../other         # of another one

Counts with :func:`sys.setprofile`, in process: a call is a Python function of a file in `blog/`
that begins, and a generator or comprehension each time it is resumed; a switch is a call whose
caller, the nearest in `blog/`, is in another file. Calls before the request (imports, the first
rendering of a template) are not counted, and neither is what the client does.
"""

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

ROOT = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[1]).resolve()
# Not the directory of this file, where `pool` would be a file in it.
sys.path[0] = str(ROOT)

from werkzeug.test import Client, TestResponse  # noqa: E402

from blog import demo  # noqa: E402
from blog.application import create_app  # noqa: E402
from blog.config import Config  # noqa: E402
from blog.database import connect, session_factory  # noqa: E402
from blog.importing.run import import_path  # noqa: E402
from blog.operations import migration  # noqa: E402

BLOG = f"{ROOT / 'blog'}/"
PATH = "/blog/counting-words"


class Steps(NamedTuple):
    """What was counted of a request."""

    calls: int
    files: int
    switches: int


def count(act: Callable[[], TestResponse]) -> Steps:
    """Count the steps of what `act` asks for."""
    # By frame: whether it is in `blog/`, and in which file.
    stack: list[str | None] = []
    calls: list[str] = []
    switches = 0

    def note(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal switches
        if event == "call":
            file = frame.f_code.co_filename
            inside = file if file.startswith(BLOG) else None
            if inside:
                calls.append(inside)
                caller = next((each for each in reversed(stack) if each), None)
                switches += caller is not None and caller != inside
            stack.append(inside)
        elif event == "return" and stack:
            stack.pop()

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return Steps(len(calls), len(set(calls)), switches)


def make(folder: Path) -> Config:
    """Return the settings of the blog of `threadleaf demo`."""
    config = Config(site_url="http://localhost", database=f"sqlite:///{folder / 'blog.db'}")
    engine = connect(config.database)
    migration.upgrade(engine)
    sessions = session_factory(engine)
    for _ in import_path(demo.HERE, sessions):
        pass
    with sessions() as db:
        demo.add_comments(db)
    engine.dispose()
    return config


def comment(client: Client, text: str) -> Callable[[], TestResponse]:
    """Open the page, fill in its form, and return what sends it."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(PATH, buffered=True).text)
    form = {"csrf_token": token[1] if token else "", "text": text}
    sender = {"REMOTE_ADDR": "203.0.113.7"}

    def send() -> TestResponse:
        response = client.post(f"{PATH}/comments", data=form, environ_base=sender, buffered=True)
        if response.status_code != 303:
            raise RuntimeError(f"The comment was answered with {response.status}.")
        return response

    return send


def main() -> None:
    """Count, and print a table in Markdown."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        app = create_app(make(Path(name)))
        # Each without the cookies of the one before.
        first, reader, commenter = Client(app), Client(app), Client(app)
        comment(first, "One before, for imports and caches.")()
        first.get(PATH, buffered=True)
        comment(first, "Another one, after which no page is current.")()
        rows = {
            "uncached GET": count(lambda: reader.get(PATH, buffered=True)),
            "cached GET": count(lambda: reader.get(PATH, buffered=True)),
            "comment": count(comment(commenter, "The one that counts.")),
        }
        app.engine.dispose()
    sys.stdout.write("| | calls | files | switches |\n| --- | ---: | ---: | ---: |\n")
    for what, steps in rows.items():
        sys.stdout.write(f"| {what} | {steps.calls} | {steps.files} | {steps.switches} |\n")


if __name__ == "__main__":
    main()
