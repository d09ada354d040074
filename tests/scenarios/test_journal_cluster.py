"""Three real nats-servers under the journal; servers and the collector are killed.

What was acknowledged must be there once, whatever was killed; without a quorum nothing is
acknowledged and an error says why; a killed collector continues with the same journal.
"""

import asyncio
import gc
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import environ
from pathlib import Path

import pytest

from heliograph_collector.model.records import JournalRow, RowKind
from heliograph_collector.store.journal.jetstream import connection, lease
from heliograph_collector.store.journal.jetstream.journal import JetStreamJournal, open_jetstream
from heliograph_collector.store.journal.journal import JournalBusyError
from heliograph_collector.store.journal.opening import describe_servers
from support.nats_servers import NatsServers, nats_servers
from support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.xdist_group("nats")]
KILLS = int(environ.get("HELIOGRAPH_BROKER_KILLS", "1"))
SEED = int(environ.get("HELIOGRAPH_SEED", "1"))
LOST = JournalRow(kind=RowKind.LOST, agent=b"A" * 16, received_us=1)
AGENTS = 16  # that send at the same time, one envelope each


@dataclass
class Sender:
    """One agent: it sends each envelope until it is acknowledged, as its spool does."""

    agent: bytes
    acknowledged: dict[int, int | None] = field(default_factory=dict)  # position by sequence
    refused: int = 0
    longest_s: float = 0.0
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_beyond(self, count: int) -> None:
        while len(self.acknowledged) <= count:
            self.grown.clear()
            await self.grown.wait()

    async def run(self, journal: JetStreamJournal, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.send(journal, len(self.acknowledged) + 1)

    async def send(self, journal: JetStreamJournal, sequence: int) -> None:
        row = JournalRow(
            kind=RowKind.ENVELOPE,
            agent=self.agent,
            sequence=sequence,
            received_us=time.time_ns() // 1_000,
            body=self.agent + sequence.to_bytes(8) + bytes(1_000),
        )
        began_s = time.monotonic()
        while True:
            try:
                (self.acknowledged[sequence],) = await journal.append([row], deadline_s=3)
            except JournalBusyError:  # any other error is final
                self.refused += 1
            else:
                self.grown.set()
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
                return


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServers]:
    with nats_servers(tmp_path_factory.mktemp("nats"), 3) as servers:
        yield servers


async def test_killed_servers_lose_nothing_and_repeat_nothing(
    servers: NatsServers, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    senders = [Sender(bytes([number]) * 16) for number in range(AGENTS)]
    settings = servers.settings("j")
    async with open_jetstream(settings, tmp_path / "data") as journal:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(sender.run(journal, stop))
            for kill in range(KILLS):
                number = await find_leader(journal) if kill % 2 == 0 else rng.randrange(3)
                await kill_and_restart(servers, number, senders)
            stop.set()
        await check_rows(journal, senders)
        for sender in senders:  # each of them sends all of it again
            for sequence in sender.acknowledged:
                row = JournalRow(
                    kind=RowKind.ENVELOPE, agent=sender.agent, sequence=sequence, received_us=1
                )
                assert await journal.append([row], deadline_s=60) == [None]
        position = journal.position
    sent = sum(len(sender.acknowledged) for sender in senders)
    longest_s = max(sender.longest_s for sender in senders)
    refused = sum(sender.refused for sender in senders)
    print(f"{sent} acknowledged, {KILLS} kills, {refused} refused, longest gap {longest_s:.1f} s")
    async with open_jetstream(settings, tmp_path / "data") as again:
        assert again.position >= position
        await check_rows(again, senders)


async def kill_and_restart(servers: NatsServers, number: int, senders: list[Sender]) -> None:
    """Kill a server and start it again, with acknowledgements in both states."""
    await wait_for_progress(senders)
    servers.kill(number)
    await wait_for_progress(senders)
    servers.start(number)
    await asyncio.to_thread(servers.wait, number)
    await wait_for_progress(senders)


async def wait_for_progress(senders: list[Sender]) -> None:
    """Wait until each of them was acknowledged once more."""
    before = [len(sender.acknowledged) for sender in senders]
    async with asyncio.timeout(240):
        for sender, count in zip(senders, before, strict=True):
            await sender.wait_beyond(count)


async def find_leader(journal: JetStreamJournal) -> int:
    info = await journal.connection.ask(journal.connection.js.stream_info, "j")
    assert info.cluster is not None
    return int(str(info.cluster.leader).removeprefix("n"))


async def check_rows(journal: JetStreamJournal, senders: list[Sender]) -> None:
    """Check that every acknowledged envelope is there once, in its agent's order."""
    rows: list[JournalRow] = []
    while found := await journal.read(rows[-1].position if rows else 0, 1_000):
        rows += found
    numbers_by_agent: dict[bytes, list[int]] = {}
    for row in rows:
        assert row.body[:24] == row.agent + row.sequence.to_bytes(8)
        numbers_by_agent.setdefault(row.agent, []).append(row.sequence)
    assert numbers_by_agent == {s.agent: sorted(s.acknowledged) for s in senders}
    position_by_key = {(row.agent, row.sequence): row.position for row in rows}
    for sender in senders:
        for sequence, position in sender.acknowledged.items():
            assert position in (None, position_by_key[sender.agent, sequence])


# nats-py drops the half of a connection that it dials to the stopped server meanwhile.
@pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")
async def test_server_that_does_not_answer_is_left_for_another(
    servers: NatsServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer is left for another one.

    As with a pulled cable: the connection stays, and nothing comes by it.
    """
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    monkeypatch.setattr(lease, "RENEW_TRY_S", 0.5)
    monkeypatch.setattr(connection, "PONG_S", 1)
    async with open_jetstream(servers.settings("h"), tmp_path / "data") as journal:
        number = find_connected(servers, journal)
        servers.signal(number, signal.SIGSTOP)
        try:
            assert await journal.append([LOST], deadline_s=120) == [1]
            assert find_connected(servers, journal) != number
        finally:
            servers.signal(number, signal.SIGCONT)
    gc.collect()  # or the next test would have the warning


def find_connected(servers: NatsServers, journal: JetStreamJournal) -> int:
    url = journal.connection.client.connected_url
    assert url is not None
    assert url.port is not None
    return servers.ports.index(url.port)


async def test_without_a_quorum_nothing_is_acknowledged(
    servers: NatsServers, tmp_path: Path
) -> None:
    sender = Sender(b"A" * 16)
    settings = servers.settings("q")
    async with open_jetstream(settings, tmp_path / "data") as journal:
        await sender.send(journal, 1)
        servers.kill(0)
        servers.kill(1)
        for _ in range(2):
            with pytest.raises(JournalBusyError, match=r"quorum|be reached"):
                await journal.append([LOST], deadline_s=1)
        journal.connection.patience_s = 1.0
        with pytest.raises(JournalBusyError):
            await journal.mark_alive(1)
        assert journal.position == 1
        assert [row.position for row in await journal.read(0, 10)] == [1]
        servers.start(0)
        await asyncio.to_thread(servers.wait, 0)
        (position,) = await journal.append([LOST], deadline_s=240)
        await sender.send(journal, 2)
        rows = await journal.read(1, 10)
        assert [row.kind for row in rows] == [RowKind.LOST, RowKind.ENVELOPE]
        assert rows[0].position == position

    async def is_missed() -> bool:
        return "n1" in await describe_servers(settings)

    await until(is_missed)  # its name is known to all servers a moment after they have a leader
