"""Several processes share a journal of a real nats-server: hosts and leaders."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream import host_journal, host_register
from heliograph_collector.store.journal.jetstream.bus import SharedLog, SharedTable
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.host_journal import open_host_journal
from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal, open_jetstream
from heliograph_collector.store.journal.jetstream.sequence_ranges import SequenceRanges
from heliograph_collector.store.journal.jetstream.streams import open_state
from heliograph_collector.store.journal.journal import FencedError, JournalError
from heliograph_collector.store.journal.opening import open_beside_hosts, open_leading
from support.journal_rows import bare_envelope
from support.waiting import until, until_true

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
ANNA = b"A" * 16


def envelope(sequence: int) -> JournalRow:
    return bare_envelope(ANNA, sequence, received_us=1_000)


@asynccontextmanager
async def connected(settings: JournalSettings) -> AsyncIterator[NatsConnection]:
    connection = NatsConnection(settings)
    await connection.open()
    yield connection
    await connection.close()


async def test_envelope_is_stored_once_whichever_host_brings_it(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with (
        open_jetstream(settings, tmp_path) as leader,
        open_host_journal(settings) as (_, one, _),
        open_host_journal(settings) as (_, two, _),
    ):
        assert await one.append([envelope(1)]) == [1]
        assert await two.append([envelope(1), envelope(2)]) == [None, 2]
        assert await two.read_body(ANNA, 1) == b"body"
        start = JournalRow(kind=RowKind.START, agent=bytes(16), received_us=1)
        assert await one.append([start, envelope(3)]) == [None, 3], "only the leader starts"
        await leader.note_position(3)
        assert [row.sequence for row in await leader.read(0, 10)] == [1, 2, 3]
        with pytest.raises(JournalError, match="deletes nothing"):
            await one.trim(3, 5_000)


async def test_rows_are_deleted_after_all_hosts_know_their_numbers(
    settings: JournalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_journal, "POLL_S", 0.01)
    monkeypatch.setattr(host_register, "WAIT_S", 0.3)
    async with (
        open_jetstream(settings, tmp_path) as leader,
        open_host_journal(settings) as (name, host, _),
    ):
        await host.append([envelope(1), envelope(2)])
        await leader.note_position(2)
        with pytest.raises(JournalError, match="1 ingest hosts have not taken over"):
            await leader.trim(2, 5_000)
        assert len(await leader.read(0, 10)) == 2
        async with asyncio.TaskGroup() as group:
            trimming = group.create_task(trim_with_reports(leader, name, host))
        assert trimming.result() == 2
        assert await host.append([envelope(1), envelope(3)]) == [None, 3]
    async with (
        open_jetstream(settings, tmp_path) as again,
        open_host_journal(settings) as (_, h, _),
    ):
        assert await h.append([envelope(2)]) == [None], "a later host reads them at its start"
        assert await again.hosts.list_all() != []


async def test_dead_host_is_removed_and_registers_again_if_it_comes_back(
    settings: JournalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead host is removed, and registers again when it comes back.

    Otherwise each later leader waits for it. Rows are kept until a returned host has read all.
    """
    monkeypatch.setattr(host_journal, "POLL_S", 0.01)
    monkeypatch.setattr(host_register, "LOOK_S", 0.01)
    monkeypatch.setattr(host_register, "CONFIRM_S", 0.05)
    async with (
        open_jetstream(settings, tmp_path) as leader,
        open_host_journal(settings) as (name, _, _),
    ):

        async def is_removed() -> bool:
            return await leader.hosts.list_all() == []

        async def is_registered() -> bool:
            return await leader.hosts.list_all() == [name]

        assert await is_registered()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(leader.hosts.run())
            monkeypatch.setattr(host_register, "LATE_S", 0.05)
            await until(is_removed, 20.0)
            monkeypatch.setattr(host_register, "LATE_S", 600.0)
            monkeypatch.setattr(host_journal, "AGAIN_S", 0.0)  # its last reading was long ago
            await until(is_registered, 20.0)
            looking.cancel()


