"""In the dark: batches grow together, hours and days give way to their sums, and counts add up."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.codec import measurement_from_pb
from heliograph.failure import Failure, Operation
from heliograph.observation import Http, Measurement, Observation
from heliograph.v1 import envelope_pb2
from heliograph_agent.spool import Priority, Spool, reader
from support.hand_clock import HandClock
from support.quick_disk import quick_folder
from support.results import EPOCH, contents, measurement, plain_seal

SMALL = 6_208
LIMIT = 983_040
HOUR_US = 3_600_000_000


@contextlib.asynccontextmanager
async def opened(path: Path, clock: HandClock) -> AsyncIterator[Spool]:
    spool = Spool(path, limit_bytes=LIMIT, clock=clock)
    try:
        yield spool
    finally:
        await spool.close()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def run(
    clock: HandClock, target: str, failure: Failure | None = None, noise: str = ""
) -> Measurement:
    """One that takes some room in the spool."""
    step = Observation(
        operation=Operation.CONNECT,
        started_us=0,
        duration_us=1,
        failure=failure,
        endpoint="e",
        http=Http(method="GET", url="/", text=noise),
    )
    one = replace(measurement(target), observations=(step,))
    return replace(one, started_us=clock.wall_us(), monotonic_us=clock.monotonic_us())


async def dark_batch(spool: Spool) -> None:
    while await spool.close_batch(plain_seal, SMALL, dark=True) is not None:
        pass


async def delivered(spool: Spool) -> list[envelope_pb2.Batch]:
    """All that goes out, in its order."""
    found = []
    while waiting := await spool.waiting(1):
        ((number, envelope),) = waiting
        await spool.offer([number])
        found.append(envelope_pb2.Batch.FromString(envelope))
        await spool.settle(number, "stored")
    return found


async def test_small_batches_become_one_until_somebody_may_have_seen_it(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path / "spool.db", clock) as spool:
        for name in "abc":
            await spool.append(measurement(name), EPOCH, Priority.P1)
            await dark_batch(spool)
        ((number, envelope),) = await spool.waiting(5)
        assert list(contents(envelope).values()) == ["a", "b", "c"]
        await spool.offer([number])
        await spool.append(measurement("d"), EPOCH, Priority.P1)
        await dark_batch(spool)
        (first, second) = await spool.waiting(5)
        assert first == (number, envelope), "what may have arrived stays as it is"
        assert list(contents(second[1]).values()) == ["d"]


async def test_what_grew_or_gave_way_since_a_look_is_not_sent(tmp_path: Path) -> None:
    """Else what is in it arrives twice: once by itself, and once in what it grew into."""
    clock = HandClock()
    async with opened(tmp_path / "spool.db", clock) as spool:
        await spool.append(measurement("a"), EPOCH, Priority.P1)
        await dark_batch(spool)
        ((seen, _),) = await spool.waiting(5)
        await spool.append(measurement("b"), EPOCH, Priority.P1)
        await dark_batch(spool)
        assert await spool.offer([seen]) == set()
        ((number, envelope),) = await spool.waiting(5)
        assert await spool.offer([seen, number]) == {number}
        assert list(contents(envelope).values()) == ["a", "b"]


async def test_an_export_ends_the_growing_too(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "spool.db"
    async with opened(path, clock) as spool:
        await spool.append(measurement("a"), EPOCH, Priority.P3)
        await dark_batch(spool)
        carried = [*reader.envelopes(path)]
        await spool.append(measurement("b"), EPOCH, Priority.P3)
        await dark_batch(spool)
        assert carried[0] in [envelope for _, envelope in await spool.waiting(5)]
        assert len(await spool.waiting(5)) == 2


async def test_hours_and_days_are_summed_up_and_every_run_is_counted(tmp_path: Path) -> None:
    """Twelve days in a room for few: the onset stays whole, changes stay, every run is counted."""
    clock, rng = HandClock(), random.Random(7)
    issued: Counter[tuple[str, bool]] = Counter()
    async with opened(tmp_path / "spool.db", clock) as spool:
        for minute in range(0, 12 * 1_440, 10):
            if minute % 1_440 == 300:
                await spool.append(measurement(f"change {minute}"), EPOCH, Priority.P1)
            for target in ("one", "two"):
                bad = rng.random() < 0.3
                failure = Failure.GENERIC_TIMEOUT_ERROR if bad else None
                worth = Priority.P2 if bad else Priority.P3
                one = run(clock, target, failure, rng.randbytes(250).hex())
                await spool.append(one, EPOCH, worth)
                issued[target, bad] += 1
            await dark_batch(spool)
            clock.advance_us(600_000_000)
        counts = await spool.counts()
        batches = await delivered(spool)
    assert counts.bytes <= LIMIT
    assert not counts.dropped
    assert set(counts.summed) == {"p2", "p3"}
    told = [measurement_from_pb(m) for batch in batches for m in batch.measurements]
    assert sum(m.target.startswith("change") for m in told) == 12
    runs = [m for m in told if not m.target.startswith("change")]
    whole = [m for m in runs if m.summary is None]
    arrived = Counter((m.target, m.observations[0].failure is not None) for m in whole)
    spans = set()
    for m in runs:
        for outcome in m.summary.outcomes if m.summary else ():
            arrived[m.target, bool(outcome.failures)] += outcome.runs
        if m.summary is not None:
            spans.add(m.summary.span_us > HOUR_US)
    assert arrived == issued, "each run once, alone or in a sum"
    assert spans == {False, True}, "hours and days"
    assert len(whole) + sum(counts.summed.values()) == sum(issued.values())
    onset = HandClock().wall_us() + 3 * HOUR_US
    early = [m for m in runs if m.started_us < onset]
    assert all(m.summary is None for m in early), "how it began is there in full"
    assert len(early) == 36
    numbers = [m.sequence for m in whole]
    assert len(numbers) == len(set(numbers))


async def test_a_sum_is_worth_nothing_once_one_of_its_runs_may_have_arrived(tmp_path: Path) -> None:
    clock, rng = HandClock(), random.Random(7)
    async with opened(tmp_path / "spool.db", clock) as spool:
        for _ in range(200):
            await spool.append(run(clock, "t", noise=rng.randbytes(500).hex()), EPOCH, Priority.P3)
            await dark_batch(spool)
            clock.advance_us(300_000_000)
        sent = [number for number, _ in await spool.waiting(1_000)]
        await spool.offer(sent)
        while (await spool.counts()).dropped.get("thinned_p3", 0) < 20:
            await spool.append(run(clock, "u", noise=rng.randbytes(900).hex()), EPOCH, Priority.P3)
        assert not (await spool.counts()).summed


async def test_a_digest_goes_first_and_is_replaced_until_it_was_sent(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path / "spool.db", clock) as spool:
        await spool.append(measurement("change"), EPOCH, Priority.P1)
        await dark_batch(spool)
        long, short = measurement("digest", not_measured="x" * 2_000), measurement("digest 1")
        await spool.digest([long, short], EPOCH, plain_seal, 1_000)
        await spool.digest([measurement("digest 2")], EPOCH, plain_seal, 1_000)
        batches = await delivered(spool)
    told = [[m.target for m in batch.measurements] for batch in batches]
    assert told == [["digest 2"], ["change"]]


async def test_a_backlog_may_be_left_to_wait_and_changes_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool.db", HandClock()) as spool:
        for name, worth in (("old", Priority.P3), ("change", Priority.P1), ("worse", Priority.P2)):
            await spool.append(measurement(name), EPOCH, worth)
            await spool.close_batch(plain_seal)
        newest, oldest_us = await spool.backlog()
        await spool.append(measurement("new"), EPOCH, Priority.P3)
        await spool.close_batch(plain_seal)
        free = [contents(e) for _, e in await spool.waiting(9, held_to=newest)]
        assert [[*c.values()] for c in free] == [["change"], ["new"]]
        assert oldest_us == HandClock().wall_us()


@pytest.mark.parametrize("kill", [3, 40, 77])
async def test_a_new_life_sums_up_anew_and_counts_nothing_twice(tmp_path: Path, kill: int) -> None:
    """What one life remembers is gone with it; what it sealed is not."""
    clock, rng, issued = HandClock(), random.Random(kill), 0
    path = tmp_path / "spool.db"
    for life in range(6):
        async with opened(path, clock) as spool:
            for _ in range(kill + life):
                one = run(clock, "t", noise=rng.randbytes(1_500).hex())
                await spool.append(one, EPOCH, Priority.P3)
                issued += 1
                await dark_batch(spool)
                clock.advance_us(900_000_000)
            await asyncio.sleep(0)
    async with opened(path, clock) as spool:
        counts = await spool.counts()
        told = [m for batch in await delivered(spool) for m in batch.measurements]
    there = sum(m.summary.runs if m.HasField("summary") else 1 for m in told)
    assert there + sum(counts.dropped.values()) == issued
