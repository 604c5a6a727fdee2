"""A crash of older interpreters that the pool must not run into.

The state of a thread that C code started exists between PyGILState_Ensure() and
PyGILState_Release(), and thread-local storage is emptied by the latter. A connection that was in
there is closed now. SQLite's close() calls the pair once more for each function registered on the
connection, and the inner call frees the state under the feet of the outer one. One Ensure() too
many prevents that, as it does in newer interpreters.

https://github.com/python/cpython/issues/119585
"""

import ctypes
import sys
import threading
from collections.abc import Callable

if sys.implementation.name == "cpython" and sys.version_info < (3, 12, 4):
    _current_state = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_Get", ctypes.pythonapi))
    _state_of_thread = ctypes.PYFUNCTYPE(ctypes.c_void_p)(
        ("PyGILState_GetThisThreadState", ctypes.pythonapi)
    )

    # The threads that have a marker in their storage, by ident, and the storage.
    _marked: set[int] = set()
    _storage = threading.local()

    def _pin() -> None:
        # Ensure() would wait for ever in a subinterpreter, whose states it does not know.
        if _current_state() == _state_of_thread():
            ctypes.pythonapi.PyGILState_Ensure()

    class _Marker:
        """Ends with the thread, or somewhat earlier or later than other things in its storage."""

        def __init__(self) -> None:
            self._ident = threading.get_ident()
            _marked.add(self._ident)

        def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
            # The end of a sub-interpreter empties its modules first.
            if not _is_finalizing() and _marked is not None:
                _marked.discard(self._ident)
                _pin()

    def mark_thread() -> None:
        """Called by a thread that is going to have connections."""
        if not hasattr(_storage, "marker"):
            _storage.marker = _Marker()

    def before_close() -> None:
        """Called before a connection is closed, by whatever thread."""
        # While storage is being emptied, it looks empty to what dies before the marker.
        if threading.get_ident() in _marked and not hasattr(_storage, "marker"):
            _pin()

    def forget_other_threads() -> None:
        """Called in the child of a fork."""
        _marked.intersection_update({threading.get_ident()})

else:

    def mark_thread() -> None:
        """Nothing to prevent here."""

    def before_close() -> None:
        """Nothing to prevent here."""

    def forget_other_threads() -> None:
        """Nothing to prevent here."""
