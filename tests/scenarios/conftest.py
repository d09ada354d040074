"""An agent that has joined a collector, for tests in which the two never meet again."""

from pathlib import Path

import pytest

from support import local_targets, loopback_plan, serve_process
from support.ports import free_port
from support.programs import agent, ask, collector


@pytest.fixture(scope="session")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with an agent that has joined; each test has a copy.

    Tests that use it share one xdist group, and remove the agent's file in memory, which copies
    share.
    """
    folder = tmp_path_factory.mktemp("joined")
    loopback_plan.prepare(folder, free_port())  # no server listens there
    data = folder / "data"
    with serve_process.served(data, config=loopback_plan.build_config(folder)) as served:
        served.wait_for("http")
        invite = ask(collector("invite", "--data", data)).strip()
        ask(agent("join", invite, "--yes", "--state", local_targets.allow(folder / "agent")))
    return folder
