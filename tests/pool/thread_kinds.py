"""The kinds of threads in a Python program: each runs a function and ends."""

import _thread
import ctypes
import sys
import threading
import time
from collections.abc import Callable

import pytest

from tests.pool.watched import in_thread

Work = Callable[[], None]


def in_python_thread(work: Work) -> None:
    """Run `work` in a thread of `threading`, and return when it has ended."""
    in_thread(work)


def in_bare_thread(work: Work) -> None:
    """Run `work` in a thread that `threading` did not start, and whose Thread object is a dummy.

    Such a thread cannot be joined: the effects of its end may come a little later.
    """
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        threading.current_thread()
        try:
            work()
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()


def in_c_thread(work: Work) -> None:
    """Run `work` in a thread of the C library, like the request threads of mod_wsgi."""
    if sys.platform != "linux":
        pytest.skip("pthread_create is called as Linux has it")

    def run(argument: int | None) -> int:
        threading.current_thread()
        work()
        return 0

    libc = ctypes.CDLL(None)
    entry = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(run)
    thread = ctypes.c_ulong()
    assert libc.pthread_create(ctypes.byref(thread), None, entry, None) == 0
    assert libc.pthread_join(thread, None) == 0


kinds_of_thread = pytest.mark.parametrize("run", [in_python_thread, in_bare_thread, in_c_thread])


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether `condition` comes true within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True
