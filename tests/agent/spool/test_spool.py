"""The spool keeps results durable, in order and bounded until they are settled."""

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
from heliograph_agent.spool.loss_counts import QUARANTINED
from heliograph_agent.spool.operations import alternate_ends
from support.hand_clock import HandClock
from support.results import (
    EPOCH,
    PLAIN,
    ConstantSealer,
    PlainSealer,
    ReplaceableSealer,
    append,
    close_all,
    contents,
    open_spool,
)


@pytest.fixture
def sealer() -> ReplaceableSealer:
    return ReplaceableSealer(PLAIN)


@pytest.fixture
async def spool(tmp_path: Path, sealer: ReplaceableSealer) -> AsyncIterator[Spool]:
    async with open_spool(tmp_path / "spool.db", sealer=sealer) as spool:
        yield spool


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def append_batch(spool: Spool, target: str, priority: Priority = Priority.P3) -> int:
    await append(spool, target, priority=priority)
    (number,) = await close_all(spool)
    return number


async def test_what_was_refused_as_forked_is_offered_again_after_a_start(tmp_path: Path) -> None:
    """An envelope refused as forked is offered again after a start.

    A collector of an earlier version refused it; no other refused envelope is offered again.
    """
    async with open_spool(tmp_path / "spool.db") as spool:
        forked, bad = [await append_batch(spool, target) for target in ("a", "b")]
        before = dict(await spool.list_waiting(9))
        await spool.record_receipt(forked, "rejected", "forked")
        await spool.record_receipt(bad, "rejected", "bad_batch")
        assert await spool.list_waiting(9) == []
    async with open_spool(tmp_path / "spool.db") as spool:
        assert await spool.list_waiting(9) == [(forked, before[forked])]
        counts = await spool.read_counts()
        assert (counts.waiting_measurements, counts.quarantined) == (1, 1)


async def test_a_start_after_an_offer_loses_nothing(tmp_path: Path) -> None:
    """The newest number that was offered is the newest in the file, as after each clean stop."""
    async with open_spool(tmp_path / "spool.db") as spool:
        await spool.mark_offered([await append_batch(spool, "a")])
    async with open_spool(tmp_path / "spool.db") as spool:
        counts = await spool.read_counts()
        assert (counts.waiting_measurements, dict(counts.dropped)) == (1, {})


async def test_a_number_that_was_offered_is_not_given_again(tmp_path: Path) -> None:
    """The collector would take the new results under it for a duplicate, whatever file was lost."""
    async with open_spool(tmp_path / "spool.db") as spool:
        number = await append_batch(spool, "a")
        await spool.mark_offered([number])
    for lost in ("spool.db", "spool.db.floor"):
        (tmp_path / lost).unlink()
    async with open_spool(tmp_path / "spool.db") as spool:
        assert await append_batch(spool, "b") > number


async def test_append_is_visible_to_another_process(spool: Spool, tmp_path: Path) -> None:
    assert await append(spool, "a", "b", "c") == [1, 2, 3]
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as other:
        assert other.execute("SELECT sequence FROM measurement").fetchall() == [(1,), (2,), (3,)]


