"""A plugin for pytest: SQLAlchemy's own tests, with another pool in place of QueuePool.

    pytest -p tests.pool.upstream.plugin test/engine/test_pool.py    # in SQLAlchemy's sources

The pool is ThreadLocalPool, or the class of `sqlalchemy.pool` that UPSTREAM_POOL names. It
replaces `pool.QueuePool` in SQLAlchemy and its tests, so the whole suite for pools runs with it,
and every engine whose dialect would choose QueuePool.

The tests in expected.txt must fail with ThreadLocalPool. One that passes or no longer
exists fails the run, like one that fails and is not in the list.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy.pool

from pool import ThreadLocalPool

EXPECTED = Path(__file__).with_name("expected.txt")
OURS = ThreadLocalPool.__name__

chosen = os.environ.get("UPSTREAM_POOL", OURS)
Chosen: Any = ThreadLocalPool if chosen == OURS else getattr(sqlalchemy.pool, chosen)


#: The parameters of QueuePool that the others of `sqlalchemy.pool` have, too.
SHARED = {"SingletonThreadPool": {"pool_size"}, OURS: {"pool_size", "timeout"}}


class Substitute(Chosen):  # type: ignore[misc]
    """The chosen pool, with QueuePool's parameters and the attributes that its tests read."""

    # The test that compares a pool with its copy leaves out QueuePool's queue and lock, which are
    # no parameters, and whatever a class has an attribute for.
    if chosen == OURS:
        _stacks: Any = None
        _permits: Any = None
        _sweep_at: Any = None

    def __init__(
        self,
        creator: Any,
        pool_size: int | None = None,
        max_overflow: int | None = None,
        timeout: float | None = None,
        use_lifo: bool | None = None,
        **options: Any,
    ) -> None:
        self._asked, self._max_overflow = pool_size or 0, max_overflow
        if max_overflow is not None and pool_size:
            # QueuePool opens so many at most; there, too, 0 and -1 mean no limit.
            pool_size = 0 if max_overflow == -1 else pool_size + max_overflow
        own = {"pool_size": pool_size, "timeout": timeout, "use_lifo": use_lifo}
        known = SHARED.get(chosen, set())
        options |= {k: v for k, v in own.items() if v is not None and k in known}
        super().__init__(creator, **options)

    def recreate(self) -> Any:
        copy = super().recreate()
        copy._asked, copy._max_overflow = self._asked, self._max_overflow
        return copy

    @property
    def _overflow(self) -> int:
        """How many connections are open beyond the `pool_size` that the test gave."""
        return int(self.stats().open) - self._asked

    @property
    def _pool(self) -> Any:
        """What is idle, as the queue of a QueuePool; a test that sets `queue` drops empty ones."""
        idle = [record for stack in self._stacks.all() for record in stack.idle]
        return SimpleNamespace(queue=idle, empty=lambda: not idle, use_lifo=True)


if Chosen is not sqlalchemy.pool.QueuePool:
    # The name is part of what a test with parameters is called.
    Substitute.__name__ = Substitute.__qualname__ = chosen
    # Before any test module is imported, and before any dialect is asked for its pool.
    pytest.MonkeyPatch().setattr(sqlalchemy.pool, "QueuePool", Substitute)


def expected_failures() -> Iterator[tuple[str, str]]:
    """Yield the tests of the list for this SQLAlchemy, each with the comment above its group."""
    reason = ""
    new_group = True
    for line in EXPECTED.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            reason = line[2:] if new_group else f"{reason} {line[2:]}"
            new_group = False
        elif line:
            test, _, only = line.partition("  # ")
            if not only or sqlalchemy.__version__.startswith(f"{only}."):
                yield test, reason
            new_group = True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if chosen != OURS:
        return
    collected = {item.nodeid: item for item in items}
    # With -k, or a name behind the file's, the others are not missed.
    whole_files = [] if config.option.keyword else config.args
    for test, reason in expected_failures():
        if test in collected:
            collected[test].add_marker(pytest.mark.xfail(reason=reason, strict=True))
        elif test.partition("::")[0] in whole_files:
            raise pytest.UsageError(f"{EXPECTED.name} has a test that is not there: {test}")
