"""Caches bounded by the memory of their keys and values, not by their number."""

from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """A thread-safe cache that drops the least recently used values first.

    :param capacity: the most memory that keys and values may take, in bytes; 0 caches nothing.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        #: The sum of the sizes of all cached values, in bytes.
        self.size = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        # Without the lock, for which every request would wait: move_to_end() is atomic.
        with suppress(KeyError):
            self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Cache a value, replacing the one under the same key.

        :param size: the memory of key and value, in bytes; a value over the capacity is dropped.
        """
        with self._lock:
            self._put(key, value, size)

    def resize(self, key: K, value: V, size: int) -> None:
        """Update the size of a value, unless it is no longer cached."""
        with self._lock:
            if self._values.get(key, (None, 0))[0] is value:
                self._put(key, value, size)

    def _put(self, key: K, value: V, size: int) -> None:
        _, before = self._values.pop(key, (None, 0))
        self.size -= before
        if size > self.capacity:
            return
        self._values[key] = value, size
        self.size += size
        while self.size > self.capacity:
            # Not by iterating: get() reorders the dict without the lock.
            _, (_, oldest) = self._values.popitem(last=False)
            self.size -= oldest
