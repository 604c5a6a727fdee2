"""What a checkout returns: a proxy of the connection, whose `close()` is the checkin.

SQLAlchemy's own proxy, `_ConnectionFairy`, costs more than the rest of a checkout. `Fairy` does the
same with less: its own destructor returns it, not a `weakref.finalize`, and a checkin without
listeners and without an open transaction skips SQLAlchemy's steps. It relies on private parts of
SQLAlchemy, so it is used only with the versions it was tested with. With any other version the pool
uses `PlainFairy`, which only relies on the class itself.
"""

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.pool import PoolProxiedConnection, _ConnectionFairy
from sqlalchemy.pool.base import reset_rollback

from . import _fork
from ._foreign import end_or_drop

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

    from ._record import Record
    from .pool import ThreadLocalPool

#: Whether `Fairy` was tested with this SQLAlchemy.
SQLALCHEMY_IS_KNOWN = sqlalchemy.__version__.startswith(("2.0.", "2.1."))

# What is checked out. It prevents a connection and its pool from being garbage-collected together
# with the proxy, whose destructor needs them. SQLAlchemy has a global registry for this, too.
_checked_out: "dict[weakref.ref[Any], Record]" = {}


class PlainFairy(_ConnectionFairy):
    """A checked-out connection that any thread can roll back.

    `Connection.close()` rolls back through the engine's dialect before it calls the pool. Without
    this class the driver's refusal would be raised there, and SQLAlchemy 2.0 would not return the
    connection at all.
    """

    __slots__ = ()

    _connection_record: "Record | None"

    def cursor(self, *args: Any, **kwargs: Any) -> "DBAPICursor":
        """A cursor of the driver.

        :raises sqlalchemy.exc.InvalidRequestError: the connection is gone.
        """
        connection = self.dbapi_connection
        if connection is None:
            raise InvalidRequestError(
                "This connection has been returned or invalidated, or it was in use when this "
                "process was forked and belongs to the parent. Check out another one."
            )
        if (record := self._connection_record) is not None:
            record.transaction_ended = False
        return connection.cursor(*args, **kwargs)

    def commit(self) -> None:
        """Commit, and remember that it succeeded."""
        self.dbapi_connection.commit()
        self._end_transaction()

    def rollback(self) -> None:
        """Roll back, or drop the connection where its driver refuses to."""
        if end_or_drop(self, self.dbapi_connection.rollback):
            self._end_transaction()

    def _end_transaction(self) -> None:
        if (record := self._connection_record) is not None:
            record.transaction_ended = True

    def _checkin(self, transaction_was_reset: bool = False) -> None:
        if (record := self._connection_record) is not None:
            # SQLAlchemy passes True after a failed COMMIT, too.
            transaction_was_reset &= record.transaction_ended
        super()._checkin(transaction_was_reset)


class _NoFinalizer:
    """Replaces the `weakref.finalize`, which `Fairy` does not need."""

    def detach(self) -> None:
        pass


class Fairy(PlainFairy):
    """A checked-out connection, checked out and in on the fast path."""

    __slots__ = ()

    _finalizer: Any = _NoFinalizer()

    def __init__(
        self,
        pool: "ThreadLocalPool",
        dbapi_connection: "DBAPIConnection",
        connection_record: "Record",
        echo: Any,
    ) -> None:
        self._pool = pool
        self._counter = 0
        self.dbapi_connection = dbapi_connection
        self._connection_record = connection_record
        self._echo = echo
        ref: weakref.ref[Any]
        _checked_out[ref := weakref.ref(self, _checked_out.pop)] = connection_record
        connection_record.fairy_ref = ref

    def __del__(self, _is_finalizing: "Callable[[], bool]" = sys.is_finalizing) -> None:
        try:
            record = object.__getattribute__(self, "_connection_record")
        except AttributeError:  # self.__getattr__() would ask the connection for it
            return
        # At interpreter exit the driver closes what is in use.
        if record is None or _is_finalizing():
            return
        # A failed checkout has returned the record, and another one may have it. The garbage
        # collector has already cleared references to what it collects.
        ref = record.fairy_ref
        if ref is None or ref() not in (self, None):
            return
        if _fork.in_unhandled_child():
            record.leave_to_parent()
        else:
            record.permit.counters.collected += 1
            # It may have been invalidated meanwhile.
            self.dbapi_connection = record.dbapi_connection
            super()._checkin()

    def _checkin(self, transaction_was_reset: bool = False) -> None:
        record = self._connection_record
        if record is None or not self._is_fast(record):
            super()._checkin(transaction_was_reset)
            return
        record.fairy_ref = None
        self.dbapi_connection = None  # type: ignore[assignment]
        self._connection_record = None
        self._pool._do_return_conn(record)

    def _is_fast(self, record: "Record") -> bool:
        """Whether no listener is called at checkin, and the record can do the reset."""
        pool = self._pool
        return not (
            self.dbapi_connection is None
            or record.initial_state is None
            or self._echo
            or record.finalize_callback
            or pool.dispatch.reset
            or pool.dispatch.checkin
            or pool._reset_on_return is not reset_rollback
        )


def _checkout_plain(pool: "ThreadLocalPool") -> PoolProxiedConnection:
    fairy = _ConnectionFairy._checkout(pool)
    fairy.__class__ = PlainFairy
    cast("Record", fairy._connection_record).permit.counters.checkouts += 1
    return fairy


def _checkout(pool: "ThreadLocalPool") -> PoolProxiedConnection:
    record = pool._do_get()
    try:
        connection = record.get_connection()
    except BaseException as error:
        record._checkin_failed(error, _fairy_was_created=False)
        raise
    record.permit.counters.checkouts += 1
    echo = pool._should_log_debug()
    fairy = Fairy(pool, connection, record, echo)
    if echo:
        pool.logger.debug("Connection %r checked out from pool", connection)
    if pool._pre_ping or pool.dispatch.checkout:
        # Either may reject the connection and replace it.
        return fairy._checkout_existing()
    fairy._counter = 1
    return fairy


checkout = _checkout if SQLALCHEMY_IS_KNOWN else _checkout_plain
