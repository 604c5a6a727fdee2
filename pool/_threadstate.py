"""A workaround for a crash of CPython before 3.12.4.

The state of a thread that C code started exists between PyGILState_Ensure() and
PyGILState_Release(), and the latter clears thread-local storage, which closes the connections in
it. SQLite's close() calls the pair again for each function registered on the connection, and the
inner Release() frees the state that the outer one still uses. One extra Ensure() prevents that, as
newer interpreters do.

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

    # The idents of the threads that have a marker in their storage, and the storage.
    _marked: set[int] = set()
    _storage = threading.local()

    def _pin() -> None:
        # In a sub-interpreter, whose states it does not know, Ensure() would block for ever.
        if _current_state() == _state_of_thread():
            ctypes.pythonapi.PyGILState_Ensure()

    class _Marker:
        """Dies with the thread, somewhat before or after the other objects in its storage."""

        def __init__(self) -> None:
            self._ident = threading.get_ident()
            _marked.add(self._ident)

        def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
            # A sub-interpreter clears its modules first.
            if not _is_finalizing() and _marked is not None:
                _marked.discard(self._ident)
                _pin()

    def mark_thread() -> None:
        """Call this in a thread before it opens connections."""
        if not hasattr(_storage, "marker"):
            _storage.marker = _Marker()

    def before_close() -> None:
        """Call this before a connection is closed, in any thread."""
        # While storage is being cleared, it looks empty to objects that die before the marker.
        if threading.get_ident() in _marked and not hasattr(_storage, "marker"):
            _pin()

    def forget_other_threads() -> None:
        """Call this in the child of a fork."""
        _marked.intersection_update({threading.get_ident()})

else:

    def mark_thread() -> None:
        """Nothing to do in this interpreter."""

    def before_close() -> None:
        """Nothing to do in this interpreter."""

    def forget_other_threads() -> None:
        """Nothing to do in this interpreter."""
