"""SQLAlchemy's connection record, with the permit that allows its connection."""

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool.base import _ConnectionRecord

from . import _fork, _threadstate
from ._fairy import SQLALCHEMY_IS_KNOWN
from ._foreign import drop_unreset, is_refusal
from ._fork import Inherited
from ._permits import Cause, Permit, Permits
from ._reset import InitialState, initial_state_of

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import Pool


class Record(_ConnectionRecord):
    """A connection of one thread, under a permit.

    :raises Exception: what the creator and the listeners raise.
    """

    def __init__(
        self,
        pool: "Pool",
        permits: Permits,
        permit: Permit,
        inherited: Inherited,
        record_info: dict[Any, Any] | None = None,
    ) -> None:
        self.permit = permit
        self.inherited = inherited
        #: The state that a return restores; None if the driver does not expose it.
        self.initial_state: InitialState | None = None
        self.is_new = True
        #: Whether a commit or rollback has succeeded since the last cursor was opened.
        self.transaction_ended = False
        self._pool = pool
        self._permits = permits
        permit.record = weakref.ref(self)
        if record_info:
            vars(self)["record_info"] = record_info  # which is a property
        super().__init__(pool)

    def get_connection(self) -> "DBAPIConnection":
        """The connection, reopened if it is too old or was invalidated."""
        connection = super().get_connection()
        if self.is_new:
            self.is_new = False
            self.initial_state = initial_state_of(connection)
        return connection

    def restore_state(self) -> None:
        """Restore the connection's initial state, or invalidate it if that fails."""
        state = self.initial_state
        # Where the driver exposes no state, SQLAlchemy's reset and `PlainFairy` do it.
        if self.dbapi_connection is None or state is None:
            return
        try:
            if not state.matches(self):
                state.restore(self.dbapi_connection)
        except Exception as error:
            if is_refusal(error):
                drop_unreset(self, error)
                return
            # SQLAlchemy's wording for the same failure.
            self._pool.logger.error("Exception during reset or similar", exc_info=True)
            self.invalidate(error)

    def checkin(self, _fairy_was_created: bool = True) -> None:
        """Return it to the pool, after SQLAlchemy's own steps."""
        if self.fairy_ref is not None:
            # Before the isolation level is reset: `sqlite3` would commit an open transaction.
            self.restore_state()
        # `Fairy` counts its own.
        if not SQLALCHEMY_IS_KNOWN and self.fairy_ref is not None and self.fairy_ref() is None:
            self.permit.counters.collected += 1
        super().checkin(_fairy_was_created)

    def discard(self, cause: Cause) -> None:
        """Close the connection and release the permit."""
        if _fork.in_unhandled_child():
            self.leave_to_parent()
            return
        _threadstate.before_close()
        try:
            self.close()
        finally:
            self._permits.release(self.permit, cause)

    def leave_to_parent(self) -> None:
        """Give up the parent process's connection without closing it."""
        connection = self.dbapi_connection
        if connection is not None:
            self.inherited.add(connection)
            # SQLAlchemy's representation of an invalidated connection.
            self.dbapi_connection = None
            fairy = self.fairy_ref() if self.fairy_ref is not None else None
            if fairy is not None:
                fairy.dbapi_connection = None  # type: ignore[assignment]

    def __del__(self, _is_finalizing: "Callable[[], bool]" = sys.is_finalizing) -> None:
        # Reached with a connection after an exception between two steps, or when the pool is
        # garbage-collected.
        if getattr(self, "dbapi_connection", None) is not None and not _is_finalizing():
            self.discard("lost")


def counting(
    creator: "Callable[[Record], DBAPIConnection]",
) -> "Callable[[Record], DBAPIConnection]":
    """Count what `creator` opens, in the counters of the record's permit."""

    def connect(record: Record) -> "DBAPIConnection":
        permit = record.permit
        record.is_new = True
        if permit.connected:
            permit.counters.count_closed("recycle")
        permit.connected = True
        permit.counters.connects += 1
        try:
            # Nothing follows: an exception before the record has the connection would lose it.
            return creator(record)
        except BaseException:
            permit.connected = False
            permit.counters.connects -= 1
            permit.counters.connect_errors += 1
            raise

    return connect
