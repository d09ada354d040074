"""The suite's own machinery does what the Makefile asks of it."""

from types import SimpleNamespace
from typing import cast

import pytest
from xdist.workermanage import WorkerController

from lab.country.pace import BEHIND_S, Pace
from support import quick
from support.both_ends import BothEnds


@pytest.mark.skipif(
    "not getattr(config.option, 'loadgroup', False)", reason="groups are kept by --dist loadgroup"
)
@pytest.mark.xdist_group("together")
def test_a_group_stays_with_one_worker(request: pytest.FixtureRequest) -> None:
    """A group stays with one worker.

    Otherwise each worker makes every costly fixture again, and only the time shows it.
    """
    if not request.config.getoption("loadgroup"):
        pytest.skip("run without --dist loadgroup")
    assert request.node.nodeid.endswith("@together")


class _Worker:
    """A worker as the scheduler sees it: its name, and a way to send it tests."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.tests: list[int] = []

    def send_runtest_some(self, tests: list[int]) -> None:
        self.tests += tests


def test_every_second_worker_takes_from_the_back_and_groups_stay_whole() -> None:
    option = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(getvalue=lambda _: ["3*popen"], option=option)
    scheduler = BothEnds(cast("pytest.Config", config))
    workers = [_Worker(f"gw{number}") for number in range(3)]
    nodes = [cast("WorkerController", worker) for worker in workers]
    tests = ["a.py::t@g", "a.py::u@g", *(f"b.py::t{number}" for number in range(6)), "c.py::t"]
    for node in nodes:
        scheduler.add_node(node)
    for node in nodes:
        scheduler.add_node_collection(node, tests)
    scheduler.schedule()
    assert [worker.tests for worker in workers] == [[0, 1, 3], [8, 7], [2, 4]]


def test_what_starts_programs_by_any_way_is_not_pure() -> None:
    files = ["contract/test_codec.py", "collector/detect/silence/test_detector.py"]
    assert all(quick.is_pure(quick.TESTS / file) for file in files)
    others = [
        "lab/test_drill.py",
        "collector/http/test_page_in_browser.py",
        "agent/runtime/test_agent.py",
    ]
    assert not any(quick.is_pure(quick.TESTS / file) for file in others)


def test_a_fast_clock_starts_behind_and_catches_up() -> None:
    pace = Pace(4.0, origin_s=100_000.0)
    assert pace.wall_s(100_000.0) == 100_000.0 - BEHIND_S
    assert pace.wall_s(100_060.0) - pace.wall_s(100_000.0) == 240.0
    assert Pace(1.0).wall_s(100_000.0) == 100_000.0
