"""What the pool keeps of a connection, whoever uses it."""

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool.base import _ConnectionRecord

from . import _fork, _threadstate
from ._fairy import SQLALCHEMY_IS_KNOWN
from ._foreign import drop_unreset, is_refusal
from ._fork import Inheritance
from ._permits import Cause, Slot, Slots
from ._reset import Condition, condition_of

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import Pool


class Record(_ConnectionRecord):
    """A connection that belongs to a thread and occupies a slot.

    :raises Exception: what the creator and the listeners raise.
    """

    def __init__(
        self,
        pool: "Pool",
        slots: Slots,
        slot: Slot,
        inheritance: Inheritance,
        record_info: dict[Any, Any] | None = None,
    ) -> None:
        self.slot = slot
        self.inheritance = inheritance
        #: The state of the connection that its return restores; None if its driver cannot tell.
        self.condition: Condition | None = None
        self.is_new = True
        #: Whether a commit or rollback has succeeded since the last cursor was asked for.
        self.transaction_ended = False
        self._pool = pool
        self._slots = slots
        slot.record = weakref.ref(self)
        if record_info:
            vars(self)["record_info"] = record_info  # which is a property
        super().__init__(pool)

    def get_connection(self) -> "DBAPIConnection":
        """The connection, opened again where it is too old or was invalidated."""
        connection = super().get_connection()
        if self.is_new:
            self.is_new = False
            self.condition = condition_of(connection)
        return connection

    def settle(self) -> None:
        """Restore the connection's first state, or invalidate it where that fails."""
        condition = self.condition
        # Where the driver cannot tell, SQLAlchemy's reset and `PlainFairy` do it.
        if self.dbapi_connection is None or condition is None:
            return
        try:
            if not condition.holds(self):
                condition.restore(self.dbapi_connection)
        except Exception as error:
            if is_refusal(error):
                drop_unreset(self, error)
                return
            # The words of SQLAlchemy for the same.
            self._pool.logger.error("Exception during reset or similar", exc_info=True)
            self.invalidate(error)

    def checkin(self, _fairy_was_created: bool = True) -> None:
        """Return it to the pool, with all that SQLAlchemy does before."""
        if self.fairy_ref is not None:
            # Before the isolation level is reset: `sqlite3` would commit an open transaction.
            self.settle()
        # `Fairy` counts for itself.
        if not SQLALCHEMY_IS_KNOWN and self.fairy_ref is not None and self.fairy_ref() is None:
            self.slot.counts.collected += 1
        super().checkin(_fairy_was_created)

    def end(self, cause: Cause) -> None:
        """Close the connection and leave the slot."""
        if _fork.is_unprepared_child():
            self.inherit()
            return
        _threadstate.before_close()
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
        record.is_new = True
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
