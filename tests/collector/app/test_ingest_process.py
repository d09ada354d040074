"""Ingest in its own process, as agents and the other stages of `serve` see it."""

import asyncio
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from heliograph import services
from heliograph.v1 import intake_pb2 as pb
from heliograph.v1.envelope_pb2 import Envelope
from heliograph_collector.app.ingest_supervisor import IngestSupervisor
from heliograph_collector.app.remote_ingest import RemoteIngest
from heliograph_collector.app.startup import build_supervisor
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Fleet, Keyring, open_keyring
from heliograph_collector.fleet.plans import build_default_plan, issue_plan
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.geo.lookup import GeoLookup
from heliograph_collector.model.records import Block, DecodeFailure, RowKind
from heliograph_collector.store.journal.journal import Journal, JournalError
from heliograph_collector.store.journal.shared_journal import SharedJournal
from support.hand_clock import HandClock
from support.intake import (
    CLOCK,
    HOST,
    Call,
    channel,
    create_invite,
    enrolled,
    greeted,
    hear,
    receipts,
)
from support.waiting import until_true

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Apart:
    """An ingest process as the stages of `serve` see it."""

    data: Path
    fleet: Fleet
    keyring: Keyring
    journal: SharedJournal
    supervisor: IngestSupervisor
    ingest: RemoteIngest

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.ingest.port}"

    def invite(self) -> bytes:
        return create_invite(self.fleet)

    def metrics(self) -> str:
        registry = CollectorRegistry()
        registry.register(self.ingest.metrics)
        return generate_latest(registry).decode()


def build(data: Path) -> IngestSupervisor:
    return build_supervisor(Config(data=data, grpc=f"{HOST}:0", ingest_processes=1))


@asynccontextmanager
async def apart(data: Path) -> AsyncIterator[Apart]:
    """Run a real ingest process in `data`, and follow it."""
    with closing(Fleet(data)) as fleet:
        keyring = open_keyring(data, [HOST])
        plan = build_default_plan(services.load_shipped_services())
        issue_plan(fleet, keyring.signing, plan, CLOCK.wall_us() // 1_000_000)
        supervisor = build(data)
        await supervisor.start()
        journal = SharedJournal(data / "journal.db")
        ports = await supervisor.listen()
        geo = GeoLookup(Path("absent"), Path("absent"), keyring.secret)
        ingest = RemoteIngest(supervisor, journal, AgentDirectory(fleet), geo, ports.grpc)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervisor.run(ingest))
            yield Apart(data, fleet, keyring, journal, supervisor, ingest)
            task.cancel()
        await supervisor.stop()
        await journal.close()