async def test_sequences_continue_after_restart(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with open_spool(path) as spool:
        await append(spool, "a", "b")
        (first,) = await close_all(spool)
        await spool.record_receipt(first, "stored")
    async with open_spool(path) as spool:
        assert await append(spool, "c") == [3]
        (second,) = await close_all(spool)
        assert second > first


async def test_appends_during_commit_share_next_commit(
    spool: Spool, sealer: ReplaceableSealer
) -> None:
    await append(spool, "first")
    statements: list[str] = []
    await spool._writer.execute(
        0, lambda operations: operations.db.set_trace_callback(statements.append)
    )
    busy, go_on = threading.Event(), threading.Event()

    def wait(number: int, epochs: Sequence[Epoch]) -> None:
        busy.set()
        assert go_on.wait(10)

    sealer.current = PlainSealer(wait)
    async with asyncio.TaskGroup() as group:
        group.create_task(spool.close_batch())
        assert await asyncio.to_thread(busy.wait, 10)
        appends = [group.create_task(append(spool, f"t{i}")) for i in range(100)]
        await asyncio.sleep(0)  # all of them have asked
        sealer.current = PLAIN
        go_on.set()
    assert sorted(n for append in appends for n in append.result()) == list(range(2, 102))
    assert statements.count("COMMIT") == 3, "the trace's own, the batch's, and one for all appends"


async def test_close_batch_seals_rows_with_epochs(spool: Spool, sealer: ReplaceableSealer) -> None:
    await append(spool, "a", "b")
    given_to_seal: list[tuple[int, Sequence[Epoch]]] = []

    def record(number: int, epochs: Sequence[Epoch]) -> None:
        given_to_seal.append((number, epochs))

    sealer.current = PlainSealer(record)
    number = await spool.close_batch()
    assert given_to_seal == [(number, [EPOCH])]
    ((waiting, envelope),) = await spool.list_waiting(10)
    assert waiting == number
    assert contents(envelope) == {1: "a", 2: "b"}
    assert await spool.close_batch() is None


@pytest.mark.parametrize("error", [RuntimeError("no key"), PermissionError("no key")])
async def test_failing_seal_changes_nothing(
    spool: Spool, sealer: ReplaceableSealer, error: Exception
) -> None:
    await append(spool, "a")
    before = await spool.read_counts()

    def fail(number: int, epochs: Sequence[Epoch]) -> None:
        raise error

    sealer.current = PlainSealer(fail)
    with pytest.raises(type(error), match="no key"):
        await spool.close_batch()
    assert await spool.read_counts() == before
    sealer.current = PLAIN
    assert len(await close_all(spool)) == 1


async def test_batch_is_limited_in_rows_and_bytes(spool: Spool) -> None:
    await append(spool, *(f"t{i}" for i in range(250)))
    long = [f"long{i}" for i in range(5)]
    await append(spool, *long, priority=Priority.P2, not_measured="x" * 90_000)
    await close_all(spool)
    sizes = [len(contents(envelope)) for _, envelope in sorted(await spool.list_waiting(10))]
    assert sizes == [2, 2, 1, 200, 50]


async def test_batches_do_not_mix_classes(spool: Spool) -> None:
    for index, priority in enumerate(list(Priority) * 3):
        await append(spool, f"{priority.name} {index}", priority=priority)
    await close_all(spool)
    batches = [set(contents(envelope).values()) for _, envelope in await spool.list_waiting(10)]
    classes = sorted(sorted({target[:2] for target in batch}) for batch in batches)
    assert classes == [["P0", "P1"], ["P2"], ["P3"]]


async def test_envelope_is_unchanged_until_settled(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with open_spool(path, sealer=ConstantSealer(os.urandom(500))) as spool:
        await append(spool, "a")
        number = await spool.close_batch()
        assert number is not None
        first = await spool.list_waiting(1)
    async with open_spool(path) as spool:
        await spool.record_receipt(number, "retry")
        assert await spool.list_waiting(1) == first
        await spool.record_receipt(number, "duplicate")
        assert await spool.list_waiting(1) == []
        await spool.record_receipt(number, "stored")  # a late second word on it changes nothing


async def test_rejected_envelopes_are_quarantined(spool: Spool, tmp_path: Path) -> None:
    numbers = [await append_batch(spool, f"t{index}") for index in range(QUARANTINED + 3)]
    for number in numbers[:-1]:
        await spool.record_receipt(number, "rejected", "bad_batch")
    counts = await spool.read_counts()
    assert (counts.waiting, counts.quarantined) == (1, QUARANTINED)
    assert counts.dropped == {"rejected": 2}, "those that are gone are counted"
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as other:
        kept = other.execute("SELECT sequence FROM quarantine ORDER BY sequence").fetchall()
    assert kept == [(number,) for number in numbers[2:-1]], "the newest ones are kept"


async def test_unknown_receipt_status_is_refused(spool: Spool) -> None:
    with pytest.raises(ValueError, match="allowed: duplicate, rejected, retry, stored"):
        await spool.record_receipt(1, "lost")


async def test_counts_after_close_batch(tmp_path: Path) -> None:
    clock = HandClock()
    began_us = clock.wall_us()
    async with open_spool(tmp_path / "spool.db", clock) as spool:
        empty = await spool.read_counts()
        assert (empty.open, empty.waiting, empty.oldest_us) == (0, 0, None)
        await append(spool, "a", "b")
        clock.advance_us(60_000_000)
        await spool.close_batch()
        await append(spool, "c")
        counts = await spool.read_counts()
    assert (counts.open, counts.waiting, counts.waiting_measurements) == (1, 1, 2)
    assert counts.oldest_us == began_us + 60_000_000
    assert 0 < counts.bytes < counts.limit_bytes
    assert counts.problem == ""


@pytest.mark.parametrize("years", [-10, 10])
async def test_wall_clock_jump_keeps_order(tmp_path: Path, years: int) -> None:
    clock = HandClock()
    async with open_spool(tmp_path / "spool.db", clock) as spool:
        await append(spool, "before")
        clock.wall += years * 365 * 86_400 * 1_000_000
        assert await append(spool, "after") == [2]
        await spool.close_batch()
        ((_, envelope),) = await spool.list_waiting(1)
    assert list(contents(envelope).values()) == ["before", "after"]


async def test_urgent_envelopes_first_then_both_ends(spool: Spool) -> None:
    routine = [await append_batch(spool, f"routine{index}") for index in range(6)]
    changes = [await append_batch(spool, f"change{index}", Priority.P1) for index in range(2)]
    order = [*changes, *(routine[index] for index in (5, 0, 4, 1, 3, 2))]
    assert [number for number, _ in await spool.list_waiting(20)] == order
    sent = []
    while waiting := await spool.list_waiting(1):
        sent.append(waiting[0][0])
        await spool.record_receipt(sent[-1], "stored")
    assert sent == order, "one at a time, neither end waits for the other"


@given(st.lists(st.integers(), unique=True).map(sorted), st.integers(1, 50), st.booleans())
def test_backlog_order_has_each_envelope_once(rest: list[int], limit: int, newest: bool) -> None:
    order = list(alternate_ends(rest[:limit], rest[::-1][:limit], is_newest_first=newest))
    assert len(order) == len(set(order))
    assert set(order[:limit]) <= set(rest)
    assert len(order) >= min(limit, len(rest))


async def test_list_waiting_is_limited_in_bytes(spool: Spool, sealer: ReplaceableSealer) -> None:
    sealer.current = ConstantSealer(bytes(253_952))
    for _ in range(12):
        await append(spool, "a")
        await spool.close_batch()
    assert 8 <= len(await spool.list_waiting(1_000)) < 12


async def test_too_large_measurement_is_refused(spool: Spool) -> None:
    with pytest.raises(SpoolError, match="test fewer endpoints"):
        await append(spool, "t", not_measured="x" * 250_000)


async def test_files_are_private(spool: Spool, tmp_path: Path) -> None:
    await append(spool, "a")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)}
    assert set(modes.values()) == {0o600}, modes


