"""What holds for the whole suite."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from functools import partial

import pytest
from coverage import Coverage

from support import browser_reader

COUNTED_S = 1.0  # of the processor, for coverage

gc.disable()  # what is collected stays to the end; to look for garbage in it takes as long again


def pytest_configure() -> None:
    """A shell that starts the suite in the background lets it ignore Ctrl-C, and all children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Counting lines makes a test three times as slow, and what has run for a while runs the same
    lines again: they are counted for a second of each, and of replays not at all.
    """
    counted = Coverage.current()
    if counted is None:
        return (yield)
    stopped = []

    def stop(*_: object) -> None:
        counted.stop()
        stopped.append(True)

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.siginterrupt(signal.SIGVTALRM, False)  # no system call ends early for it
    if item.get_closest_marker("replay"):
        stop()
    else:
        signal.setitimer(signal.ITIMER_VIRTUAL, COUNTED_S)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        if stopped:
            counted.start()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: they mostly wait, and at the end everybody would wait for them."""
    items.sort(key=_turn)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are no name: each worker may draw them anew, and then no two collect the same tests."""
    return argname if isinstance(val, bytes) else None


def _turn(item: pytest.Item) -> tuple[float, bool]:
    """By the time a test asks for, where it asks for more than the others."""
    limit = item.get_closest_marker("timeout")
    seconds = float(limit.args[0]) if limit and limit.args else 0.0
    return -seconds, item.get_closest_marker("slow") is None


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """The commands keep what they write from other users; run in here, the next test would too."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """One browser for all tests of a worker that read with it."""
    with browser_reader.started() as door:
        yield door


@pytest.fixture
def reader(chromium: str) -> browser_reader.Open:
    """`async with reader(origin, …) as seen`: see support/browser_reader.py."""
    return partial(browser_reader.reader, chromium)
