"""Ninety days without a way out, in virtual time, and then the real collector's door.

`HELIOGRAPH_DARK=whole` plays it at the shipped plan's own pace with the shipped bound, in a quarter
of an hour; without it each test is due every other hour and the bound is 1.5 MiB.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heliograph import keys
from heliograph.v1 import intake_pb2 as pb
from heliograph_agent.spool import SpoolCounts
from heliograph_agent.state import Collector, State
from heliograph_collector.model.records import JournalRow, ReceivedMeasurement, RowKind
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.hand_clock import HandClock
from support.intake import IngestServer, ingest_server
from support.offline_agent import SECRET, OfflineAgent
from support.quick_disk import quick_folder

DAYS = 90
WHOLE = os.environ.get("HELIOGRAPH_DARK") == "whole"
STEP_S = 180 if WHOLE else 7_200
LIMIT = 67_108_864 if WHOLE else 1_572_864
WAY = "198.51.100.7"
TESTS = Path(__file__).parents[1]
MIB = 1_048_576


@dataclass
class Delivery:
    """What went through the door, and how the receipts read."""

    statuses: Counter[int] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    waited_s: int = 0


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@asynccontextmanager
async def behind(
    folder: Path, clock: HandClock
) -> AsyncIterator[tuple[IngestServer, OfflineAgent]]:
    """An agent that was enrolled in time, and the collector that it will find again."""
    async with ingest_server(folder / "collector", clock=clock, batches_per_hour=240) as home:
        state = State(folder / "agent")
        state.root.mkdir()
        state.private_key(create=True)
        signer = state.signer()
        token = home.fleet.create_invite(role="volunteer", uses=1, now_s=0, expires_s=2**40)
        agent = home.fleet.enrol_agent(token, signer.public, "test", clock.wall_us() // 1_000_000)
        home.intake.directory.add_agent(agent)
        collector = Collector(
            endpoint=home.endpoint, pin=home.keyring.pin, certificate="", agent=agent.id,
            signing_key=home.keyring.signing.public, sealing_key=home.keyring.sealing.public,
        )  # fmt: skip
        assert agent.id == keys.agent_id(signer.public)
        offline = OfflineAgent(folder / "agent", collector, clock, LIMIT, seed=1)
        try:
            yield home, offline
        finally:
            await offline.spool.close()


async def deliver(home: IngestServer, offline: OfflineAgent) -> Delivery:
    """One envelope a second, as receipts allow; one receipt in ten is lost."""
    done = Delivery()
    while waiting := await offline.spool.list_waiting(16):
        for number, envelope in waiting:
            await offline.spool.mark_offered([number])
            receipt = await home.intake.receiver.accept(envelope, WAY)
            done.statuses[receipt.status] += 1
            offline.clock.advance_us(1_000_000)
            if receipt.status == pb.STATUS_RETRY:
                done.waited_s += receipt.retry_after_s
                offline.clock.advance_us(receipt.retry_after_s * 1_000_000)
            elif len(done.sizes) % 10 or receipt.status == pb.STATUS_DUPLICATE:
                await offline.spool.record_receipt(number, "stored")
            done.sizes.append(len(envelope))
    return done


async def arrived(home: IngestServer) -> list[tuple[JournalRow, list[ReceivedMeasurement]]]:
    """By envelope, in the order of their arrival."""
    names, rows, after = Pseudonyms(home.keyring.secret), [], 0
    while found := await home.journal.read(after, 500, kinds=[RowKind.ENVELOPE]):
        after = found[-1].position
        rows += found
    return [(row, read_rows([row], names).records) for row in rows]


def readable(folder: Path) -> list[str]:
    """Files of the agent in which a target can be read."""
    return [path.name for path in folder.iterdir() if SECRET.encode() in path.read_bytes()]


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def peak_kib(spool: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "support.spool_memory", spool],
        cwd=TESTS, env={**os.environ, "PYTHONPATH": str(TESTS)}, check=True, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(3_600 if WHOLE else 300)
async def test_everything_that_matters_arrives_once_after_ninety_dark_days(folder: Path) -> None:
    clock = HandClock()
    async with behind(folder, clock) as (home, offline):
        await offline.live(DAYS, STEP_S)
        counts = await offline.spool.read_counts()
        assert readable(folder / "agent") == [], "a seized disk shows at most the last half minute"
        size = on_disk(folder / "agent")
        weights = weigh(folder)
        done = await deliver(home, offline)
        story = await arrived(home)
        again = await offline.spool.read_counts()
    assert size <= LIMIT + MIB // 4
    assert done.statuses[pb.STATUS_REJECTED] == 0
    assert (again.waiting, again.quarantined, again.dropped) == (0, 0, {})
    check(offline, counts, story)
    first = story[0][1]
    assert {t.measurement.experiment for t in first} == {"digest"}, "before anything else"
    assert done.sizes[0] <= 6_208
    assert weights[1] - weights[0] <= 10_240, "a backlog is not read into memory"
    tell(offline, counts, done, size, weights)


def weigh(folder: Path) -> tuple[int, int]:
    """Peak RSS, in KiB, of who sends from an empty spool, and from a copy of the full one."""
    copy = folder / "copy"
    copy.mkdir()
    for path in (folder / "agent").glob("spool.db*"):
        shutil.copy(path, copy)
    found = peak_kib(folder / "empty.db"), peak_kib(copy / "spool.db")
    shutil.rmtree(copy)
    return found


def check(
    offline: OfflineAgent,
    counts: SpoolCounts,
    story: list[tuple[JournalRow, list[ReceivedMeasurement]]],
) -> None:
    measured = [t.measurement for _, taken in story for t in taken]
    told = [m for m in measured if m.experiment != "digest"]
    single = [m for m in told if m.summary is None]
    numbers = Counter(m.sequence for m in single)
    assert not [n for n, times in numbers.items() if times > 1], "nothing is there twice"
    assert offline.issued.kept.keys() <= numbers.keys(), "liveness and changes, all of them"
    assert offline.issued.onset <= numbers.keys(), "how it began, in full"
    runs: Counter[tuple[str, bool]] = Counter()
    for m in single:
        if m.sequence not in offline.issued.kept:
            runs[m.target, any(x.failure for x in m.observations)] += 1
    for m in told:
        for outcome in m.summary.outcomes if m.summary else ():
            runs[m.target, bool(outcome.failures)] += outcome.runs
    assert runs == offline.issued.runs, "each routine run once, whole or in a sum"
    assert not counts.dropped
    assert sum(counts.summed.values()) > 0, "there was more than room for"


def tell(
    offline: OfflineAgent, counts: SpoolCounts, done: Delivery, size: int, weights: tuple[int, int]
) -> None:
    total = len(offline.issued.kept) + sum(offline.issued.runs.values())
    print(
        f"\n{DAYS} dark days: {total} results, {len(offline.issued.kept)} of them P0 or P1; "
        f"{size / MIB:.1f} MiB on the disk of {LIMIT / MIB:.1f}; in sums {dict(counts.summed)}; "
        f"{counts.waiting} envelopes, {sum(done.sizes) / MIB:.1f} MiB in {len(done.sizes)} "
        f"deliveries, waited {done.waited_s} s; digest {done.sizes[0]} bytes; "
        f"RSS in MB {weights[0] // 1024} empty, {weights[1] // 1024} full"
    )