async def test_a_journal_that_takes_nothing_is_named_at_the_start(tmp_path: Path) -> None:
    """A journal that cannot be written is named at the start, as on a full disk.

    It was a traceback once, and a status without a reason.
    """
    journal = Journal(tmp_path / "journal.db")
    await journal.close()
    with closing(Fleet(tmp_path)) as fleet, closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        keyring = open_keyring(tmp_path, [HOST])
        plan = build_default_plan(services.load_shipped_services())
        issue_plan(fleet, keyring.signing, plan, CLOCK.wall_us() // 1_000_000)
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON log "
            "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
        supervisor = build(tmp_path)
        await supervisor.start()
        with pytest.raises(CannotServeError, match=r"journal\.db .*disk is full"):
            await supervisor.listen()
        await supervisor.stop()


async def send(call: Call, *envelopes: Envelope) -> list[pb.Receipt]:
    for envelope in envelopes:
        await call.write(pb.AgentMessage(envelope=envelope))
    return await receipts(call, len(envelopes))


async def test_session_is_seen_and_told_and_counted(tmp_path: Path) -> None:
    async with apart(tmp_path) as server, channel(server) as stub:
        call = await greeted(stub, caller := await enrolled(server))
        await until_true(lambda: server.ingest.connections.count_by_role() == {"volunteer": 1})
        (session,) = server.ingest.connections
        assert (session.agent.id, session.vantage.country) == (caller.id, "KZ")
        assert session.offer(pb.CollectorMessage(advice=pb.Advice(reason="hear this")))
        while (await hear(call)).advice.reason != "hear this":
            pass
        (receipt,) = await send(call, caller.envelope(1))
        assert receipt.status == pb.STATUS_STORED
        assert await server.journal.wait_beyond(0, 60)
        rows = await server.journal.read(0, 10)
        assert [row.kind for row in rows] == [RowKind.START, RowKind.ARRIVAL, RowKind.ENVELOPE]
        await until_true(lambda: server.ingest.remaining_batches(caller.id) is not None)
        failure = DecodeFailure(position=3, index=0, received_us=1, reason="x", body=b"")
        server.ingest.on_block(Block(journal="j", first=3, last=3, refused=(failure,)))
        bad = 'heliograph_measurements_total{outcome="bad"} 1.0'
        await until_true(lambda: bad in server.metrics())
        assert 'heliograph_hellos_total{outcome="welcome"} 1.0' in server.metrics()
        call.cancel()
        await until_true(lambda: len(server.ingest.connections) == 0)


async def test_envelope_of_the_http_server_is_stored(tmp_path: Path) -> None:
    async with apart(tmp_path) as server:
        caller = await enrolled(server)
        sealed = caller.seal(caller.batch(1))
        first = await server.ingest.accept(sealed, "198.51.100.7", elsewhere=False)
        again = await server.ingest.accept(sealed, "198.51.100.7", elsewhere=False)
        assert (first.status, again.status) == (pb.STATUS_STORED, pb.STATUS_DUPLICATE)


async def test_killed_process_costs_a_reconnection_and_no_result(tmp_path: Path) -> None:
    """Killing the process costs agents a reconnection, but no result.

    The next one has the same port; nothing acknowledged is lost, nothing is stored twice.
    """
    async with apart(tmp_path) as server:
        async with channel(server) as stub:
            call = await greeted(stub, caller := await enrolled(server))
            spooled = [caller.envelope(number) for number in range(1, 13)]
            acknowledged = [r.sequence for r in await send(call, *spooled[:8])]
            await until_true(lambda: len(server.ingest.connections) == 1)
            pid = server.supervisor.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until_true(lambda: server.supervisor.pid != pid)
            assert server.ingest.connections.count_by_role() == {}
            await until_true(lambda: not server.supervisor.problems())
        async with channel(server) as stub:
            call = await greeted(stub, caller)
            again = await send(call, *spooled)
            await until_true(lambda: len(server.ingest.connections) == 1)
            call.cancel()
        duplicates = [r.sequence for r in again if r.status == pb.STATUS_DUPLICATE]
        assert duplicates == acknowledged == list(range(1, 9))
        rows = await server.journal.read(0, 100)
        stored = sorted(r.sequence for r in rows if r.kind is RowKind.ENVELOPE)
        assert stored == list(range(1, 13))
        assert [r.kind for r in rows].count(RowKind.START) == 2  # the detectors get both


async def test_second_process_on_the_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with apart(tmp_path):
        second = build(tmp_path)
        with pytest.raises(CannotServeError, match="in use by another process"):
            await second.start()
        await second.stop()


async def test_taken_port_is_told_in_a_sentence(tmp_path: Path) -> None:
    with closing(socket.create_server((HOST, 0))) as taken:
        grpc = f"{HOST}:{taken.getsockname()[1]}"
        supervisor = build_supervisor(Config(data=tmp_path, grpc=grpc, ingest_processes=1))
        await supervisor.start()
        with pytest.raises(CannotServeError, match=f"{grpc} cannot be listened on"):
            await supervisor.listen()
        await supervisor.stop()


async def test_journal_that_ingest_left_is_told(tmp_path: Path) -> None:
    """A journal last written by ingest marks the collector alive in the other stages.

    The other stages never write that themselves.
    """
    clock = HandClock()
    journal = Journal(tmp_path / "journal.db")
    await journal.mark_alive(clock.wall_us())
    shared = SharedJournal(tmp_path / "journal.db")
    await shared.mark_alive(clock.wall_us() + 29_000_000)
    with pytest.raises(JournalError, match="has written nothing for 31 s"):
        await shared.mark_alive(clock.wall_us() + 31_000_000)
    await shared.close()
    await journal.close()


async def test_busy_is_the_answer_while_no_process_is_there(tmp_path: Path) -> None:
    supervisor = build(tmp_path)
    assert supervisor.problems() == ["Ingest does not listen; it is being started again."]
    with closing(Fleet(tmp_path)) as fleet:
        await Journal(tmp_path / "journal.db").close()
        journal = SharedJournal(tmp_path / "journal.db")
        geo = GeoLookup(Path("absent"), Path("absent"), b"s" * 32)
        ingest = RemoteIngest(supervisor, journal, AgentDirectory(fleet), geo, 1)
        receipt = await ingest.accept(b"sealed", "", elsewhere=False)
        await journal.close()
    assert (receipt.status, receipt.retry_after_s) == (pb.STATUS_RETRY, 5)
