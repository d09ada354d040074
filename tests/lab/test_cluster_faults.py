"""Random faults on the machines of a cluster, while real agents measure.

Each schedule has a machine that is killed, one that is cut off, one that is slow and one with a
full disk, in any order, two of them at a time; then they are repaired. What was acknowledged must
be stored once, no vantage may be silent for a fault of ours, and the alert log must be one chain.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from os import environ
from pathlib import Path

import pytest

from heliograph.durable_file import read_lines
from heliograph_collector.fleet import open_keyring
from heliograph_collector.incidents.log_file import LOG_FILE_NAME, verify_lines
from lab.country import drill
from lab.country.accounts import check_accounts
from lab.country.cluster import (
    BROKERS,
    LEADERS,
    MACHINES,
    ClusterCountry,
    build_store,
    cluster_country,
)
from lab.country.topology import small_country
from lab.country.world import require_for_test
from support.programs import eventually

SCHEDULES = int(environ.get("HELIOGRAPH_LAB_SCHEDULES", "0"))
SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
LASTS_S = (2.0, 8.0, 20.0, 45.0)  # shorter and longer than a lease, a dead host, a cut-off one
BROKER_MB = 48
DRAIN_S = 600.0
NETWORKS = {"one": {"ala": 2, "nqz": 2}, "two": {"ala": 2, "nqz": 2}}
Fault = tuple[Callable[[ClusterCountry, str], AbstractContextManager[None]], str]
pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(14_000),
    pytest.mark.xdist_group("drill"),
    pytest.mark.skipif(not SCHEDULES, reason="minutes for each schedule: make soak plays them"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterCountry]:
    require_for_test()
    described = small_country(NETWORKS, {"ala": "KZ-75", "nqz": "KZ-71"})
    with cluster_country(tmp_path_factory.mktemp("faults"), described, BROKER_MB) as made:
        made.collect(drill.plan(every_s=30, heartbeat_s=4, messengers=("telegram",)), build_store())
        made.populate()
        yield made


@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
def test_faults_of_machines_lose_nothing_and_silence_nobody(
    made: ClusterCountry, seed: int
) -> None:
    rng = random.Random(seed)
    faults = draw_faults(rng)
    for pair in (faults[:2], faults[2:]):
        play_pair(made, pair, rng, seed)
    made.find_leader()
    assert [row for row in drill.incidents(made) if row["kind"] == "network_silence"] == []
    assert list_silent(made) == []
    for leader in LEADERS:
        check_log(made, leader)


def test_each_result_is_stored_once_in_the_end(made: ClusterCountry) -> None:
    made.find_leader()
    check_accounts(made)


def play_pair(made: ClusterCountry, pair: Sequence[Fault], rng: random.Random, seed: int) -> None:
    """Play two faults, the second some time after the first; wait until all is well."""
    began_s = time.monotonic()
    with ExitStack() as stack:
        for fault, name in pair:
            lasts_s = rng.choice(LASTS_S)
            print(f"{seed}: {name} is {fault.__name__}; after {lasts_s:.0f} s", flush=True)
            stack.enter_context(fault(made, name))
            time.sleep(lasts_s)  # leases, deadlines and clocks of the programs are real
    mended_s = time.monotonic()
    made.find_leader()
    ready_s = time.monotonic() - mended_s
    until_s = time.time()
    eventually(partial(has_all, made, until_s), "all acknowledged", DRAIN_S)
    whole_s = time.monotonic() - mended_s
    print(
        f"{seed}: mended after {mended_s - began_s:.0f} s; one is ready {ready_s:.1f} s later, "
        f"all is acknowledged {whole_s:.0f} s later",
        flush=True,
    )


def has_all(made: ClusterCountry, until_s: float) -> bool:
    """Return whether agents hold nothing older; restart those that have ended."""
    made.restart_ended()
    return not made.list_behind(until_s)


def draw_faults(rng: random.Random) -> list[Fault]:
    """Draw one of each kind, on four machines, in any order."""
    drawn: list[Fault] = [(full, rng.choice(BROKERS))]
    for kind in (killed, cut, slow):
        taken = {name for _, name in drawn}
        drawn.append((kind, rng.choice([name for name in MACHINES if name not in taken])))
    rng.shuffle(drawn)
    return drawn


@contextmanager
def killed(made: ClusterCountry, name: str) -> Iterator[None]:
    made.kill_machine(name)
    yield
    made.start_machine(name)


@contextmanager
def cut(made: ClusterCountry, name: str) -> Iterator[None]:
    """Disconnect a machine's cable, then reconnect it."""
    made.world.run(name, "ip", "link", "set", "out", "down")
    yield
    made.plug_in(name)


@contextmanager
def slow(made: ClusterCountry, name: str) -> Iterator[None]:
    """Slow a machine's traffic by a long queue."""
    rule = ("root", "tbf", "rate", "256kbit", "burst", "16kb", "latency", "800ms")
    made.world.run(name, "tc", "qdisc", "add", "dev", "out", *rule)
    yield
    made.world.run(name, "tc", "qdisc", "del", "dev", "out", "root")


@contextmanager
def full(made: ClusterCountry, name: str) -> Iterator[None]:
    """Fill a disk; then free it and restart the server, as deploy/cluster describes."""
    store = f"{made.folder}/{name}-store"
    with suppress(RuntimeError):
        made.world.run("", "dd", "if=/dev/zero", f"of={store}/filler", "bs=64k")
    yield
    made.world.run("", "rm", f"{store}/filler")
    made.kill_machine(name)
    made.start_machine(name)


def list_silent(made: ClusterCountry) -> list[str]:
    """List the minutes in which a vantage was shown as silent."""
    answer = made.get(
        "/api/v1/timeline", country=made.topology.country, bin="1m", service="anchors"
    )
    assert any(cell["vantages"] for cell in answer["cells"]), "nobody is counted at all"
    return [f"{cell['start']}: {cell['silent']}" for cell in answer["cells"] if cell["silent"]]


def check_log(made: ClusterCountry, leader: str) -> None:
    """Raise where its alert log is no chain of signed entries."""
    data = made.folder / ("data" if leader == "leader1" else leader)
    file = Path(data) / LOG_FILE_NAME
    if file.exists():
        verify_lines(read_lines(file), open_keyring(data, ()).log.public)
