"""Who has the connections: for people who look for the one that does not give them back."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType

from pool.homes import Home
from pool.slots import Slot
from pool.stats import ThreadUse


def uses(homes: Iterable[Home], slots: Iterable[Slot]) -> tuple[ThreadUse, ...]:
    """What each thread has of a pool with these homes and slots."""
    now = time.monotonic()
    names = _names()
    used: dict[Home, list[float]] = {home: [] for home in homes}
    for slot in slots:
        if slot.state == "in use":
            used.setdefault(slot.home, []).append(now - slot.since)
    return tuple(
        ThreadUse(
            name=names.get(home.ident, ""),
            ident=home.ident,
            native_id=home.native_id,
            idle=len(home.idle),
            in_use=len(ages),
            oldest=max(ages, default=None),
        )
        for home, ages in used.items()
    )


def describe(slots: Iterable[Slot]) -> Iterator[str]:
    """Say of each connection in use which thread checked it out, when, and what that does now."""
    now = time.monotonic()
    names = _names()
    # Of CPython, as the underscore says; elsewhere there is nothing to show.
    frames = sys._current_frames() if hasattr(sys, "_current_frames") else {}
    for slot in slots:
        if slot.state == "in use":
            name = names.get(slot.home.ident) or f"thread {slot.home.ident}"
            yield f"{name} for {now - slot.since:.1f} s{_place(frames.get(slot.home.ident))}"


def _names() -> dict[int | None, str]:
    return {thread.ident: thread.name for thread in threading.enumerate()}


def _place(frame: FrameType | None) -> str:
    """Where a thread is, in the code of the one who uses SQLAlchemy."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("sqlalchemy."):
        frame = frame.f_back
    if frame is None:
        return ""
    return f" (now at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name})"
