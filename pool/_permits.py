"""Slots: who may have a connection open, who waits for that, and what has been counted."""

import queue
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._record import Record
    from ._stacks import Home

State = Literal["waiting", "in use", "idle"]

#: Why a connection was closed, or let go.
Cause = Literal["dispose", "error", "idle", "invalid", "limit", "lost", "recycle", "thread end"]


class Counts:
    """What happened in the slots that used this object, one after another.

    Only who holds a slot adds to its counts, and a slot has one holder at a time, so that nothing
    is lost although nobody takes a lock.
    """

    __slots__ = (
        "checkouts",
        "closed",
        "collected",
        "connect_errors",
        "connect_seconds",
        "connects",
        "returned_abroad",
        "timeouts",
        "use_seconds",
        "wait_seconds",
        "waits",
    )

    def __init__(self) -> None:
        self.checkouts = self.connects = self.connect_errors = self.waits = 0
        self.timeouts = self.returned_abroad = self.collected = 0
        self.connect_seconds = self.wait_seconds = self.use_seconds = 0.0
        self.closed: dict[Cause, int] = {}

    def close(self, cause: Cause) -> None:
        """Count a connection that was closed."""
        self.closed[cause] = self.closed.get(cause, 0) + 1


class Slot:
    """A place in line for one connection, and what is known of that connection.

    Whoever drops the last reference leaves the line, so that no exception can lose a place.
    """

    __slots__ = ("__weakref__", "connected", "counts", "home", "record", "since", "state", "turn")

    def __init__(self, home: "Home", counts: Counts) -> None:
        self.home = home
        self.counts = counts
        self.state: State = "waiting"
        # Whether a connection was opened in it that has not been counted as closed.
        self.connected = False
        self.since = time.monotonic()
        self.turn: queue.SimpleQueue[None] | None = None
        self.record: weakref.ref[Record] | None = None


class Slots:
    """All slots in the order in which they were asked for: the first `size` of them may be used.

    :param size: how many connections may be open at once; 0 for any number.
    """

    __slots__ = ("_counts", "_gone", "_line", "_spare", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        # Every step on these is a single one of the interpreter's: threads, finalizers and
        # exceptions find them whole without a lock, and a finalizer must not wait for one.
        self._line: dict[weakref.ref[Slot], None] = {}
        self._gone: list[weakref.ref[Slot]] = []
        self._counts: list[Counts] = []
        self._spare: list[Counts] = []

    def enter(self, home: "Home") -> Slot:
        """Stand in line for a connection of `home`."""
        try:
            counts = self._spare.pop()
        except IndexError:
            counts = Counts()
            self._counts.append(counts)
        slot = Slot(home, counts)
        # The end of the slot is noted without running a line of Python.
        self._line[weakref.ref(slot, self._gone.append)] = None
        return slot

    def leave(self, slot: Slot, cause: Cause) -> None:
        """Leave the line, and call those whose turn has come. Leaving again does nothing."""
        try:
            del self._line[weakref.ref(slot)]
        except KeyError:
            return
        if slot.connected:
            slot.counts.close(cause)
        self._spare.append(slot.counts)
        if self.size:
            self._call()

    def wait(self, slot: Slot, timeout: float) -> bool:
        """Wait until `slot` may be used, at most `timeout` seconds; return whether it may."""
        slot.turn = queue.SimpleQueue()
        waited = 0
        deadline = slot.since + timeout
        # Asked after `turn` is there: who calls from now on is heard.
        while not (its_turn := self.may_use(slot)):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            waited = 1
            with suppress(queue.Empty):
                # Not longer, because a slot that an exception has ended calls nobody.
                slot.turn.get(timeout=min(remaining, 1.0))
        slot.turn = None
        slot.counts.waits += waited
        slot.counts.timeouts += not its_turn
        slot.counts.wait_seconds += time.monotonic() - slot.since
        return its_turn

    def may_use(self, slot: Slot) -> bool:
        """Whether it is the turn of `slot`."""
        return not self.size or any(ref() is slot for ref in self._refs()[: self.size])

    def crowded(self) -> bool:
        """Whether somebody waits."""
        return 0 < self.size < len(self._line) and len(self._refs()) > self.size

    def now(self) -> list[Slot]:
        """All slots at this moment."""
        return [slot for ref in self._refs() if (slot := ref()) is not None]

    def states(self) -> list[State]:
        """The state of each slot at this moment."""
        slots = self.now()
        # One that was behind the limit when we looked may have got its turn since.
        usable = self.size or len(slots)
        return [slot.state if place < usable else "waiting" for place, slot in enumerate(slots)]

    def counts(self) -> list[Counts]:
        """What has been counted; the sum over all of them is what happened."""
        return list(self._counts)

    def _refs(self) -> list[weakref.ref[Slot]]:
        with suppress(IndexError):
            while self._gone:
                self._line.pop(self._gone.pop(), None)
        return list(self._line)

    def _call(self) -> None:
        for ref in self._refs()[: self.size]:
            slot = ref()
            turn = slot.turn if slot is not None else None
            if turn is not None:
                # May be called amid another put() or get(), as a finalizer would.
                turn.put(None)
