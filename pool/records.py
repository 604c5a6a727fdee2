"""What the pool keeps of a connection, whoever uses it."""

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.pool.base import _ConnectionRecord

from pool import forking, threadstate
from pool.fairies import SQLALCHEMY_IS_KNOWN
from pool.forking import Inheritance
from pool.slots import Cause, Slot, Slots

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import Pool


class Record(_ConnectionRecord):
    """A connection that belongs to a thread and occupies a slot.

    :raises Exception: what the creator and the listeners raise.
    """

    def __init__(self, pool: "Pool", slots: Slots, slot: Slot, inheritance: Inheritance) -> None:
        self.slot = slot
        self.inheritance = inheritance
        self._slots = slots
        slot.record = weakref.ref(self)
        super().__init__(pool)

    def checkin(self, _fairy_was_created: bool = True) -> None:
        """Return it to the pool, with all that SQLAlchemy does before."""
        # `Fairy` counts for itself.
        if not SQLALCHEMY_IS_KNOWN and self.fairy_ref is not None and self.fairy_ref() is None:
            self.slot.counts.collected += 1
        super().checkin(_fairy_was_created)

    def end(self, cause: Cause) -> None:
        """Close the connection and leave the slot."""
        if forking.is_unprepared_child():
            self.inherit()
            return
        threadstate.before_close()
        try:
            self.close()
        finally:
            self._slots.leave(self.slot, cause)

    def inherit(self) -> None:
        """Let go of the connection without closing it: it is the parent process's."""
        connection = self.dbapi_connection
        if connection is not None:
            self.inheritance.add(connection)
            # The words of SQLAlchemy for a connection that was invalidated.
            self.dbapi_connection = None
            holder = self.fairy_ref() if self.fairy_ref is not None else None
            if holder is not None:
                holder.dbapi_connection = None  # type: ignore[assignment]

    def __del__(self, _is_finalizing: "Callable[[], bool]" = sys.is_finalizing) -> None:
        # Nobody has it any more: an exception came between two steps, or the pool is collected.
        if getattr(self, "dbapi_connection", None) is not None and not _is_finalizing():
            self.end("lost")


def counting(
    creator: "Callable[[Record], DBAPIConnection]",
) -> "Callable[[Record], DBAPIConnection]":
    """Count what `creator` opens, with the slot of the record that asks."""

    def connect(record: Record) -> "DBAPIConnection":
        slot = record.slot
        if slot.connected:
            slot.counts.close("recycle")
        slot.connected = True
        slot.counts.connects += 1
        try:
            # Nothing follows: until the record has the connection, an exception would lose it.
            return creator(record)
        except BaseException:
            slot.connected = False
            slot.counts.connects -= 1
            slot.counts.connect_errors += 1
            raise

    return connect
