"""Where idle connections wait: a home for each thread, which ends with its thread."""

import threading
from math import inf
from typing import Any

from . import _threadstate
from ._permits import Cause
from ._record import Record


class Home:
    """The idle connections of one thread; the last one returned is the next one taken.

    The list is the only thing that threads share here. Whoever pops a connection owns it, whoever
    appends one gives it up, and both are a single step, so nobody needs a lock.
    """

    __slots__ = ("abandoned", "ident", "idle", "native_id", "record_infos")

    def __init__(self) -> None:
        self.idle: list[Record] = []
        #: The `record_info` of connections that were invalidated or detached, for the next ones.
        self.record_infos: list[dict[Any, Any]] = []
        self.abandoned: Cause | None = None
        self.ident = threading.get_ident()
        self.native_id = threading.get_native_id()

    def take(self) -> Record | None:
        """The idle connection that was used last, or None."""
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def take_oldest(self) -> Record | None:
        """The connection that has been idle longest, or None."""
        try:
            return self.idle.pop(0)
        except IndexError:
            return None

    def oldest(self) -> float:
        """When the connection that has been idle longest was returned; never is infinite."""
        try:
            return self.idle[0].slot.since
        except IndexError:
            return inf

    def give(self, record: Record) -> None:
        """Keep `record` for the thread that lives here, or close it if nobody does.

        May be called by any thread, also out of the garbage collector.
        """
        self.idle.append(record)
        # Asked only now: a home that is abandoned before the append is seen here, and one that is
        # abandoned after it finds the connection in its list.
        if self.abandoned is not None:
            self.clear(self.abandoned)

    def abandon(self, cause: Cause) -> None:
        """Close what is idle now, and whatever is given back later. The first cause counts."""
        self.abandoned = self.abandoned or cause
        self.clear(self.abandoned)

    def clear(self, cause: Cause) -> None:
        """Close what is idle now."""
        while (record := self.take()) is not None:
            record.end(cause)


class _Tenant:
    """Abandons the home of a thread when that thread ends.

    Thread-local storage holds the only reference, so the interpreter drops it in the dying thread,
    the one place where every driver allows a close. It does so for any thread that has run Python,
    also for those a C server started; a finalizer on the Thread object would miss these, since up
    to Python 3.12 the interpreter keeps their Thread objects for ever.
    """

    # An exception may come before there is one.
    _home: Home | None = None

    def __init__(self, home: Home, homes: set[Home]) -> None:
        self._homes = homes
        self._home = home

    def __del__(self) -> None:
        if self._home is not None:
            self._homes.discard(self._home)
            self._home.abandon("thread end")


class Homes:
    """The homes of all threads that have used a pool since it was last disposed of."""

    __slots__ = ("_all", "_local")

    def __init__(self) -> None:
        self._all: set[Home] = set()
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self._all)

    def mine(self) -> Home:
        """The home of the calling thread, found or founded."""
        try:
            home: Home = self._local.home
        except AttributeError:
            _threadstate.mark_thread()
            home = Home()
            self._local.tenant = _Tenant(home, self._all)
            self._all.add(home)
            self._local.home = home
        return home

    def all(self) -> list[Home]:
        """The homes at this moment."""
        return list(self._all)

    def take_oldest(self) -> Record | None:
        """The connection of any thread that has been idle longest, or None."""
        for home in sorted(self.all(), key=Home.oldest):
            # Its own thread may have been faster.
            if (record := home.take_oldest()) is not None:
                return record
        return None

    def abandon(self, cause: Cause) -> None:
        """Abandon every home, for good: whoever comes later must be shown to other homes."""
        for home in self.all():
            home.abandon(cause)
