"""When room is short: what is worth least goes, from the middle of the story, and is counted."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure, Operation
from heliograph.observation import Measurement, Observation
from heliograph_agent.spool import Priority, Spool, SpoolFull, Triage
from heliograph_agent.spool.eviction import victims
from support.hand_clock import HandClock
from support.results import EPOCH, contents, measurement, plain_seal

LIMIT = 1_048_576
LONG = "x" * 1_500  # so that a test needs few results to fill the spool


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Spool]:
    spool = Spool(path, limit_bytes=LIMIT, clock=HandClock())
    try:
        yield spool
    finally:
        await spool.close()


async def add(spool: Spool, target: str, priority: Priority) -> int:
    return await spool.append(measurement(target, not_measured=LONG), EPOCH, priority)


async def fill(spool: Spool, taken: list[int]) -> None:
    while True:
        taken.append(await add(spool, "change", Priority.P1))


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".lock")


async def held(spool: Spool) -> dict[int, str]:
    """Number → target of everything still there, in order."""
    while await spool.close_batch(plain_seal) is not None:
        pass
    found: dict[int, str] = {}
    while waiting := await spool.waiting(100):
        for number, envelope in waiting:
            found |= contents(envelope)
            await spool.settle(number, "stored")
    return dict(sorted(found.items()))


@pytest.mark.parametrize("every", [1, 5, 10_000])
async def test_routine_is_thinned_in_the_middle_and_changes_are_kept(
    tmp_path: Path, every: int
) -> None:
    """Dark days: far more results than fit, closed into envelopes often, seldom or never."""
    changes = {10: "onset", 800: "speech", 1_450: "dark again"}
    async with opened(tmp_path / "spool.db") as spool:
        numbers = {}
        for index in range(1_500):
            worth = Priority.P1 if index in changes else Priority.P3
            number = await add(spool, changes.get(index, f"routine {index}"), worth)
            numbers[number] = index
            if index % every == every - 1:
                await spool.close_batch(plain_seal)
        counts = await spool.counts()
        assert counts.bytes <= LIMIT
        assert on_disk(tmp_path) <= LIMIT + 65_536
        kept = await held(spool)
    assert set(changes.values()) <= set(kept.values())
    indices = [numbers[number] for number in kept]
    assert indices[0] == 0, "how it began is known"
    assert indices[-1] == 1_499, "how it is now is known"
    assert len(kept) + sum(counts.dropped.values()) == 1_500, "what is missing is counted"
    assert set(counts.dropped) == {"thinned_p3"}
    assert len(kept) > 150
    gaps = [after - before for before, after in itertools.pairwise(indices)]
    assert max(gaps) < 150, "thinned, not cut out"


async def test_changes_are_never_dropped_and_a_full_spool_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool.db") as spool:
        taken: list[int] = []
        with pytest.raises(SpoolFull, match="free some space"):
            await fill(spool, taken)
        counts = await spool.counts()
        assert counts.open == len(taken) > 300
        assert counts.dropped == {"refused": 1}
        assert list(await held(spool)) == taken, "nothing that was taken is lost"
        assert await add(spool, "there is room again", Priority.P1) > taken[-1]


async def test_the_last_room_is_kept_for_what_matters(tmp_path: Path) -> None:
    """Anomalies cannot fill the spool so far that a change finds no room."""
    async with opened(tmp_path / "spool.db") as spool:
        for _ in range(2):
            await add(spool, "change", Priority.P1)
        for index in range(1_000):
            await add(spool, f"anomaly {index}", Priority.P2)
        before = await spool.counts()
        await add(spool, "change", Priority.P1)
        assert (await spool.counts()).dropped == before.dropped, "there was room without dropping"
        assert set(before.dropped) == {"thinned_p2"}


async def test_routine_does_not_push_out_anomalies(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool.db") as spool:
        anomalies = 0
        while (await spool.counts()).bytes < LIMIT * 3 // 4:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(add(spool, "anomaly", Priority.P2))
            anomalies += 20
        for index in range(500):
            with contextlib.suppress(SpoolFull):
                await add(spool, f"routine {index}", Priority.P3)
        assert list((await held(spool)).values()).count("anomaly") == anomalies


async def test_anomalies_push_out_routine_first(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool.db") as spool:
        for index in range(400):
            await add(spool, f"routine {index}", Priority.P3)
        for index in range(150):
            await add(spool, f"anomaly {index}", Priority.P2)
        assert set((await spool.counts()).dropped) == {"thinned_p3"}


@given(st.sets(st.integers(0, 5_000), max_size=600), st.integers(0, 400))
def test_the_ends_of_the_story_stay_and_no_two_neighbours_go(story: set[int], want: int) -> None:
    numbers = sorted(story)
    dropped = victims(numbers, want)
    edge = max(1, len(numbers) // 8)
    assert len(dropped) <= want
    assert not set(dropped) & set(numbers[:edge] + numbers[-edge:])
    places = [numbers.index(number) for number in dropped]
    assert all(after - before >= 2 for before, after in itertools.pairwise(places))
    if want and len(numbers) >= 3:
        assert dropped, "something can always go, until two are left"


def test_what_is_left_lies_evenly_over_the_time() -> None:
    """A thousand dark hours in a room for a hundred."""
    kept: list[int] = []
    for hour in range(1_000):
        kept.append(hour)
        if len(kept) > 100:
            kept = sorted(set(kept) - set(victims(kept, 2)))
    gaps = [after - before for before, after in itertools.pairwise(kept)]
    assert (kept[0], kept[-1]) == (0, 999)
    assert max(gaps) < 4 * 1_000 // len(kept)


def seen(failure: Failure | None = None, target: str = "t") -> Measurement:
    step = Observation(
        operation=Operation.CONNECT, started_us=0, duration_us=1, failure=failure, endpoint="e"
    )
    plain = measurement(target)
    return Measurement(
        experiment=plain.experiment,
        experiment_version=1,
        target=target,
        started_us=plain.started_us,
        monotonic_us=0,
        boot="boot",
        runtime_us=1,
        epoch=EPOCH.id,
        observations=(step,),
    )


@pytest.mark.parametrize(
    ("story", "last"),
    [
        pytest.param([seen()], Priority.P1, id="a first sight is news"),
        pytest.param([seen(), seen()], Priority.P3, id="the same again is routine"),
        pytest.param(
            [seen(), seen(Failure.CONNECTION_RESET)], Priority.P1, id="a failure that begins"
        ),
        pytest.param(
            [seen(Failure.CONNECTION_RESET), seen(Failure.CONNECTION_RESET)],
            Priority.P2,
            id="a failure that goes on",
        ),
        pytest.param([seen(Failure.CONNECTION_RESET), seen()], Priority.P1, id="one that ends"),
        pytest.param(
            [seen(Failure.CONNECTION_RESET), seen(Failure.GENERIC_TIMEOUT_ERROR)],
            Priority.P1,
            id="another failure than before",
        ),
        pytest.param(
            [seen(), seen(Failure.INTERRUPTED)], Priority.P3, id="interrupted work says nothing"
        ),
        pytest.param(
            [seen(), seen(Failure.INTERRUPTED), seen()], Priority.P3, id="nor does it make news"
        ),
        pytest.param(
            [measurement(not_measured="no such option")], Priority.P3, id="what did not run"
        ),
    ],
)
def test_news_is_told_from_repeats(story: list[Measurement], last: Priority) -> None:
    triage = Triage()
    assert [triage.priority(m, Priority.P3) for m in story][-1] is last


def test_liveness_stays_liveness() -> None:
    triage = Triage()
    assert {triage.priority(seen(), Priority.P0) for _ in range(3)} == {Priority.P0}


def test_triage_remembers_only_so_much() -> None:
    triage = Triage()
    for index in range(2_000):
        triage.priority(seen(target=f"t{index}"), Priority.P3)
    assert triage.priority(seen(target="t1999"), Priority.P3) is Priority.P3
    assert triage.priority(seen(target="t0"), Priority.P3) is Priority.P1
