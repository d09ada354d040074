"""Each reason for which a collector is not ready is a sentence, and goes when it is over."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from heliograph_collector.app.readiness import MIN_FREE_BYTES, Readiness
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError

Ask = Callable[[], Awaitable[None]]


async def well() -> None:
    pass


async def hang() -> None:
    await asyncio.Event().wait()


def failing(error: Exception) -> Ask:
    async def ask() -> None:
        raise error

    return ask


FULL = failing(JournalError("The disk is full."))
AWAY = failing(StoreError("It is away."))


@pytest.mark.parametrize(
    ("write", "ask", "free", "says"),
    [
        (FULL, well, MIN_FREE_BYTES, "journal cannot be written"),
        (hang, well, MIN_FREE_BYTES, "journal took nothing for 0 s"),
        (well, AWAY, MIN_FREE_BYTES, "store does not answer: It is away"),
        (well, hang, MIN_FREE_BYTES, "store did not answer within 0 s"),
        (well, well, MIN_FREE_BYTES - 1, "has 255 MiB left, fewer than 256: free some"),
    ],
)
async def test_each_reason_is_told(
    tmp_path: Path, write: Ask, ask: Ask, free: int, says: str
) -> None:
    bad = Readiness(write, ask, tmp_path, timeout_s=0.01, read_free_bytes=lambda path: free)
    await bad.run_checks()
    (problem,) = bad.problems()
    assert says in problem


async def test_all_is_well_again(tmp_path: Path) -> None:
    left = [MIN_FREE_BYTES - 1, MIN_FREE_BYTES]
    readiness = Readiness(well, well, tmp_path, read_free_bytes=lambda path: left.pop(0))
    await readiness.run_checks()
    assert readiness.problems()
    await readiness.run_checks()
    assert readiness.problems() == []
