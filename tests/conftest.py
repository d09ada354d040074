"""Fixtures and hooks for the whole suite."""

import gc
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from support import browser_reader, quick
from support.both_ends import BothEnds, find_turn
from support.examples import limit_examples

# On a busy machine any example may take long: the time decides no test. Where a property states no
# number of its own, CI draws Hypothesis's default of 100, `make quick` 25 and `make soak` 800.
settings.register_profile(
    "suite", parent=settings(), deadline=None, max_examples=limit_examples(800)
)
settings.load_profile("suite")

os.environ["LANGUAGE"] = "en"  # whatever the developer's; every child inherits it

_LONGEST_NAME = 200  # characters of a parameter that a test is named by
gc.disable()  # what is collected stays to the end; to look for garbage in it takes as long again


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="the pure tests: see support/quick.py")
    parser.addoption("--long", action="store_true", help="with --quick: those marked long, too")


def pytest_configure() -> None:
    """Restore Ctrl-C, which a shell ignores in the background for all children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files that are not pure without importing them."""
    if not config.getoption("quick") or collection_path.suffix != ".py":
        return None
    return None if quick.is_pure(collection_path) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run long tests that wait first, and computing ones last (support/both_ends.py)."""
    if config.getoption("quick"):
        left_out = quick.LEFT_OUT - ({"long"} if config.getoption("long") else set())
        items[:] = [item for item in items if not any(map(item.get_closest_marker, left_out))]
        quick.refuse_the_rest()
    items.sort(key=find_turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    return BothEnds(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes and long texts by their argument, for stable and short test names.

    Each worker may draw other bytes, and then no two collect the same tests. Workers, reports and
    logs repeat names (there were names of two megabytes).
    """
    is_long = isinstance(val, str) and len(val) > _LONGEST_NAME
    return argname if isinstance(val, bytes) or is_long else None


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    """Restore the umask: commands run in this process make it private."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """Run one browser for all tests of a worker that use it."""
    with browser_reader.started() as door:
        yield door


@pytest.fixture
def reader(chromium: str) -> browser_reader.Open:
    """Open readers by `async with reader(origin, …)`; see support/browser_reader.py."""
    return partial(browser_reader.reader, chromium)
