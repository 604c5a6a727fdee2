"""Server processes: their start, CPU time and memory."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]

NGINX = "nginx"

T = TypeVar("T")

#: Wine shows the /proc of its host, with other processes in it.
HAS_PROC = sys.platform != "win32" and Path("/proc/self/stat").exists()

_NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    keepalive_requests 100000000;
    default_type text/html;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/pages;
        location / {{ try_files $uri.html =404; }}
    }}
}}
"""


def apart(function: Callable[..., T], *values: object) -> T:
    """Call a function in a separate process, where nothing of this one gets in its way."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *values).result()


class Server(NamedTuple):
    """A server process, and its address."""

    process: "subprocess.Popen[str]"
    url: str

    def cpu(self) -> float | None:
        """The CPU time of it and its children in seconds; None on a system without /proc."""
        return sum(map(_cpu, _family(self.process.pid))) if HAS_PROC else None

    def memory(self) -> int | None:
        """Its resident memory in bytes; None on a system without /proc."""
        return memory(self.process.pid)


def memory(process: int) -> int | None:
    """Return the resident memory of a process in bytes; None on a system without /proc."""
    if not HAS_PROC:
        return None
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _family(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:  # some kernels do not tell
        return [process]
    return [process, *map(int, children.split())]


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def contender(name: str, file: Path, threads: int) -> Iterator[Server]:
    """Start the server of a contender, and end it with the block."""
    command = [sys.executable, "-m", "benchmarks.visits.host", name, str(file), str(threads)]
    with running(command) as server:
        yield server


@contextmanager
def running(command: list[str], environ: dict[str, str] | None = None) -> Iterator[Server]:
    """Start a command that prints the address at which it serves."""
    process = subprocess.Popen(  # noqa: S603 - our own servers
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        for line in process.stdout or ():
            _, scheme, rest = line.partition("http://")
            if scheme:
                yield Server(process, scheme + rest.split()[0].removesuffix("/blog"))
                break
        else:
            raise RuntimeError(f"{' '.join(command)} did not start.")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def nginx(folder: Path, pages: dict[str, bytes]) -> Iterator[Server]:
    """Let nginx serve `pages`, by their paths, as files in `folder`.

    :raises FileNotFoundError: there is no nginx on the PATH.
    """
    program = shutil.which(NGINX)
    if program is None:
        raise FileNotFoundError("there is no nginx on the PATH")
    for path, page in pages.items():
        file = folder / "pages" / f"{path.removeprefix('/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(page)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = _NGINX.format(folder=folder, port=port)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Otherwise its workers would run as a user who may not read our folder.
        text = "user root;" + text
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen(  # noqa: S603
        [program, "-e", str(folder / "error.log"), "-p", str(folder), "-c", "nginx.conf"],
        encoding="utf-8",
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url + next(iter(pages)))
        yield Server(process, url)
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str) -> None:
    for _ in range(100):
        try:
            with urlopen(address, timeout=5):  # noqa: S310 - our own
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"There is no response from {address}.")