async def test_host_that_registers_again_meanwhile_is_not_removed(
    settings: JournalSettings, tmp_path: Path
) -> None:
    async with open_jetstream(settings, tmp_path), connected(settings) as connection:
        state = await open_state(connection, settings)
        before = await state.put_host("one")
        assert await state.find_host("one") == before
        again = await state.put_host("one")
        await state.remove_host("one", before)
        assert await state.list_hosts() == ["one"]
        await state.remove_host("one", again)
        assert await state.list_hosts() == []
        assert await state.find_host("one") == 0


async def test_numbers_that_two_leaders_deleted_are_all_kept(
    settings: JournalSettings, tmp_path: Path
) -> None:
    """Ranges deleted by two leaders are all kept.

    One that lost the lease without knowing wrote some after the next one had read them.
    """
    async with connected(settings) as connection:
        async with open_jetstream(settings, tmp_path) as leader:
            await leader.append([envelope(1)])
            await leader.trim(1, 5_000)
            earlier = await open_state(connection, settings)
            ranges = SequenceRanges()
            ranges.load(await earlier.get_ranges(ANNA[0]))
            ranges.add({ANNA: [7]})
            await earlier.put_ranges(ANNA[0], ranges.dump(ANNA[0]))
            await leader.append([envelope(2)])
            await leader.trim(2, 5_000)
            with pytest.raises(FencedError):
                await earlier.put_ranges(ANNA[0], b"")
        async with open_jetstream(settings, tmp_path) as again:
            repeats = [envelope(1), envelope(2), envelope(7)]
            assert await again.append(repeats) == [None, None, None]


async def trim_with_reports(
    leader: JetStreamJournal, name: str, host: host_journal.HostJournal
) -> int:
    """Trim while a host reports, as `ClusterIngest` passes reports on."""
    async with asyncio.TaskGroup() as group:
        trimming = group.create_task(leader.trim(2, 5_000))
        while not trimming.done():
            leader.hosts.note(name, host.ranges_applied)
            await asyncio.sleep(0.01)
    return trimming.result()


async def test_host_without_a_journal_is_told_to_wait_for_the_leader(
    settings: JournalSettings,
) -> None:
    with pytest.raises(JournalError, match="start the collector that leads first"):
        async with open_beside_hosts(settings):
            pass


async def test_second_leader_cannot_write_the_log(settings: JournalSettings) -> None:
    async with connected(settings) as connection:
        first = await SharedLog.open(connection, settings)
        second = await SharedLog.open(connection, settings)
        await first.append(1, b"one")
        await first.append(1, b"one")  # its answer was lost
        await first.append(2, b"two")
        with pytest.raises(FencedError, match="Another collector leads"):
            await second.append(2, b"another two")
        with pytest.raises(FencedError):
            await second.append(4, b"a gap")
        assert await second.read_after(0) == [b"one", b"two"]


async def test_second_leader_cannot_write_the_fleet(settings: JournalSettings) -> None:
    async with connected(settings) as connection:
        first = await SharedTable.open(connection, settings)
        second = await SharedTable.open(connection, settings)
        follower = await SharedTable.open(connection, settings)
        await first.put("agents.00", b"row")
        with pytest.raises(FencedError):
            await second.put("agents.00", b"other")
        assert await second.read_new() == {"agents.00": b"row"}
        await second.put("agents.00", b"newer")
        with pytest.raises(FencedError):
            await first.put("agents.00", b"outdated")
        await second.put("agents.00", b"")
        assert await follower.read_new() == {"agents.00": None}
        assert await follower.read_new() == {}


async def test_next_leader_waits_for_the_lease(settings: JournalSettings, tmp_path: Path) -> None:
    leading: list[int] = []

    async def lead(number: int, leave: asyncio.Event) -> None:
        async with open_leading(settings, tmp_path / str(number)) as opened:
            leading.append(number)
            await leave.wait()
            assert not opened.lease.lost.is_set()

    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
    leave = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(lead(1, leave))
        await until_true(lambda: leading == [1])
        group.create_task(lead(2, leave))
        leave.set()
    assert leading == [1, 2]
