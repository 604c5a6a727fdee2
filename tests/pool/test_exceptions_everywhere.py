"""An exception at any line of the pool loses no connection and no permit, and all counts are right.

Each scenario is run once per line of the pool in it, with an exception raised there: one that
programs catch, and one that they do not, like Ctrl-C.
"""

import dis
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import event, exc
from sqlalchemy.pool import PoolProxiedConnection

import pool as package
from pool import ThreadLocalPool
from tests.pool.recording import ConnectError, Driver

SOURCES = str(Path(package.__file__).parent)
SIZE = 2


class FaultError(Exception):
    """What programs catch."""


class Interrupt(BaseException):
    """What they do not."""


@pytest.fixture(autouse=True, scope="module")
def _quick_collections() -> Iterator[None]:
    """Exclude existing objects from the collection after each line."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _forgetful_log() -> Iterator[None]:
    """The log that pytest captures has tracebacks, which would keep connections alive."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Trap:
    """Raises `error` before the line numbered `at` of those that a thread runs in the pool."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self._at = at
        self._error = error
        self.passed = 0
        self.line = self.function = ""

    def trace(self, frame: FrameType, what: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(SOURCES):
            return None
        # At the end of an except clause it would keep the handled exception alive in Python 3.11.
        if what == "line" and frame.f_code.co_code[frame.f_lasti] != dis.opmap["POP_EXCEPT"]:
            if self.passed == self._at:
                self.line = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                self.function = frame.f_code.co_name
                # Python stops tracing here, so that nothing is raised twice.
                raise self._error
            self.passed += 1
        return self.trace


class Scene:
    """A pool with a limit, and some threads that use it."""

    def __init__(self, **options: Any) -> None:
        self.driver = Driver()
        self.pool = ThreadLocalPool(self.driver.connect, pool_size=SIZE, timeout=60, **options)
        self.held: list[PoolProxiedConnection] = []
        self.others: list[Future[None]] = []
        self.over = threading.Event()
        self._exits = ExitStack()

    def other_thread(self) -> ThreadPoolExecutor:
        return self._exits.enter_context(ThreadPoolExecutor(1))

    def check_out(self) -> None:
        self.held.append(self.pool.connect())

    def check_out_elsewhere(self, times: int = 1) -> ThreadPoolExecutor:
        thread = self.other_thread()
        for _ in range(times):
            thread.submit(self.check_out).result()
        return thread

    def give_back(self) -> None:
        self.held.pop().close()

    def at_the_end(self, function: Callable[[], object]) -> None:
        self._exits.callback(function)

    def calm(self) -> None:
        """Let the other threads finish."""
        self.over.set()
        for other in self.others:
            other.result(timeout=60)

    def end(self) -> None:
        self.held.clear()
        self._exits.close()


Step = Callable[[], object]


def checkout(scene: Scene) -> Step:
    return scene.check_out


def checkout_of_an_idle_one(scene: Scene) -> Step:
    scene.check_out()
    scene.give_back()
    return scene.check_out


def nested_checkout(scene: Scene) -> Step:
    scene.check_out()
    return scene.check_out


def checkout_that_evicts(scene: Scene) -> Step:
    thread = scene.check_out_elsewhere(2)
    thread.submit(scene.give_back).result()
    return scene.check_out


def checkout_in_vain(scene: Scene) -> Step:
    scene.pool = ThreadLocalPool(scene.driver.connect, pool_size=SIZE, timeout=0)
    scene.check_out()
    scene.check_out_elsewhere()
    return scene.check_out


def checkout_that_waits(scene: Scene) -> Step:
    """Another thread returns one when this one waits."""
    thread = scene.check_out_elsewhere(2)

    def give_back() -> None:
        while not scene.pool.stats().waiting and not scene.over.wait(0.001):
            pass
        scene.give_back()

    def step() -> None:
        scene.others.append(thread.submit(give_back))
        scene.check_out()

    return step


def refused_connection(scene: Scene) -> Step:
    scene.driver.refuses = lambda: True
    return scene.check_out


def checkout_that_recycles(scene: Scene) -> Step:
    scene.check_out()
    scene.held[0].invalidate(soft=True)
    scene.give_back()
    return scene.check_out


def refused_reconnection(scene: Scene) -> Step:
    step = checkout_that_recycles(scene)
    scene.driver.refuses = lambda: True
    return step


def checkout_of_a_stale_one(scene: Scene) -> Step:
    scene.pool = ThreadLocalPool(scene.driver.connect, pool_size=SIZE, timeout=60, max_idle=0)
    scene.check_out()
    scene.give_back()
    return scene.check_out


def checkout_with_a_listener(scene: Scene) -> Step:
    event.listen(scene.pool, "checkout", lambda *arguments: None)
    return scene.check_out


def checkout_with_a_listener_that_raises(scene: Scene) -> Step:
    def listen(*arguments: object) -> None:
        raise ConnectError

    event.listen(scene.pool, "checkout", listen)
    scene.at_the_end(lambda: event.remove(scene.pool, "checkout", listen))
    return scene.check_out


def give_back(scene: Scene) -> Step:
    scene.check_out()
    return scene.give_back


def give_back_rolled_back(scene: Scene) -> Step:
    scene.check_out()
    return lambda: scene.held.pop()._close_special(transaction_reset=True)


def give_back_with_a_listener(scene: Scene) -> Step:
    event.listen(scene.pool, "reset", lambda *arguments: None)
    scene.check_out()
    return scene.give_back


def give_back_nested(scene: Scene) -> Step:
    scene.check_out()
    scene.check_out()

    def step() -> None:
        scene.give_back()
        scene.give_back()

    return step


def give_back_elsewhere(scene: Scene) -> Step:
    scene.check_out_elsewhere()
    return scene.give_back


def give_back_of_a_dead_thread(scene: Scene) -> Step:
    scene.check_out_elsewhere().shutdown()
    return scene.give_back


def give_back_while_another_waits(scene: Scene) -> Step:
    scene.check_out()
    scene.check_out()
    thread = scene.other_thread()
    scene.others.append(thread.submit(lambda: scene.pool.connect().close()))
    while not scene.pool.stats().waiting:
        time.sleep(0.001)
    return scene.give_back


def drop(scene: Scene) -> Step:
    scene.check_out()
    return scene.held.clear


def drop_while_another_waits(scene: Scene) -> Step:
    give_back_while_another_waits(scene)
    return scene.held.pop


def drop_in_a_cycle(scene: Scene) -> Step:
    scene.check_out()
    cycle: list[object] = [scene.held.pop()]
    cycle.append(cycle)
    return gc.collect


def invalidate(scene: Scene) -> Step:
    scene.check_out()
    return lambda: scene.held.pop().invalidate()


def detach(scene: Scene) -> Step:
    scene.check_out()

    def step() -> None:
        connection = scene.held.pop()
        connection.detach()
        connection.close()

    return step


def dispose(scene: Scene) -> Step:
    _idle_here_and_there(scene)
    return scene.pool.dispose


def evict_idle(scene: Scene) -> Step:
    _idle_here_and_there(scene)
    return scene.pool.evict_idle


def release_thread(scene: Scene) -> Step:
    _idle_here_and_there(scene)
    return scene.pool.release_thread


def end_of_a_thread(scene: Scene) -> Step:
    def use(trace: Any) -> None:
        scene.pool.connect().close()
        # The pool's lines from here on run when thread-local storage is cleared.
        sys.settrace(trace)

    def step() -> None:
        trace = sys.gettrace()
        sys.settrace(None)
        thread = threading.Thread(target=use, args=(trace,))
        thread.start()
        thread.join()

    return step


def look(scene: Scene) -> Step:
    _idle_here_and_there(scene)
    scene.check_out()
    return lambda: (scene.pool.status(), scene.pool.threads())


def _idle_here_and_there(scene: Scene) -> None:
    scene.check_out()
    thread = scene.check_out_elsewhere()
    thread.submit(scene.give_back).result()
    scene.give_back()


SCENARIOS = [
    checkout,
    checkout_of_an_idle_one,
    nested_checkout,
    checkout_that_evicts,
    checkout_in_vain,
    checkout_that_waits,
    refused_connection,
    checkout_that_recycles,
    refused_reconnection,
    checkout_of_a_stale_one,
    checkout_with_a_listener,
    checkout_with_a_listener_that_raises,
    give_back,
    give_back_rolled_back,
    give_back_with_a_listener,
    give_back_nested,
    give_back_elsewhere,
    give_back_of_a_dead_thread,
    give_back_while_another_waits,
    drop,
    drop_while_another_waits,
    drop_in_a_cycle,
    invalidate,
    detach,
    dispose,
    evict_idle,
    release_thread,
    end_of_a_thread,
    look,
]

WAITING = [give_back_while_another_waits, drop_while_another_waits]


def _run(scenario: Callable[[Scene], Step], trap: Trap) -> list[str]:
    """Run `scenario` into `trap` and return what is wrong afterwards."""
    scene = Scene()
    step = scenario(scene)
    before = sys.gettrace()
    sys.settrace(trap.trace)
    try:
        step()
    except (FaultError, Interrupt, ConnectError, exc.TimeoutError):
        pass
    finally:
        sys.settrace(before)
    del step
    # Where the driver's close() was not reached, its destructor closes; what is detached belongs to
    # the user, who lost it here.
    forgivable = trap.function in {"do_close", "do_terminate", "_close"} or scenario is detach
    return list(_faults(scene, forgivable=forgivable))


def _faults(scene: Scene, *, forgivable: bool) -> Iterator[str]:
    gc.collect()
    scene.calm()
    stats = scene.pool.stats()
    if not len(scene.driver.open()) == stats.open == stats.idle + stats.in_use:
        yield f"{len(scene.driver.open())} are open, and {stats}"
    scene.end()
    gc.collect()
    stats = scene.pool.stats()
    if stats.in_use or stats.waiting or stats.idle != len(scene.driver.open()):
        yield f"{len(scene.driver.open())} are open after all were returned, and {stats}"
    if stats.threads > 1:
        yield f"{stats.threads} threads, and only this one is there"
    yield from _unserved(scene)
    scene.pool.dispose()
    stats = scene.pool.stats()
    if stats.open or stats.threads or scene.driver.open():
        yield f"{len(scene.driver.open())} are open after dispose(), and {stats}"
    if scene.driver.dropped and not forgivable:
        yield f"{len(scene.driver.dropped)} dropped without having been closed"
    yield from scene.driver.violations


def _unserved(scene: Scene) -> Iterator[str]:
    """Let two threads hold connections at the same time, as many as the limit allows."""
    scene.driver.refuses = lambda: False
    with ThreadPoolExecutor(1) as another:
        connections = []
        try:
            connections.append(scene.pool.connect())
            connections.append(another.submit(scene.pool.connect).result())
        except exc.TimeoutError:
            yield "not all places are served"
        for connection in connections:
            connection.close()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """The exceptions from destructors, which Python can only print."""
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: seen.append(one.exc_type))
    return seen


@pytest.mark.parametrize("error", [FaultError, Interrupt])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_exception_at_every_line(
    scenario: Callable[[Scene], Step],
    error: type[BaseException],
    unraisable: list[type[BaseException]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    nowhere = Trap(-1, error)
    wrong = _run(scenario, nowhere)
    # A waiter whose wakeup an exception prevented waits a second, so many wait at a time.
    with ThreadPoolExecutor(32 if scenario in WAITING else 1) as threads:
        traps = [Trap(line, error) for line in range(nowhere.passed)]
        for trap, faults in zip(traps, threads.map(partial(_run, scenario), traps), strict=True):
            wrong += [f"{trap.line}: {fault}" for fault in faults]

    assert not wrong, "\n".join(wrong)
    assert len(traps) > 1
    assert set(unraisable) <= {error}
    assert capfd.readouterr() == ("", "")
