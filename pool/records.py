"""What the pool keeps of a connection, whoever uses it."""

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.pool.base import _ConnectionRecord

from pool.slots import Cause, Slot, Slots

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import Pool


class Record(_ConnectionRecord):
    """A connection that belongs to a thread and occupies a slot.

    :raises Exception: what the creator and the listeners raise.
    """

    def __init__(self, pool: "Pool", slots: Slots, slot: Slot) -> None:
        self.slot = slot
        self._slots = slots
        slot.record = weakref.ref(self)
        super().__init__(pool)

    def end(self, cause: Cause) -> None:
        """Close the connection and leave the slot."""
        try:
            self.close()
        finally:
            self._slots.leave(self.slot, cause)

    def __del__(self) -> None:
        # Nobody has it any more: an exception came between two steps, or the pool is collected.
        if getattr(self, "dbapi_connection", None) is not None and not sys.is_finalizing():
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
