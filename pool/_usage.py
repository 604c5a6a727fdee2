"""Who has the connections: for people who look for the one that does not give them back."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from types import FrameType

from ._permits import Slot
from ._stacks import Home
from ._stats import ThreadUse

# Ident and native id: an ident by itself is given to the next thread at once.
_Thread = tuple[int, int]


def uses(homes: Iterable[Home], slots: Iterable[Slot]) -> tuple[ThreadUse, ...]:
    """What each thread has of a pool with these homes and slots."""
    now = time.monotonic()
    names = _names()
    used: dict[_Thread, list[float]] = {}
    idle: Counter[_Thread] = Counter()
    for home in homes:
        used.setdefault(_thread(home), [])
        idle[_thread(home)] += len(home.idle)
    for slot in slots:
        if slot.state == "in use":
            used.setdefault(_thread(slot.home), []).append(now - slot.since)
    return tuple(
        ThreadUse(
            name=names.get(thread, ""),
            ident=thread[0],
            native_id=thread[1],
            idle=idle[thread],
            in_use=len(ages),
            oldest=max(ages, default=None),
        )
        for thread, ages in used.items()
    )


def describe(slots: Iterable[Slot]) -> Iterator[str]:
    """Say of each connection in use which thread checked it out, when, and what that does now."""
    now = time.monotonic()
    names = _names()
    places = _places()
    for slot in slots:
        if slot.state == "in use":
            thread = _thread(slot.home)
            name = names.get(thread)
            where = places.get(thread[0], "") if name else ""
            yield f"{name or f'thread {thread[1]}'} for {now - slot.since:.1f} s{where}"


def _thread(home: Home) -> _Thread:
    return home.ident, home.native_id


def _names() -> dict[_Thread, str]:
    return {
        (thread.ident or 0, thread.native_id or 0): thread.name for thread in threading.enumerate()
    }


def _places() -> dict[int, str]:
    if not hasattr(sys, "_current_frames"):  # of CPython, as the underscore says
        return {}
    frames = sys._current_frames()
    try:
        return {ident: _place(frame) for ident, frame in frames.items()}
    finally:
        # One of them is our own, which has `frames`: a cycle, and all frames have what their
        # functions had, connections for example.
        frames.clear()


def _place(frame: FrameType | None) -> str:
    """Where a thread is, in the code of the one who uses SQLAlchemy."""
    ours = ("sqlalchemy.", f"{__package__}.")
    while frame is not None and frame.f_globals.get("__name__", "").startswith(ours):
        frame = frame.f_back
    if frame is None:
        return ""
    return f" (now at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name})"
