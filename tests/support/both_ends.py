"""The suite's queue of tests, which workers take from both ends.

Tests that wait (for leases, heartbeats, retries of whole programs) stand in front, those that
compute at the back. Taken from the front alone, all workers first waited while the cores were idle,
and computed against each other later. Now every second worker takes from the back, so that waiting
and computing run beside each other; they meet at tests of milliseconds, and none waits at the end.
"""

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

FIRST = "drill"  # plays drill and matrix one after the other in one worker


def find_turn(item: pytest.Item) -> tuple[bool, float, bool, bool, bool]:
    """Return a test's sort key: the lab's group first, slow and computing ones last."""
    group = item.get_closest_marker("xdist_group")
    limit = item.get_closest_marker("timeout")
    seconds = float(limit.args[0]) if limit and limit.args else 0.0
    first = group is not None and group.args[0] == FIRST
    slow = item.get_closest_marker("slow") is not None
    computes = any(item.get_closest_marker(mark) for mark in ("long", "replay"))
    large = group is not None or item.get_closest_marker("lab") is not None
    return not first, -seconds, not slow, computes, not large


def takes_from_the_back(worker: str) -> bool:
    """Return whether an xdist worker (gw0, gw1, …) takes the tests that compute."""
    return int(worker.removeprefix("gw")) % 2 == 1


class BothEnds(LoadGroupScheduling):
    """Groups stay with one worker, as by `--dist loadgroup`."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if takes_from_the_back(node.gateway.id):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
