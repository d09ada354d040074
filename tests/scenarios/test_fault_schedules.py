"""Under random faults all that was acknowledged is stored once, and nothing else.

`HELIOGRAPH_SCHEDULES` is their number, `HELIOGRAPH_SEED` the first seed.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.programs import ask, module_command, started
from support.quick_disk import quick_folder
from support.small_disk import UNSHARED, can_unshare
from support.waiting import until_now

SCHEDULES = int(os.environ.get("HELIOGRAPH_SCHEDULES", "16"))
MANY = 200  # assumed: by then some life fills its disk before it is killed
SEED = int(os.environ.get("HELIOGRAPH_SEED", "1"))


@contextmanager
def door(folder: Path) -> Iterator[Path]:
    socket = folder / "socket"
    command = module_command("support.fault_collector", str(folder / "collector"), str(socket))
    with started(command, folder / "door.log") as process:
        until_now(lambda: socket.exists() or process.poll() is not None)
        yield socket


def played(folder: Path, socket: Path) -> dict[str, Any]:
    """Play the schedules; without the right to mount, no full or read-only disk."""
    (folder / "agents").mkdir()
    words = (str(folder / "agents"), str(socket), str(SEED), str(SCHEDULES))
    command = [
        *(UNSHARED if can_unshare() else ()),
        *module_command("support.fault_schedules", *words),
    ]
    told: dict[str, Any] = json.loads(ask(command, timeout_s=120 + 6 * SCHEDULES))
    return told


@pytest.mark.slow
@pytest.mark.timeout(600 + 6 * SCHEDULES)
def test_acknowledged_is_stored_once_and_stored_was_issued() -> None:
    with quick_folder() as folder, door(folder) as socket:
        told = played(folder, socket)
    acts = told["acts"]
    print(f"\n{told['schedules']} schedules of faults, the first with seed {told['first_seed']}: "
          f"{len(told['wrong'])} violations; {acts}; {told['seconds']} s")  # fmt: skip
    assert told["wrong"] == {}
    assert told["schedules"] == SCHEDULES
    least = SCHEDULES // 10
    assert min(acts["flipped"], acts["short"]) >= least
    if SCHEDULES >= MANY:  # copies of killed lives are in no sum, and leave few
        assert acts["results in sums"] > 0
    assert acts["killed"] >= SCHEDULES // 2
    assert acts["envelopes acknowledged"] > 5 * SCHEDULES, "too little went on to prove anything"
    if told["own_disk"]:
        assert min(acts["full"], acts["read-only"]) >= least
