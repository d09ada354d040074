"""Each reason for which a collector is not ready is a sentence, and goes when it is over."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from heliograph_collector.app.readiness import LEAST_FREE, Readiness
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


@pytest.mark.parametrize(
    ("write", "ask", "free", "says"),
    [
        (failing(JournalError("The disk is full.")), well, LEAST_FREE, "journal cannot be written"),
        (hang, well, LEAST_FREE, "journal took nothing for 0 s"),
        (well, failing(StoreError("It is away.")), LEAST_FREE, "store does not answer: It is away"),
        (well, hang, LEAST_FREE, "store did not answer within 0 s"),
        (well, well, LEAST_FREE - 1, "has 255 MiB left, fewer than 256: free some"),
    ],
)
async def test_each_reason_is_told(
    tmp_path: Path, write: Ask, ask: Ask, free: int, says: str
) -> None:
    bad = Readiness(write, ask, tmp_path, patience_s=0.01, free=lambda path: free)
    await bad.look()
    (problem,) = bad.problems()
    assert says in problem


async def test_all_is_well_again(tmp_path: Path) -> None:
    left = [LEAST_FREE - 1, LEAST_FREE]
    readiness = Readiness(well, well, tmp_path, free=lambda path: left.pop(0))
    await readiness.look()
    assert readiness.problems()
    await readiness.look()
    assert readiness.problems() == []
