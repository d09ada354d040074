"""Offline, batches are merged, summaries replace hours and days, counts add up."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.codec import measurement_from_pb
from heliograph.failure import Failure
from heliograph.observation import Http, Measurement
from heliograph_agent.spool import Priority, Spool, iter_envelopes
from support.hand_clock import HandClock
from support.quick_disk import quick_folder
from support.results import (
    EPOCH,
    append,
    contents,
    deliver_all,
    measurement,
    open_spool,
)
from support.steps import make_step

SMALL = 6_208
LIMIT = 983_040
HOUR_US = 3_600_000_000


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def run(
    clock: HandClock, target: str, failure: Failure | None = None, noise: str = ""
) -> Measurement:
    """Return a measurement that takes some space in the spool."""
    step = make_step(failure=failure, endpoint="e", http=Http(method="GET", url="/", text=noise))
    result = replace(measurement(target), observations=(step,), started_us=clock.wall_us())
    return replace(result, monotonic_us=clock.monotonic_us())


async def close_offline(spool: Spool) -> None:
    while await spool.close_batch(SMALL, is_offline=True) is not None:
        pass


async def append_offline(spool: Spool, target: str, priority: Priority = Priority.P1) -> None:
    await append(spool, target, priority=priority)
    await close_offline(spool)


async def test_batches_are_merged_until_offered(tmp_path: Path) -> None:
    clock = HandClock()
    async with open_spool(tmp_path / "spool.db", clock, LIMIT) as spool:
        for name in "abc":
            await append_offline(spool, name)
        ((number, envelope),) = await spool.list_waiting(5)
        assert list(contents(envelope).values()) == ["a", "b", "c"]
        await spool.mark_offered([number])
        await append_offline(spool, "d")
        (first, second) = await spool.list_waiting(5)
        assert first == (number, envelope), "what may have arrived stays as it is"
        assert list(contents(second[1]).values()) == ["d"]


async def test_mark_offered_leaves_out_merged_envelopes(tmp_path: Path) -> None:
    """A mark offered leaves out merged envelopes, whose content would arrive twice."""
    clock = HandClock()
    async with open_spool(tmp_path / "spool.db", clock, LIMIT) as spool:
        await append_offline(spool, "a")
        ((offered, _),) = await spool.list_waiting(5)
        await append_offline(spool, "b")
        assert await spool.mark_offered([offered]) == set()
        ((number, envelope),) = await spool.list_waiting(5)
        assert await spool.mark_offered([offered, number]) == {number}
        assert list(contents(envelope).values()) == ["a", "b"]


async def test_export_ends_merging(tmp_path: Path) -> None:
    clock, path = HandClock(), tmp_path / "spool.db"
    async with open_spool(path, clock, LIMIT) as spool:
        await append_offline(spool, "a", Priority.P3)
        carried = [*iter_envelopes(path)]
        await append_offline(spool, "b", Priority.P3)
        assert carried[0] in [envelope for _, envelope in await spool.list_waiting(5)]
        assert len(await spool.list_waiting(5)) == 2


@pytest.mark.long
async def test_summaries_count_every_run(tmp_path: Path) -> None:
    """Summaries count every run.

    Twelve days in a small spool: the onset stays whole, changes stay, every run is counted.
    """
    clock, rng = HandClock(), random.Random(7)
    issued: Counter[tuple[str, bool]] = Counter()
    async with open_spool(tmp_path / "spool.db", clock, LIMIT) as spool:
        for minute in range(0, 12 * 1_440, 10):
            if minute % 1_440 == 300:
                await append(spool, f"change {minute}", priority=Priority.P1)
            for target in ("one", "two"):
                bad = rng.random() < 0.3
                failure = Failure.GENERIC_TIMEOUT_ERROR if bad else None
                worth = Priority.P2 if bad else Priority.P3
                result = run(clock, target, failure, rng.randbytes(250).hex())
                await spool.append(result, EPOCH, worth)
                issued[target, bad] += 1
            await close_offline(spool)
            clock.advance_us(600_000_000)
        counts = await spool.read_counts()
        batches = await deliver_all(spool)
    assert counts.bytes <= LIMIT
    assert not counts.dropped
    assert set(counts.summed) == {"p2", "p3"}
    measurements = [measurement_from_pb(m) for batch in batches for m in batch.measurements]
    assert sum(m.target.startswith("change") for m in measurements) == 12
    runs = [m for m in measurements if not m.target.startswith("change")]
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


async def test_offered_envelope_drops_its_summary(tmp_path: Path) -> None:
    clock, rng = HandClock(), random.Random(7)
    async with open_spool(tmp_path / "spool.db", clock, LIMIT) as spool:
        for _ in range(200):
            await spool.append(run(clock, "t", noise=rng.randbytes(500).hex()), EPOCH, Priority.P3)
            await close_offline(spool)
            clock.advance_us(300_000_000)
        sent = [number for number, _ in await spool.list_waiting(1_000)]
        await spool.mark_offered(sent)
        while (await spool.read_counts()).dropped.get("thinned_p3", 0) < 20:
            await spool.append(run(clock, "u", noise=rng.randbytes(900).hex()), EPOCH, Priority.P3)
        assert not (await spool.read_counts()).summed


async def test_digest_goes_first_and_is_replaced_until_sent(tmp_path: Path) -> None:
    clock = HandClock()
    async with open_spool(tmp_path / "spool.db", clock, LIMIT) as spool:
        await append_offline(spool, "change")
        long, short = measurement("digest", not_measured="x" * 2_000), measurement("digest 1")
        await spool.write_digest([long, short], EPOCH, 1_000)
        await spool.write_digest([measurement("digest 2")], EPOCH, 1_000)
        batches = await deliver_all(spool)
    measurements = [[m.target for m in batch.measurements] for batch in batches]
    assert measurements == [["digest 2"], ["change"]]


async def test_list_waiting_skips_backlog_but_not_changes(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool.db", HandClock(), LIMIT) as spool:
        for name, worth in (("old", Priority.P3), ("change", Priority.P1), ("worse", Priority.P2)):
            await append(spool, name, priority=worth)
            await spool.close_batch()
        newest, oldest_us = await spool.read_backlog()
        await append(spool, "new")
        await spool.close_batch()
        free = [contents(e) for _, e in await spool.list_waiting(9, skip_through=newest)]
        assert [[*c.values()] for c in free] == [["change"], ["new"]]
        assert oldest_us == HandClock().wall_us()


@pytest.mark.parametrize("kill", [3, 40, 77])
async def test_restart_counts_nothing_twice(tmp_path: Path, kill: int) -> None:
    """A restart counts nothing twice.

    What a process remembers is lost at its end; what it sealed is not.
    """
    clock, rng, issued = HandClock(), random.Random(kill), 0
    path = tmp_path / "spool.db"
    for life in range(6):
        async with open_spool(path, clock, LIMIT) as spool:
            for _ in range(kill + life):
                result = run(clock, "t", noise=rng.randbytes(1_500).hex())
                await spool.append(result, EPOCH, Priority.P3)
                issued += 1
                await close_offline(spool)
                clock.advance_us(900_000_000)
            await asyncio.sleep(0)
    async with open_spool(path, clock, LIMIT) as spool:
        counts = await spool.read_counts()
        measurements = [m for batch in await deliver_all(spool) for m in batch.measurements]
    arrived_runs = sum(m.summary.runs if m.HasField("summary") else 1 for m in measurements)
    assert arrived_runs + sum(counts.dropped.values()) == issued
