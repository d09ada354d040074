"""Labs do not disturb each other, and leave nothing behind, however they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.country.topology import topology
from lab.country.world import require_for_test, world
from support.programs import PYTHONPATH, eventually, started

pytestmark = pytest.mark.lab
DIES = """
import subprocess, sys
from lab.country.world import world
with world() as made:
    made.run("", "ip", "netns", "add", "border")
    subprocess.Popen(made.command("border", ["sleep", "4242"]), start_new_session=True)
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def needs_root() -> None:
    require_for_test()


def test_two_worlds_with_the_same_names_are_separate() -> None:
    with world() as one, world() as other:
        for made in (one, other):
            made.script(["ip netns add border", "ip -n border link set lo up"])
        one.run("border", "ip", "address", "add", "192.0.2.1/32", "dev", "lo")
        assert "192.0.2.1" in one.run("border", "ip", "-4", "address")
        assert "192.0.2.1" not in other.run("border", "ip", "-4", "address")
    assert "border" not in subprocess.check_output(["ip", "netns", "list"], text=True)


def test_kill_9_of_the_maker_ends_its_world(tmp_path: Path) -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", DIES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        start_new_session=True,
    )
    assert maker.stdin is not None
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"ready\n"
    assert eventually(_sleepers, "the program inside", 10)
    maker.send_signal(signal.SIGKILL)
    maker.wait(timeout=60)
    maker.stdin.close()
    maker.stdout.close()
    eventually(lambda: not _sleepers(), "the end of everything inside", 10)


def _sleepers() -> list[str]:
    found = subprocess.run(["pgrep", "-f", "^sleep 4242$"], capture_output=True, text=True).stdout
    return found.split()


def test_processes_of_a_world_end_with_it(tmp_path: Path) -> None:
    with world() as made, started(made.command("", ["sleep", "600"]), tmp_path / "log") as inside:
        assert inside.poll() is None
    assert inside.wait(timeout=60) != 0


def test_every_agent_has_a_prefix_of_its_own() -> None:
    places = topology().agents
    prefixes = {place.address.rpartition(".")[0] for place in places}
    assert len(prefixes) == len(places)
