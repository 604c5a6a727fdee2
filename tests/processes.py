"""Processes started by tests: their output, and how to stop them."""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import pytest

# Longer than any test takes, so that only a hang reaches it.
PATIENCE = 60

#: The checkout: its code is tested, even if another version is installed.
ROOT = Path(__file__).resolve().parents[1]

#: The command `threadleaf`, run by this Python.
THREADLEAF = [sys.executable, "-W", "error", "-m", "blog"]

if sys.platform == "win32":
    STOP = signal.SIGBREAK
    CONSOLE_EVENTS: dict[int, int] = {signal.SIGBREAK: signal.CTRL_BREAK_EVENT}
    # Without its own process group, the break would reach pytest as well.
    FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
    WINE = hasattr(ctypes.windll.ntdll, "wine_get_version")
else:
    STOP = signal.SIGTERM
    CONSOLE_EVENTS: dict[int, int] = {}
    FLAGS = 0
    WINE = False


def environment(**values: object) -> dict[str, str]:
    """Our environment without settings of a blog, with `values` added."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("THREADLEAF_")}
    # On Windows, names of variables are upper case.
    given = {name: str(value) for name, value in values.items()}
    return {**ours, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **given}


def start(
    command: Sequence[object], folder: Path | None = None, environ: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start `command` in `folder` with `environ`, and with pipes for its output."""
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        creationflags=FLAGS,
        cwd=folder,
        env=environ or environment(),
    )


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port of 127.0.0.1 for a process started by a test.

    Linux never assigns a bound port, and lets a second socket with SO_REUSEADDR bind it while the
    first does not listen: https://man7.org/linux/man-pages/man7/socket.7.html
    On other systems the port is released before its use, and may be taken in between.
    """
    with socket.socket() as holder:
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


class Server:
    """A server process that prints its address."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        #: Its output up to and including the line with the address.
        self.greeting = ""
        while (found := re.search(r"http://\S+", self.greeting)) is None:
            line = self.line()
            if not line:
                raise AssertionError(f"It did not start:\n{self.greeting}{self.ended()[2]}")
            self.greeting += line + "\n"
        #: The printed address, without the `/blog` that the command adds.
        self.url = found[0].removesuffix("/blog")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)

    def line(self) -> str:
        assert self.process.stdout is not None
        hang = threading.Timer(PATIENCE, self.process.kill)
        hang.start()
        try:
            return self.process.stdout.readline().rstrip("\n")
        finally:
            hang.cancel()

    def get(self, path: str) -> str:
        with urlopen(self.url + path, timeout=PATIENCE) as response:
            text: str = response.read().decode()
            return text

    def stop(self, number: int = STOP) -> float:
        """Send a signal and return the time just before. Skips the rest of the test under wine."""
        if WINE:
            pytest.skip("wine has no SIGBREAK")
        before = time.monotonic()
        self.process.send_signal(CONSOLE_EVENTS.get(number, number))
        return before

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, output and log since the last line read."""
        printed, logged = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, printed, logged
