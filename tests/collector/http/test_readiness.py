"""Each reason for not being ready is a sentence, and goes when it is over."""

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from heliograph_collector.http import readiness as readiness_module
from heliograph_collector.http.readiness import MIN_FREE_BYTES, Readiness
from heliograph_collector.store.clickhouse import StoreError
from heliograph_collector.store.journal.journal import JournalError
from support.hand_clock import HandClock
from support.waiting import until_true

HANG = TimeoutError()
FULL = JournalError("The disk is full.")
AWAY = StoreError("It is away.")


class Part:
    """A journal or a store that fails with a given error."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def mark_alive(self, now_us: int) -> None:
        await self.health()

    async def health(self) -> None:
        if self.error is HANG:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


def build_readiness(
    data: Path, journal: Exception | None = None, store: Exception | None = None
) -> Readiness:
    return Readiness(Part(journal), Part(store), data, HandClock(), timeout_s=0.01)


def set_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


@pytest.mark.parametrize(
    ("journal", "store", "free", "says"),
    [
        (FULL, None, MIN_FREE_BYTES, "journal cannot be written"),
        (HANG, None, MIN_FREE_BYTES, "journal took nothing for 0 s"),
        (None, AWAY, MIN_FREE_BYTES, "store does not answer: It is away"),
        (None, HANG, MIN_FREE_BYTES, "store did not answer within 0 s"),
        (None, None, MIN_FREE_BYTES - 1, "has 255 MiB left, fewer than 256: free some"),
    ],
)
async def test_each_reason_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    journal: Exception | None,
    store: Exception | None,
    free: int,
    says: str,
) -> None:
    readiness = build_readiness(tmp_path, journal, store)
    set_free(monkeypatch, free)
    await readiness.run_checks()
    (problem,) = readiness.problems()
    assert says in problem
    if free < MIN_FREE_BYTES:
        set_free(monkeypatch, MIN_FREE_BYTES)
        await readiness.run_checks()
        assert readiness.problems() == []


async def test_end_of_a_problem_is_seen_before_the_next_regular_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would leave a collector alone that works again."""
    monkeypatch.setattr(readiness_module, "CHECK_INTERVAL_S", 3_600.0)
    monkeypatch.setattr(readiness_module, "PROBLEM_INTERVAL_S", 0.001)
    journal = Part(FULL)
    readiness = Readiness(journal, Part(None), tmp_path, HandClock())
    set_free(monkeypatch, MIN_FREE_BYTES)
    async with asyncio.TaskGroup() as group:
        checking = group.create_task(readiness.run())
        await until_true(lambda: bool(readiness.problems()))
        journal.error = None
        await until_true(lambda: not readiness.problems(), 5.0)
        checking.cancel()
