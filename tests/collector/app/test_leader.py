"""A leader survives servers that store nothing, and ends when another leads."""

from collections.abc import Iterator
from typing import Any

import pytest

from heliograph_collector.app import leader
from heliograph_collector.store.journal.journal import FencedError, JournalBusyError


class ChangedFleet:
    """A fleet with a change to publish, and what the servers answer each time."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers: Iterator[Exception | None] = iter(answers)

    async def publish(self) -> None:
        answer = next(self._answers)
        if answer is not None:
            raise answer


async def test_change_of_the_fleet_waits_for_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "POLL_S", 0.0)
    busy = JournalBusyError("They have no quorum.")
    fleet: Any = ChangedFleet(busy, None, busy, FencedError("Another collector leads."))
    with pytest.raises(FencedError):
        await leader._publish_fleet(fleet)
