"""A full disk under journal and store: what was acknowledged is in, once there is room again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture
def unshared() -> list[str]:
    """The start of a command that may mount without anybody else seeing it."""
    command = ["unshare", "--mount", "--propagation", "private"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        reason = "needs root and unshare (util-linux) to mount a small disk"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return command


@pytest.mark.lab
def test_a_full_disk_costs_time_and_nothing_else(unshared: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*unshared, sys.executable, "-m", "support.store_on_a_full_disk", tmp_path],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"\nfull disk: {told}")
    assert told["refused_while_full"] > 0, "the door was told to say retry"
    assert "free space on it" in told["problems"][0]
    assert told["refused_after"] == 0
    assert told["problems_after"] == []
    assert told["lost"] == told["double"] == 0
    assert told["stored"] == told["acknowledged"]
