"""The memory growth of `threadleaf serve` under requests that no browser would send.

    python benchmarks/growth.py            # 10,000 requests
    python benchmarks/growth.py 2000

Long queries, long headers and random parameters, all different. Prints the growth of the resident
memory; beyond `page_cache` it should be less than 30 MB. Needs /proc.
"""

import os
import string
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

if __name__ == "__main__":  # as a script, only this folder is on the path
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.visits.processes import ROOT, Server, running
from blog.config import Config

THREADLEAF = [sys.executable, "-m", "blog"]
CLIENTS = 8
MB = 1_000_000

#: An entry of the blog.
ENTRY = "---\ntitle: Entry {n}\ndate: 2020-01-{n:02}\ntags: [tea]\n---\n{text}"
PATHS = ["/blog", "/blog/entry-1", "/blog/search", "/blog/tags", "/blog/tag/tea", "/blog/feed.atom"]
PATHS += ["/sitemap.xml", "/blog/archive", "/nowhere", "/Blog/Archive/", "/", "/blog/2020"]


def word(random: Random, length: int) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=length))


def requests(random: Random, number: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield addresses and headers. The server accepts 64 KiB of both together."""

    def headers(length: int) -> dict[str, str]:
        accepted = f"br, gzip;q=0.5, {word(random, length)}"
        return {"Accept-Encoding": accepted, "X-Any": word(random, 100), "Cookie": f"a={accepted}"}

    kinds: list[Callable[[], tuple[str, dict[str, str]]]] = [
        lambda: (f"q={word(random, 60_000)}", {}),
        lambda: ("q=" + "+".join(word(random, 20) for _ in range(2_800)), {}),
        lambda: ("&".join(f"{word(random, 6)}={word(random, 9)}" for _ in range(3_500)), {}),
        lambda: (f"page={random.randrange(999)}&tag={word(random, 40_000)}", headers(8_000)),
        lambda: (f"q=tea+{word(random, 900)}", headers(8_000)),
        lambda: (f"q=tea&tag={word(random, 400)}&year={random.randrange(9_999)}", headers(150)),
    ]
    for _ in range(number):
        query, own = random.choice(kinds)()
        yield f"{random.choice(PATHS)}?{query}", own


def visit(url: str, seed: int, number: int, statuses: "Counter[int]") -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    for address, headers in requests(Random(seed), number):  # noqa: S311 - the same each time
        connection.request("GET", address, headers=headers)
        with connection.getresponse() as response:
            response.read()
        statuses[response.status] += 1
    connection.close()


def load(server: Server, seed: int, number: int) -> "Counter[int]":
    statuses: Counter[int] = Counter()
    share = number // CLIENTS
    threads = [
        threading.Thread(target=visit, args=(server.url, seed + n, share, statuses))
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "entries").mkdir()
        for n in range(1, 29):
            text = "Tea, and quiet rain on the willows. " * 150
            (folder / "entries" / f"{n}.md").write_text(ENTRY.format(n=n, text=text), "utf-8")
        settings = folder / "threadleaf.toml"
        settings.write_text(f"database = '{folder / 'blog.db'}'\nport = 0\n", "utf-8")
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "THREADLEAF_CONFIG": str(settings)}
        for command in (["upgrade"], ["import", str(folder / "entries")]):
            done = [*THREADLEAF, *command]
            subprocess.run(done, env=environ, check=True, capture_output=True)  # noqa: S603
        with running([*THREADLEAF, "serve"], environ) as server:
            load(server, 1_000_000, 400)
            before = server.memory() or 0
            print(f"after 400 requests: {before / MB:.1f} MB")  # noqa: T201
            statuses = load(server, 0, number)
            grown = (server.memory() or 0) - before
            cache = Config.page_cache * 1024 * 1024
            print(  # noqa: T201
                f"after {number:,} more: grown by {grown / MB:.1f} MB, of which page_cache may be "
                f"{cache / MB:.1f} MB; {dict(statuses)}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000)
