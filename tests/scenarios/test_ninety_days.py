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
from heliograph_collector.model.records import JournalRow, Kind, Taken
from heliograph_collector.store.journal.decode import read_rows
from heliograph_collector.store.pseudonyms import Pseudonyms
from support.dark_months import SECRET, Shift
from support.hand_clock import HandClock
from support.intake import House, house
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
async def behind(folder: Path, clock: HandClock) -> AsyncIterator[tuple[House, Shift]]:
    """An agent that was enrolled in time, and the collector that it will find again."""
    async with house(folder / "collector", clock=clock, batches_per_hour=240) as home:
        state = State(folder / "agent")
        state.root.mkdir()
        state.private_key(make=True)
        signer = state.signer()
        token = home.fleet.invite(role="volunteer", uses=1, now_s=0, expires_s=2**40)
        agent = home.fleet.enrol(token, signer.public, "test", clock.wall_us() // 1_000_000)
        home.intake.roll.add(agent)
        collector = Collector(
            endpoint=home.endpoint, pin=home.keyring.pin, certificate="", agent=agent.id,
            signing_key=home.keyring.signing.public, sealing_key=home.keyring.sealing.public,
        )  # fmt: skip
        assert agent.id == keys.agent_id(signer.public)
        shift = Shift(folder / "agent", collector, clock, LIMIT, seed=1)
        try:
            yield home, shift
        finally:
            await shift.spool.close()


async def deliver(home: House, shift: Shift) -> Delivery:
    """One envelope a second, as receipts allow; one receipt in ten is lost."""
    done = Delivery()
    while waiting := await shift.spool.waiting(16):
        for number, envelope in waiting:
            await shift.spool.offer([number])
            receipt = await home.intake.accept(envelope, WAY)
            done.statuses[receipt.status] += 1
            shift.clock.advance_us(1_000_000)
            if receipt.status == pb.STATUS_RETRY:
                done.waited_s += receipt.retry_after_s
                shift.clock.advance_us(receipt.retry_after_s * 1_000_000)
            elif len(done.sizes) % 10 or receipt.status == pb.STATUS_DUPLICATE:
                await shift.spool.settle(number, "stored")
            done.sizes.append(len(envelope))
    return done


async def arrived(home: House) -> list[tuple[JournalRow, list[Taken]]]:
    """By envelope, in the order of their arrival."""
    names, rows, after = Pseudonyms(home.keyring.secret), [], 0
    while found := await home.journal.read(after, 500, kinds=[Kind.ENVELOPE]):
        after = found[-1].position
        rows += found
    return [(row, read_rows([row], names).taken) for row in rows]


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
    async with behind(folder, clock) as (home, shift):
        await shift.live(DAYS, STEP_S)
        counts = await shift.spool.counts()
        assert readable(folder / "agent") == [], "a seized disk shows at most the last half minute"
        size = on_disk(folder / "agent")
        weights = weigh(folder)
        done = await deliver(home, shift)
        story = await arrived(home)
        again = await shift.spool.counts()
    assert size <= LIMIT + MIB // 4
    assert done.statuses[pb.STATUS_REJECTED] == 0
    assert (again.waiting, again.quarantined, again.dropped) == (0, 0, {})
    check(shift, counts, story)
    first = story[0][1]
    assert {t.measurement.experiment for t in first} == {"digest"}, "before anything else"
    assert done.sizes[0] <= 6_208
    assert weights[1] - weights[0] <= 10_240, "a backlog is not read into memory"
    tell(shift, counts, done, size, weights, first)


def weigh(folder: Path) -> tuple[int, int]:
    """Peak RSS, in KiB, of who sends from an empty spool, and from a copy of the full one."""
    copy = folder / "copy"
    copy.mkdir()
    for path in (folder / "agent").glob("spool.db*"):
        shutil.copy(path, copy)
    found = peak_kib(folder / "empty.db"), peak_kib(copy / "spool.db")
    shutil.rmtree(copy)
    return found


def check(shift: Shift, counts: SpoolCounts, story: list[tuple[JournalRow, list[Taken]]]) -> None:
    measured = [t.measurement for _, taken in story for t in taken]
    told = [m for m in measured if m.experiment != "digest"]
    single = [m for m in told if m.summary is None]
    numbers = Counter(m.sequence for m in single)
    assert not [n for n, times in numbers.items() if times > 1], "nothing is there twice"
    assert shift.issued.kept.keys() <= numbers.keys(), "liveness and changes, all of them"
    assert shift.issued.onset <= numbers.keys(), "how it began, in full"
    runs: Counter[tuple[str, bool]] = Counter()
    for m in single:
        if m.sequence not in shift.issued.kept:
            runs[m.target, any(x.failure for x in m.observations)] += 1
    for m in told:
        for outcome in m.summary.outcomes if m.summary else ():
            runs[m.target, bool(outcome.failures)] += outcome.runs
    assert runs == shift.issued.runs, "each routine run once, whole or in a sum"
    assert not counts.dropped
    assert sum(counts.summed.values()) > 0, "there was more than room for"


def tell(
    shift: Shift,
    counts: SpoolCounts,
    done: Delivery,
    size: int,
    weights: tuple[int, int],
    digest: list[Taken],
) -> None:
    total = len(shift.issued.kept) + sum(shift.issued.runs.values())
    print(
        f"\n{DAYS} dark days: {total} results, {len(shift.issued.kept)} of them P0 or P1; "
        f"{size / MIB:.1f} MiB on the disk of {LIMIT / MIB:.1f}; in sums alone "
        f"{dict(counts.summed)}; "
        f"{counts.waiting} envelopes, {sum(done.sizes) / MIB:.1f} MiB sent in {len(done.sizes)} "
        f"deliveries, the collector asked to wait {done.waited_s} s; digest {done.sizes[0]} bytes, "
        f"{len(digest)} stretches; RSS of the sender {weights[0] // 1024} MB empty, "
        f"{weights[1] // 1024} MB full"
    )
