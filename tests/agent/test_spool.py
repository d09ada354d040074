"""The agent's queue: what it took is durable, in order, bounded, and sent until it is settled."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.observation import Epoch
from heliograph_agent.spool import Priority, Spool, SpoolError
from heliograph_agent.spool.operations import QUARANTINED, catch_up
from support.hand_clock import HandClock
from support.results import EPOCH, contents, measurement, plain_seal


@contextlib.asynccontextmanager
async def opened(path: Path, *, limit: int = 67_108_864) -> AsyncIterator[Spool]:
    spool = Spool(path, limit_bytes=limit, clock=HandClock())
    try:
        yield spool
    finally:
        await spool.close()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with opened(tmp_path / "spool.db") as spool:
        yield spool


async def add(spool: Spool, *targets: str, priority: Priority = Priority.P3) -> list[int]:
    return [await spool.append(measurement(target), EPOCH, priority) for target in targets]


async def close_all(spool: Spool) -> list[int]:
    numbers = []
    while (number := await spool.close_batch(plain_seal)) is not None:
        numbers.append(number)
    return numbers


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_numbers_run_on_and_another_process_could_read_them_at_once(
    spool: Spool, tmp_path: Path
) -> None:
    assert await add(spool, "a", "b", "c") == [1, 2, 3]
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as other:
        assert other.execute("SELECT sequence FROM measurement").fetchall() == [(1,), (2,), (3,)]


async def test_numbers_are_never_given_again(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with opened(path) as spool:
        await add(spool, "a", "b")
        assert await close_all(spool) == [1]
        await spool.settle(1, "stored")
    async with opened(path) as spool:
        assert await add(spool, "c") == [3]
        assert await close_all(spool) == [2]


async def test_appends_that_arrive_during_a_commit_share_the_next(spool: Spool) -> None:
    await add(spool, "first")
    statements: list[str] = []
    await spool._writer.do(lambda book: book.db.set_trace_callback(statements.append))
    busy, go_on = threading.Event(), threading.Event()

    def slow_seal(number: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        busy.set()
        assert go_on.wait(10)
        return plain_seal(number, measurements, epochs)

    async with asyncio.TaskGroup() as group:
        group.create_task(spool.close_batch(slow_seal))
        assert await asyncio.to_thread(busy.wait, 10)
        appends = [group.create_task(add(spool, f"t{i}")) for i in range(100)]
        await asyncio.sleep(0)  # all of them have asked
        go_on.set()
    assert sorted(n for append in appends for n in append.result()) == list(range(2, 102))
    assert statements.count("COMMIT") == 3, "the trace's own, the batch's, and one for all appends"


async def test_a_batch_is_closed_with_its_numbers_and_its_epochs(spool: Spool) -> None:
    await add(spool, "a", "b")
    given_to_seal: list[tuple[int, Sequence[Epoch]]] = []

    def seal(number: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        given_to_seal.append((number, epochs))
        return plain_seal(number, measurements, epochs)

    assert await spool.close_batch(seal) == 1
    assert given_to_seal == [(1, [EPOCH])]
    ((number, envelope),) = await spool.waiting(10)
    assert number == 1
    assert contents(envelope) == {1: "a", 2: "b"}
    assert await spool.close_batch(seal) is None


@pytest.mark.parametrize("error", [RuntimeError("no key"), PermissionError("no key")])
async def test_a_seal_that_fails_changes_nothing(spool: Spool, error: Exception) -> None:
    await add(spool, "a")
    before = await spool.counts()

    def broken(number: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]) -> bytes:
        raise error

    with pytest.raises(type(error), match="no key"):
        await spool.close_batch(broken)
    assert await spool.counts() == before
    assert await close_all(spool) == [1]


async def test_a_batch_holds_two_hundred_results_or_two_hundred_kilobytes(spool: Spool) -> None:
    await add(spool, *(f"t{i}" for i in range(250)))
    for i in range(5):
        await spool.append(measurement(f"long{i}", not_measured="x" * 90_000), EPOCH, Priority.P2)
    await close_all(spool)
    sizes = [len(contents(envelope)) for _, envelope in sorted(await spool.waiting(10))]
    assert sizes == [2, 2, 1, 200, 50]


async def test_what_must_stay_and_what_may_go_are_never_in_one_envelope(spool: Spool) -> None:
    for index, priority in enumerate(list(Priority) * 3):
        await add(spool, f"{priority.name} {index}", priority=priority)
    await close_all(spool)
    batches = [set(contents(envelope).values()) for _, envelope in await spool.waiting(10)]
    classes = sorted(sorted({target[:2] for target in batch}) for batch in batches)
    assert classes == [["P0", "P1"], ["P2"], ["P3"]]


async def test_an_envelope_is_the_same_bytes_until_it_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with opened(path) as spool:
        await add(spool, "a")
        await spool.close_batch(lambda *_: os.urandom(500))
        first = await spool.waiting(1)
    async with opened(path) as spool:
        await spool.settle(1, "retry")
        assert await spool.waiting(1) == first
        await spool.settle(1, "duplicate")
        assert await spool.waiting(1) == []
        await spool.settle(1, "stored")  # a late second word on it changes nothing


async def test_a_refused_envelope_stands_aside_and_lets_others_pass(spool: Spool) -> None:
    for index in range(QUARANTINED + 3):
        await add(spool, f"t{index}")
        await spool.close_batch(plain_seal)
    for number in range(1, QUARANTINED + 3):
        await spool.settle(number, "rejected", "bad_batch")
    counts = await spool.counts()
    assert (counts.waiting, counts.quarantined) == (1, QUARANTINED)
    assert counts.dropped == {"rejected": 2}, "the oldest refused ones are gone, and counted"


async def test_an_unknown_word_settles_nothing(spool: Spool) -> None:
    with pytest.raises(ValueError, match="allowed: duplicate, rejected, retry, stored"):
        await spool.settle(1, "lost")


async def test_counts_tell_what_is_held_and_since_when(tmp_path: Path) -> None:
    clock = HandClock()
    spool = Spool(tmp_path / "spool.db", clock=clock)
    empty = await spool.counts()
    assert (empty.open, empty.waiting, empty.oldest_us) == (0, 0, None)
    began_us = clock.wall_us()
    await add(spool, "a", "b")
    clock.advance_us(60_000_000)
    await spool.close_batch(plain_seal)
    await add(spool, "c")
    counts = await spool.counts()
    await spool.close()
    assert (counts.open, counts.waiting, counts.waiting_measurements) == (1, 1, 2)
    assert counts.oldest_us == began_us + 60_000_000
    assert 0 < counts.bytes < counts.limit_bytes
    assert counts.problem == ""


@pytest.mark.parametrize("years", [-10, 10])
async def test_a_wall_clock_that_jumps_changes_no_order(tmp_path: Path, years: int) -> None:
    clock = HandClock()
    spool = Spool(tmp_path / "spool.db", clock=clock)
    await add(spool, "before")
    clock.wall += years * 365 * 86_400 * 1_000_000
    assert await add(spool, "after") == [2]
    await spool.close_batch(plain_seal)
    ((_, envelope),) = await spool.waiting(1)
    await spool.close()
    assert list(contents(envelope).values()) == ["before", "after"]


async def test_urgent_envelopes_go_first_then_both_ends_in_turn(spool: Spool) -> None:
    for index in range(6):
        await add(spool, f"routine{index}")
        await spool.close_batch(plain_seal)  # 1 … 6
    for index in range(2):
        await add(spool, f"change{index}", priority=Priority.P1)
        await spool.close_batch(plain_seal)  # 7, 8
    assert [number for number, _ in await spool.waiting(20)] == [7, 8, 6, 1, 5, 2, 4, 3]
    sent = []
    while waiting := await spool.waiting(1):
        sent.append(waiting[0][0])
        await spool.settle(sent[-1], "stored")
    assert sent == [7, 8, 6, 1, 5, 2, 4, 3], "one at a time, neither end waits for the other"


@given(st.lists(st.integers(), unique=True).map(sorted), st.integers(1, 50), st.booleans())
def test_catching_up_names_each_envelope_once(rest: list[int], limit: int, newest: bool) -> None:
    order = list(catch_up([], rest[:limit], rest[::-1][:limit], newest_first=newest))
    assert len(order) == len(set(order))
    assert set(order[:limit]) <= set(rest)
    assert len(order) >= min(limit, len(rest))


async def test_a_long_backlog_stays_on_the_disk(spool: Spool) -> None:
    for _ in range(12):
        await add(spool, "a")
        await spool.close_batch(lambda *_: bytes(253_952))
    assert 8 <= len(await spool.waiting(1_000)) < 12


async def test_a_measurement_that_fits_no_envelope_is_refused_with_the_cure(spool: Spool) -> None:
    with pytest.raises(SpoolError, match="test fewer endpoints"):
        await spool.append(measurement(not_measured="x" * 250_000), EPOCH, Priority.P1)


async def test_the_owner_alone_may_read_it(spool: Spool, tmp_path: Path) -> None:
    await add(spool, "a")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)}
    assert set(modes.values()) == {0o600}, modes


async def test_what_was_sealed_cannot_be_read_from_the_free_pages(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool.db") as spool:
        await add(spool, *["secret-target"] * 50)
        while await spool.close_batch(lambda *_: b"sealed") is not None:
            pass
    for path in files(tmp_path):
        assert b"secret-target" not in path.read_bytes(), path


async def test_status_may_look_while_the_agent_works(spool: Spool, tmp_path: Path) -> None:
    await add(spool, "a")
    async with opened(tmp_path / "spool.db") as other:
        assert (await other.counts()).open == 1
    assert await add(spool, "b") == [2]


async def test_a_caller_that_went_away_stops_nobody(spool: Spool) -> None:
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(add(spool, "gone"))
        await asyncio.sleep(0)
        gone.cancel()
    (number,) = await add(spool, "here")
    assert number in (1, 2)


async def test_a_closed_spool_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", clock=HandClock())
    await spool.close()
    await spool.close()
    with pytest.raises(SpoolError, match="closed"):
        await add(spool, "late")


async def test_a_place_that_cannot_be_used_stops_no_agent(tmp_path: Path) -> None:
    """Started all the same; it says why, and works as soon as the place can be used."""
    path = tmp_path / "state" / "spool.db"
    async with opened(path) as spool:
        with pytest.raises(SpoolError, match=r"Cannot use .*spool\.db"):
            await add(spool, "a")
        assert "spool.db" in (await spool.counts()).problem
        path.parent.mkdir()
        assert await add(spool, "b") == [1]
        assert (await spool.counts()).problem == ""
