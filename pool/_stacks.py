"""The idle connections: a stack per thread, which is closed when the thread ends."""

import threading
from math import inf
from typing import Any

from . import _threadstate
from ._permits import Cause
from ._record import Record


class ThreadStack:
    """The idle connections of one thread. The last one returned is the next one taken.

    The list is all that threads share here. A thread that pops a connection owns it, a thread that
    pushes one gives it up, and each is a single step of the interpreter, so no lock is needed.
    """

    __slots__ = ("close_cause", "ident", "idle", "native_id", "record_infos")

    def __init__(self) -> None:
        self.idle: list[Record] = []
        #: The `record_info` of invalidated or detached connections, for the next ones.
        self.record_infos: list[dict[Any, Any]] = []
        #: Why the stack was closed; None while it is open.
        self.close_cause: Cause | None = None
        self.ident = threading.get_ident()
        self.native_id = threading.get_native_id()

    def pop(self) -> Record | None:
        """Take the connection that was used last; None without an idle one."""
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def pop_oldest(self) -> Record | None:
        """Take the connection that has been idle longest; None without an idle one."""
        try:
            return self.idle.pop(0)
        except IndexError:
            return None

    def idle_since(self) -> float:
        """When the connection that has been idle longest was returned; infinity without one."""
        try:
            return self.idle[0].permit.since
        except IndexError:
            return inf

    def push(self, record: Record) -> None:
        """Keep `record` for this thread, or close it if the stack is closed.

        Any thread may call this, and the garbage collector may.
        """
        self.idle.append(record)
        # Checked after the append: a stack closed before it is seen here, and one closed after it
        # finds the connection in its list.
        if self.close_cause is not None:
            self.clear(self.close_cause)

    def close(self, cause: Cause) -> None:
        """Close the idle connections, and from now on those that are pushed.

        The first cause is the one that is counted.
        """
        self.close_cause = self.close_cause or cause
        self.clear(self.close_cause)

    def clear(self, cause: Cause) -> None:
        """Close the idle connections."""
        while (record := self.pop()) is not None:
            record.discard(cause)


class _ThreadEnd:
    """Closes the stack of a thread when the thread ends.

    Thread-local storage holds the only reference, so the interpreter drops it in the dying thread,
    the one place where every driver allows a close. This covers any thread that has run Python,
    including those started by a C server. A finalizer on the Thread object would miss those: up to
    Python 3.12 the interpreter keeps their Thread objects for ever.
    """

    # For an exception before it is set.
    _stack: ThreadStack | None = None

    def __init__(self, stack: ThreadStack, stacks: set[ThreadStack]) -> None:
        self._stacks = stacks
        self._stack = stack

    def __del__(self) -> None:
        if self._stack is not None:
            self._stacks.discard(self._stack)
            self._stack.close("thread end")


class Stacks:
    """The stacks of all threads that have used a pool since it was last disposed of."""

    __slots__ = ("_all", "_local")

    def __init__(self) -> None:
        self._all: set[ThreadStack] = set()
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self._all)

    def current(self) -> ThreadStack:
        """The stack of the calling thread, created at its first use."""
        try:
            stack: ThreadStack = self._local.stack
        except AttributeError:
            _threadstate.mark_thread()
            stack = ThreadStack()
            self._local.end = _ThreadEnd(stack, self._all)
            self._all.add(stack)
            self._local.stack = stack
        return stack

    def all(self) -> list[ThreadStack]:
        """The stacks at this moment."""
        return list(self._all)

    def pop_oldest(self) -> Record | None:
        """Take the connection that has been idle longest in any thread; None without one."""
        for stack in sorted(self.all(), key=ThreadStack.idle_since):
            # Its own thread may have been faster.
            if (record := stack.pop_oldest()) is not None:
                return record
        return None

    def close(self, cause: Cause) -> None:
        """Close every stack for good. Later checkouts need a new `Stacks`."""
        for stack in self.all():
            stack.close(cause)