async def test_sealed_rows_are_erased_from_free_pages(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool.db", sealer=ConstantSealer(b"sealed")) as spool:
        await append(spool, *["secret-target"] * 50)
        while await spool.close_batch() is not None:
            pass
    for path in files(tmp_path):
        assert b"secret-target" not in path.read_bytes(), path


async def test_second_spool_reads_counts(spool: Spool, tmp_path: Path) -> None:
    await append(spool, "a")
    async with open_spool(tmp_path / "spool.db") as other:
        assert (await other.read_counts()).open == 1
    assert await append(spool, "b") == [2]


async def test_cancelled_append_blocks_no_other(spool: Spool) -> None:
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(append(spool, "gone"))
        await asyncio.sleep(0)
        gone.cancel()
    (number,) = await append(spool, "here")
    assert number in (1, 2)


async def test_append_after_close_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", PLAIN, clock=HandClock())
    await spool.close()
    await spool.close()
    with pytest.raises(SpoolError, match="closed"):
        await append(spool, "late")


async def test_unusable_directory_is_retried(tmp_path: Path) -> None:
    """An unusable directory is retried.

    The agent starts, gives the reason, and works as soon as the directory is usable.
    """
    path = tmp_path / "state" / "spool.db"
    async with open_spool(path) as spool:
        with pytest.raises(SpoolError, match=r"Cannot use .*spool\.db"):
            await append(spool, "a")
        assert "spool.db" in (await spool.read_counts()).problem
        path.parent.mkdir()
        assert await append(spool, "b") == [1]
        assert (await spool.read_counts()).problem == ""
