"""Every commit on main starts, and today's code serves its directories.

`make soak` walks the last `HELIOGRAPH_COMMITS` first-parent commits. Each is run from an archive,
with today's libraries: a collector, which must be ready, and an agent that joins, measures loopback
once and delivers. Then collector and agent of this checkout do the same in the same directories.
The suite does not walk: it starts this checkout elsewhere.
"""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.programs import CLEAN, agent, ask, collector, eventually, started
from support.volunteer_world import World, listening_targets

ROOT = Path(__file__).parents[2]
COMMITS = int(os.environ.get("HELIOGRAPH_COMMITS", "0"))
PARTS = ("agent", "agent/raw", "collector", "proto")


def list_commits() -> list[str]:
    command = ["git", "log", "--first-parent", f"-{COMMITS}", "--format=%h"]
    return subprocess.check_output(command, cwd=ROOT, text=True).split() if COMMITS else []


def unpack(commit: str, folder: Path) -> str:
    """Return the PYTHONPATH of the commit."""
    command = ["git", "archive", commit, "agent", "collector", "proto"]
    with tarfile.open(fileobj=io.BytesIO(subprocess.check_output(command, cwd=ROOT))) as archive:
        archive.extractall(folder, filter="data")
    return os.pathsep.join(str(folder / part) for part in PARTS)


def measure_once(world: World, count: int) -> None:
    """Start both programs; the agent delivers until `count` results are stored."""
    with started(world.serve(), world.home / "serve.log") as serving:
        eventually(world.is_ready, "GET /readyz")
        if not (world.home / "agent" / "spool.db").exists():
            world.enroll()
        ask(agent("run", "--help"))
        with started([*world.measure(), "--once"], world.home / "agent.log") as measuring:
            assert measuring.wait(timeout=240) == 0, (world.home / "agent.log").read_text()
        eventually(lambda: len(world.stored()) >= count, "the results in the store")
        serving.terminate()
        assert serving.wait(timeout=120) == 0, "a clean stop"


@pytest.mark.slow
@pytest.mark.skipif(not COMMITS, reason="hours: HELIOGRAPH_COMMITS=60, as in make soak")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("commit", list_commits() or [""])
def test_commit_starts_and_today_s_code_goes_on(
    commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening_targets(2) as targets:
        world = World(tmp_path, targets)
        with monkeypatch.context() as its_own:
            its_own.setitem(CLEAN, "PYTHONPATH", unpack(commit, tmp_path / "code"))
            where = [sys.executable, "-c", "import heliograph_agent as a; print(a.__file__)"]
            assert str(tmp_path) in ask(where)
            ask(collector("plan", "set", world.plan, "--data", world.home / "data"))
            measure_once(world, 2)
        measure_once(world, 3)
