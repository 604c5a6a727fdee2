"""Which thread holds which connections, for finding one that is not returned."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from types import FrameType

from ._permits import Permit
from ._stacks import ThreadStack
from ._stats import ThreadUse

# Ident and native id: an ident alone is reused at once for the next thread.
_Thread = tuple[int, int]


def uses(stacks: Iterable[ThreadStack], permits: Iterable[Permit]) -> tuple[ThreadUse, ...]:
    """Return what each thread has of a pool with these stacks and permits."""
    now = time.monotonic()
    names = _names()
    used: dict[_Thread, list[float]] = {}
    idle: Counter[_Thread] = Counter()
    for stack in stacks:
        used.setdefault(_thread(stack), [])
        idle[_thread(stack)] += len(stack.idle)
    for permit in permits:
        if permit.state == "in use":
            used.setdefault(_thread(permit.stack), []).append(now - permit.since)
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


def describe(permits: Iterable[Permit]) -> Iterator[str]:
    """Yield for each connection in use its thread, how long it is out, and the current line."""
    now = time.monotonic()
    names = _names()
    places = _places()
    for permit in permits:
        if permit.state == "in use":
            thread = _thread(permit.stack)
            name = names.get(thread)
            where = places.get(thread[0], "") if name else ""
            yield f"{name or f'thread {thread[1]}'} for {now - permit.since:.1f} s{where}"


def _thread(stack: ThreadStack) -> _Thread:
    return stack.ident, stack.native_id


def _names() -> dict[_Thread, str]:
    return {
        (thread.ident or 0, thread.native_id or 0): thread.name for thread in threading.enumerate()
    }


def _places() -> dict[int, str]:
    if not hasattr(sys, "_current_frames"):  # CPython only
        return {}
    frames = sys._current_frames()
    try:
        return {ident: _place(frame) for ident, frame in frames.items()}
    finally:
        # One of them is ours and refers to `frames`: a cycle that would keep what the functions in
        # all frames refer to, connections for example.
        frames.clear()


def _place(frame: FrameType | None) -> str:
    """Where a thread is, in the code that calls SQLAlchemy."""
    libraries = ("sqlalchemy.", f"{__package__}.")
    while frame is not None and frame.f_globals.get("__name__", "").startswith(libraries):
        frame = frame.f_back
    if frame is None:
        return ""
    return f" (now at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name})"
