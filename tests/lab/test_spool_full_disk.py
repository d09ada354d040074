"""A disk without a byte left: the spool loses nothing that it took, and starts all the same."""

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
def test_a_full_disk(unshared: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*unshared, sys.executable, "-m", "support.spool_on_a_full_disk", tmp_path],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"\nfull disk: {told}")
    assert told["changes_lost"] == 0, "whatever append returned is there"
    assert told["twice"] == 0
    assert told["changes"] > 100, "routine made room for changes"
    assert told["refused"] > 0, "and in the end there was none, which was said"
    assert (
        told["kept"]
        + sum(count for cause, count in told["dropped"].items() if cause.startswith("thinned"))
        == told["taken"]
    ), "what is missing is counted"
    assert set(told["dropped"]) == {"thinned_p3", "refused"}
    assert told["problem_when_full"] == ""
    assert told["problem_at_start"] == "", "a start on a full disk is a start"
    assert told["problem_in_the_end"] == ""
