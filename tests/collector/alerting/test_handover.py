"""The next leader sends what the one before could not, and nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph_collector.alerting.handover import DeliveryHandover, ReplacedError
from heliograph_collector.alerting.incident_alerts import collect_alerts
from heliograph_collector.alerting.service import find_position
from heliograph_collector.incidents.state import IncidentBook
from support.dispatcher_office import DESK, Office
from support.fake_feed import published
from support.incident_book import book, closed, silence

EVENING = book(closed(silence("a" * 16), 5), closed(silence("b" * 16), 4))


class Servers:
    """One value of the servers."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.revision = 0


class Value:
    """The value as one process has it."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._revision = 0

    async def read(self) -> bytes | None:
        self._revision = self._servers.revision
        return self._servers.content

    async def write(self, content: bytes) -> None:
        if self._revision != self._servers.revision:
            raise ReplacedError("Another collector leads.")
        self._servers.revision += 1
        self._revision = self._servers.revision
        self._servers.content = content


class Leader:
    """A leading collector with its outbox."""

    def __init__(self, data: Path, servers: Servers) -> None:
        data.mkdir(exist_ok=True)
        self.office = Office(data)
        self.value = Value(servers)
        self._handover = DeliveryHandover(self.value, self.office.outbox)

    async def begin(self, log: IncidentBook = EVENING) -> None:
        now_us = self.office.clock.wall_us()
        await self._handover.take_over(log, published({}), [DESK], now_us)

    async def tell(self) -> None:
        await self._handover.tell(self.office.dispatcher)

    async def take(self, number: int) -> None:
        """Read an entry of the log, and queue its alert."""
        entry = EVENING.entries[number - 1]
        alerts = collect_alerts(EVENING, [entry], published({}))
        await self.office.dispatcher.queue_alerts(alerts, entry.number, entry.hash)


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def leaders(tmp_path: Path, servers: Servers) -> Iterator[tuple[Leader, Leader]]:
    pair = Leader(tmp_path / "a", servers), Leader(tmp_path / "b", servers)
    yield pair
    for leader in pair:
        leader.office.outbox.close()


def list_called() -> list[int]:
    """Return the log entries that the receiver gets."""
    alerts = collect_alerts(EVENING, EVENING.entries, published({}))
    return [alert["entry"] for alert in alerts if DESK.accepts(alert)]


async def test_next_leader_sends_what_had_not_arrived_and_that_alone(
    leaders: tuple[Leader, Leader],
) -> None:
    first, second = leaders
    arrives, *lost = list_called()
    await first.begin()
    await first.take(arrives)
    await first.office.works()
    first.office.post.down = True
    for number in lost:
        await first.take(number)
    await first.office.works(60)
    await first.tell()
    await second.take(arrives)  # of the time when it led itself, long ago
    await second.begin()
    await second.office.works(60)
    sent = [a["entry"] for d in second.office.outbox.list_deliveries() for a in d.alerts]
    assert sorted(sent) == lost
    assert second.office.post.sent
    position = second.office.outbox.read_position()
    assert position == (lost[-1], EVENING.entries[lost[-1] - 1].hash)


async def test_leader_that_starts_again_keeps_its_messages_and_their_ids(
    leaders: tuple[Leader, Leader],
) -> None:
    first, _ = leaders
    await first.begin()
    await first.take(list_called()[0])
    first.office.post.down = True
    await first.office.works()
    await first.tell()
    before = first.office.outbox.list_deliveries()
    await first.begin()
    assert first.office.outbox.list_deliveries() == before
    assert before[0].state == "waiting"


async def test_leader_that_was_replaced_tells_nothing_any_more(
    leaders: tuple[Leader, Leader], servers: Servers
) -> None:
    first, second = leaders
    await first.begin()
    await first.take(list_called()[0])
    await first.tell()
    await second.begin()
    await second.tell()
    told = servers.content
    await first.take(list_called()[1])
    with pytest.raises(ReplacedError):
        await first.tell()
    assert servers.content == told


async def test_alerts_of_another_log_are_not_sent(leaders: tuple[Leader, Leader]) -> None:
    first, second = leaders
    await first.begin()
    first.office.post.down = True
    await first.take(list_called()[0])
    await first.tell()
    await second.begin(book(silence("c" * 16)))
    await second.office.works(60)
    assert second.office.post.sent == []


async def test_leader_that_has_read_nothing_lets_nobody_send_the_alerts_of_years(
    leaders: tuple[Leader, Leader], servers: Servers
) -> None:
    first, second = leaders
    await first.begin()
    await first.tell()
    await second.begin()
    last = len(EVENING.entries)
    assert find_position(second.office.outbox, EVENING, 1) == last


async def test_entries_that_call_nobody_are_told_as_read(leaders: tuple[Leader, Leader]) -> None:
    first, second = leaders
    await first.begin()
    assert find_position(first.office.outbox, EVENING, 1) == len(EVENING.entries)
    await first.tell()
    await second.begin()
    assert second.office.outbox.read_position() == first.office.outbox.read_position()
    first.office.outbox.queue_alerts((), 1, EVENING.entries[0].hash, 2)
    await first.tell()
    await second.begin()
    assert second.office.outbox.read_position() == (1, EVENING.entries[0].hash)
