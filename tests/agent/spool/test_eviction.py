"""A full spool evicts by lowest priority, from the middle of time, and counts it."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.failure import Failure
from heliograph.observation import Measurement
from heliograph_agent.spool import Priority, PriorityClassifier, Spool, SpoolFullError
from heliograph_agent.spool.eviction import choose_evicted
from support.examples import only_in_soak
from support.results import append, deliver_all, measurement, open_spool
from support.steps import make_step

LIMIT = 1_048_576
LONG = "x" * 1_500  # so that a test needs few results to fill the spool


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with open_spool(tmp_path / "spool.db", limit_bytes=LIMIT) as spool:
        yield spool


async def add(spool: Spool, target: str, priority: Priority) -> int:
    (sequence,) = await append(spool, target, priority=priority, not_measured=LONG)
    return sequence


async def fill(spool: Spool, taken: list[int]) -> None:
    while True:
        taken.append(await add(spool, "change", Priority.P1))


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".lock")


async def read_remaining(spool: Spool) -> dict[int, str]:
    """Number → target of everything still there, in order."""
    batches = await deliver_all(spool)
    return dict(sorted((m.sequence, m.target) for batch in batches for m in batch.measurements))


@pytest.mark.long
@pytest.mark.parametrize("every", [1, pytest.param(5, marks=only_in_soak), 10_000])
async def test_eviction_thins_routine_in_the_middle(
    spool: Spool, tmp_path: Path, every: int
) -> None:
    """Eviction thins routine results in the middle of dark days.

    There are far more results than fit, closed into envelopes often, seldom or never.
    """
    changes = {10: "onset", 800: "speech", 1_450: "dark again"}
    numbers = {}
    for index in range(1_500):
        worth = Priority.P1 if index in changes else Priority.P3
        number = await add(spool, changes.get(index, f"routine {index}"), worth)
        numbers[number] = index
        if index % every == every - 1:
            await spool.close_batch()
    counts = await spool.read_counts()
    assert counts.bytes <= LIMIT
    assert on_disk(tmp_path) <= LIMIT + 65_536
    remaining = await read_remaining(spool)
    assert set(changes.values()) <= set(remaining.values())
    indices = [numbers[number] for number in remaining]
    assert indices[0] == 0, "how it began is known"
    assert indices[-1] == 1_499, "how it is now is known"
    assert len(remaining) + sum(counts.dropped.values()) == 1_500, "what is missing is counted"
    assert set(counts.dropped) == {"thinned_p3"}
    assert len(remaining) > 150
    gaps = [after - before for before, after in itertools.pairwise(indices)]
    assert max(gaps) < 150, "thinned, not cut out"


async def test_full_spool_refuses_and_keeps_changes(spool: Spool) -> None:
    taken: list[int] = []
    with pytest.raises(SpoolFullError, match="free some space"):
        await fill(spool, taken)
    counts = await spool.read_counts()
    assert counts.open == len(taken) > 200
    assert counts.dropped == {"refused": 1}
    assert list(await read_remaining(spool)) == taken, "nothing that was taken is lost"
    assert await add(spool, "there is room again", Priority.P1) > taken[-1]


@pytest.mark.long
async def test_reserve_takes_change_after_anomalies(spool: Spool) -> None:
    """Anomalies cannot fill the spool so far that a change finds no room."""
    for _ in range(2):
        await add(spool, "change", Priority.P1)
    for index in range(1_000):
        await add(spool, f"anomaly {index}", Priority.P2)
    before = await spool.read_counts()
    await add(spool, "change", Priority.P1)
    assert (await spool.read_counts()).dropped == before.dropped, "there was room without dropping"
    assert set(before.dropped) == {"thinned_p2"}


async def test_routine_never_evicts_anomalies(spool: Spool) -> None:
    anomalies = 0
    while (await spool.read_counts()).bytes < LIMIT * 3 // 4:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(add(spool, "anomaly", Priority.P2))
        anomalies += 20
    for index in range(500):
        with contextlib.suppress(SpoolFullError):
            await add(spool, f"routine {index}", Priority.P3)
    assert list((await read_remaining(spool)).values()).count("anomaly") == anomalies


async def test_anomalies_evict_routine_first(spool: Spool) -> None:
    for index in range(400):
        await add(spool, f"routine {index}", Priority.P3)
    for index in range(150):
        await add(spool, f"anomaly {index}", Priority.P2)
    assert set((await spool.read_counts()).dropped) == {"thinned_p3"}


@given(st.sets(st.integers(0, 5_000), max_size=600), st.integers(0, 400))
def test_choose_evicted_keeps_ends_and_neighbors(numbers_set: set[int], want: int) -> None:
    numbers = sorted(numbers_set)
    dropped = choose_evicted(numbers, want)
    edge = max(1, len(numbers) // 8)
    assert len(dropped) <= want
    assert not set(dropped) & set(numbers[:edge] + numbers[-edge:])
    places = [numbers.index(number) for number in dropped]
    assert all(after - before >= 2 for before, after in itertools.pairwise(places))
    if want and len(numbers) >= 3:
        assert dropped, "something can always go, until two are left"


def test_repeated_eviction_leaves_even_gaps() -> None:
    """A thousand dark hours in a room for a hundred."""
    remaining: list[int] = []
    for hour in range(1_000):
        remaining.append(hour)
        if len(remaining) > 100:
            remaining = sorted(set(remaining) - set(choose_evicted(remaining, 2)))
    gaps = [after - before for before, after in itertools.pairwise(remaining)]
    assert (remaining[0], remaining[-1]) == (0, 999)
    assert max(gaps) < 4 * 1_000 // len(remaining)


def result(failure: Failure | None = None, target: str = "t") -> Measurement:
    return replace(measurement(target), observations=(make_step(failure=failure, endpoint="e"),))


RESET, TIMEOUT = Failure.CONNECTION_RESET, Failure.GENERIC_TIMEOUT_ERROR
CUT = Failure.INTERRUPTED


@pytest.mark.parametrize(
    ("results", "last"),
    [
        pytest.param([result()], Priority.P1, id="first outcome"),
        pytest.param([result(), result()], Priority.P3, id="repeat"),
        pytest.param([result(), result(RESET)], Priority.P1, id="failure begins"),
        pytest.param([result(RESET), result(RESET)], Priority.P2, id="failure repeats"),
        pytest.param([result(RESET), result()], Priority.P1, id="failure ends"),
        pytest.param([result(RESET), result(TIMEOUT)], Priority.P1, id="another failure"),
        pytest.param([result(), result(CUT)], Priority.P3, id="interrupted"),
        pytest.param([result(), result(CUT), result()], Priority.P3, id="after an interruption"),
        pytest.param([measurement(not_measured="no option")], Priority.P3, id="not measured"),
    ],
)
def test_classify_tells_changes_from_repeats(results: list[Measurement], last: Priority) -> None:
    classifier = PriorityClassifier()
    assert [classifier.classify(m, Priority.P3) for m in results][-1] is last


def test_light_checks_change_with_their_failures_not_with_their_endpoints() -> None:
    classifier = PriorityClassifier()
    checks = [("a", None), ("b", None), ("c", RESET), ("a", RESET), ("b", None)]
    priorities = []
    for endpoint, failure in checks:
        whole = result(failure)
        steps = tuple(replace(x, endpoint=endpoint) for x in whole.observations)
        light = replace(whole, observations=steps, is_light=True)
        priorities.append(classifier.classify(light, Priority.P3))
    p1, p2, p3 = Priority.P1, Priority.P2, Priority.P3
    assert priorities == [p1, p3, p1, p2, p1]
    assert classifier.classify(result(), p3) is p1, "the whole test is another test"


def test_classify_keeps_liveness() -> None:
    classifier = PriorityClassifier()
    assert {classifier.classify(result(), Priority.P0) for _ in range(3)} == {Priority.P0}


def test_classifier_memory_is_bounded() -> None:
    classifier = PriorityClassifier()
    for index in range(2_000):
        classifier.classify(result(target=f"t{index}"), Priority.P3)
    assert classifier.classify(result(target="t1999"), Priority.P3) is Priority.P3
    assert classifier.classify(result(target="t0"), Priority.P3) is Priority.P1
