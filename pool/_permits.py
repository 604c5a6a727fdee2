"""Permits: which connections may be open, which checkouts wait, and the counters."""

import queue
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._record import Record
    from ._stacks import ThreadStack

State = Literal["waiting", "in use", "idle"]

#: Why a connection was closed, or given up without a close.
Cause = Literal["dispose", "error", "idle", "invalid", "limit", "lost", "recycle", "thread end"]


class Counters:
    """What happened under the permits that used this object, one after another.

    A permit has one holder at a time and only the holder counts, so nothing is lost without a lock.
    """

    __slots__ = (
        "checkouts",
        "closed",
        "collected",
        "connect_errors",
        "connect_seconds",
        "connects",
        "foreign_returns",
        "timeouts",
        "use_seconds",
        "wait_seconds",
        "waits",
    )

    def __init__(self) -> None:
        self.checkouts = self.connects = self.connect_errors = self.waits = 0
        self.timeouts = self.foreign_returns = self.collected = 0
        self.connect_seconds = self.wait_seconds = self.use_seconds = 0.0
        self.closed: dict[Cause, int] = {}

    def count_closed(self, cause: Cause) -> None:
        """Count a connection that was closed."""
        self.closed[cause] = self.closed.get(cause, 0) + 1


class Permit:
    """The right to one open connection, requested or granted, and the state of the connection.

    It is released when its last reference goes, so an exception cannot leak it.
    """

    __slots__ = (
        "__weakref__",
        "connected",
        "counters",
        "record",
        "since",
        "stack",
        "state",
        "wakeup",
    )

    def __init__(self, stack: "ThreadStack", counters: Counters) -> None:
        self.stack = stack
        self.counters = counters
        self.state: State = "waiting"
        # Whether it has a connection that was opened and is not yet counted as closed.
        self.connected = False
        self.since = time.monotonic()
        self.wakeup: queue.SimpleQueue[None] | None = None
        self.record: weakref.ref[Record] | None = None


class Permits:
    """All permits in the order of their requests: the first `size` are granted, the others wait.

    :param size: the most connections open at once; 0 for no limit.
    """

    __slots__ = ("_counters", "_dropped", "_free_counters", "_queue", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        # Each step on these is a single one of the interpreter. Threads, finalizers and exceptions
        # find them consistent without a lock, and a finalizer must not wait for one.
        self._queue: dict[weakref.ref[Permit], None] = {}
        self._dropped: list[weakref.ref[Permit]] = []
        self._counters: list[Counters] = []
        self._free_counters: list[Counters] = []

    def request(self, stack: "ThreadStack") -> Permit:
        """Queue a permit for a connection of `stack`."""
        try:
            counters = self._free_counters.pop()
        except IndexError:
            counters = Counters()
            self._counters.append(counters)
        permit = Permit(stack, counters)
        # The callback is a C function: it runs no line of Python that an exception could interrupt.
        self._queue[weakref.ref(permit, self._dropped.append)] = None
        return permit

    def release(self, permit: Permit, cause: Cause) -> None:
        """Take a permit out of the queue and wake the waiters that it lets in.

        Releasing again does nothing.
        """
        try:
            del self._queue[weakref.ref(permit)]
        except KeyError:
            return
        if permit.connected:
            permit.counters.count_closed(cause)
        self._free_counters.append(permit.counters)
        if self.size:
            self._wake()

    def wait(self, permit: Permit, timeout: float) -> bool:
        """Wait at most `timeout` seconds until `permit` is granted; return whether it is."""
        permit.wakeup = queue.SimpleQueue()
        waited = 0
        deadline = permit.since + timeout
        # Checked after `wakeup` is set, so a release from now on is noticed.
        while not (granted := self.is_granted(permit)):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            waited = 1
            with suppress(queue.Empty):
                # A second at most: a permit dropped by an exception wakes no waiter.
                permit.wakeup.get(timeout=min(remaining, 1.0))
        permit.wakeup = None
        permit.counters.waits += waited
        permit.counters.timeouts += not granted
        permit.counters.wait_seconds += time.monotonic() - permit.since
        return granted

    def is_granted(self, permit: Permit) -> bool:
        """Whether `permit` is one of the first `size`."""
        return not self.size or any(ref() is permit for ref in self._refs()[: self.size])

    def has_waiters(self) -> bool:
        """Whether a checkout waits."""
        return 0 < self.size < len(self._queue) and len(self._refs()) > self.size

    def snapshot(self) -> list[Permit]:
        """All permits at this moment."""
        return [permit for ref in self._refs() if (permit := ref()) is not None]

    def states(self) -> list[State]:
        """The state of each permit at this moment."""
        permits = self.snapshot()
        # One beyond the limit at the snapshot may have been granted since.
        granted = self.size or len(permits)
        return [
            permit.state if place < granted else "waiting" for place, permit in enumerate(permits)
        ]

    def counters(self) -> list[Counters]:
        """All counters; their sum is what happened in the pool."""
        return list(self._counters)

    def _refs(self) -> list[weakref.ref[Permit]]:
        with suppress(IndexError):
            while self._dropped:
                self._queue.pop(self._dropped.pop(), None)
        return list(self._queue)

    def _wake(self) -> None:
        for ref in self._refs()[: self.size]:
            permit = ref()
            wakeup = permit.wakeup if permit is not None else None
            if wakeup is not None:
                # SimpleQueue.put() is reentrant: a finalizer may run it inside another put or get.
                wakeup.put(None)
