"""Random schedules of faults: acknowledged is stored once, and only what was issued is stored.

`HELIOGRAPH_SCHEDULES` says how many, `HELIOGRAPH_SEED` with which to begin.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.programs import CLEAN
from support.quick_disk import quick_folder
from support.small_disk import UNSHARED
from support.waiting import until_now

SCHEDULES = int(os.environ.get("HELIOGRAPH_SCHEDULES", "60"))
SEED = int(os.environ.get("HELIOGRAPH_SEED", "1"))
TESTS = Path(__file__).parents[1]
ENV = {**CLEAN, "PYTHONPATH": str(TESTS)}


@contextmanager
def door(folder: Path) -> Iterator[Path]:
    socket = folder / "socket"
    command = [sys.executable, "-m", "support.fault_door", str(folder / "collector"), str(socket)]
    with subprocess.Popen(command, cwd=TESTS, env=ENV) as process:
        try:
            until_now(lambda: socket.exists() or process.poll() is not None)
            yield socket
        finally:
            process.terminate()


def played(folder: Path, socket: Path) -> dict[str, Any]:
    """Where nobody may mount, the disk is neither full nor read-only, and the rest is as told."""
    (folder / "agents").mkdir()
    may = not subprocess.run([*UNSHARED, "true"], check=False, capture_output=True).returncode
    done = subprocess.run(
        [*(UNSHARED if may else ()), sys.executable, "-m", "support.fault_schedules",
         folder / "agents", socket, str(SEED), str(SCHEDULES)],
        cwd=TESTS, env=ENV, capture_output=True, text=True, timeout=120 + 2 * SCHEDULES,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.slow
@pytest.mark.timeout(180 + 3 * SCHEDULES)
def test_acknowledged_is_stored_once_and_stored_was_issued() -> None:
    with quick_folder() as folder, door(folder) as socket:
        told = played(folder, socket)
    acts = told["acts"]
    print(f"\n{told['schedules']} schedules of faults, the first with seed {told['first_seed']}: "
          f"{len(told['wrong'])} violations; {acts}; {told['seconds']} s")  # fmt: skip
    assert told["wrong"] == {}
    assert told["schedules"] == SCHEDULES
    least = SCHEDULES // 10
    assert min(acts["killed"], acts["flipped"], acts["short"], acts["results in sums"]) >= least
    assert acts["envelopes acknowledged"] > 5 * SCHEDULES, "too little went on to prove anything"
    if told["own_disk"]:
        assert min(acts["full"], acts["read-only"]) >= least
