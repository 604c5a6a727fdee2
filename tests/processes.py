"""Processes that the tests start: how to read what they print, and how to stop them."""

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

# Longer than anything here takes, so that only a hang reaches it.
PATIENCE = 60

#: The checkout: what it holds is tested, whatever else is installed.
ROOT = Path(__file__).resolve().parents[1]

#: The command `threadleaf`, with this Python.
THREADLEAF = [sys.executable, "-W", "error", "-m", "blog"]

if sys.platform == "win32":
    STOP = signal.SIGBREAK
    CONSOLE_EVENTS: dict[int, int] = {signal.SIGBREAK: signal.CTRL_BREAK_EVENT}
    # Without a group of its own, the break would reach pytest as well.
    FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
    WINE = hasattr(ctypes.windll.ntdll, "wine_get_version")
else:
    STOP = signal.SIGTERM
    CONSOLE_EVENTS: dict[int, int] = {}
    FLAGS = 0
    WINE = False


def environment(**values: object) -> dict[str, str]:
    """Our environment, without a blog's settings in it, and with `values`."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("THREADLEAF_")}
    # Windows knows its variables in capitals only.
    given = {name: str(value) for name, value in values.items()}
    return {**ours, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **given}


def start(
    command: Sequence[object], folder: Path | None = None, environ: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start `command` in `folder` and `environ`, with pipes for all that is said."""
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
    """Reserve a port of 127.0.0.1 for a process that a test starts.

    Linux hands out no port that is bound, and lets a second socket with SO_REUSEADDR bind it as
    long as the first does not listen: https://man7.org/linux/man-pages/man7/socket.7.html
    Elsewhere the port is released before it is used, and may be taken in between.
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
    """A process that serves, and says where in a line of what it prints."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        #: What it printed, up to and with the line that has the address.
        self.greeting = ""
        while (found := re.search(r"http://\S+", self.greeting)) is None:
            line = self.line()
            if not line:
                raise AssertionError(f"It did not start:\n{self.greeting}{self.ended()[2]}")
            self.greeting += line + "\n"
        #: The address that it named, without the `/blog` that the command adds.
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
        """Send a signal; return the time just before that. Skips the rest of a test under wine."""
        if WINE:
            pytest.skip("wine has no SIGBREAK")
        before = time.monotonic()
        self.process.send_signal(CONSOLE_EVENTS.get(number, number))
        return before

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, and what was printed and logged since the last line read."""
        printed, logged = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, printed, logged
