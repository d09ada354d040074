"""Each role is built alone from its context and its ports, and does its work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from heliograph.plan import Carrier, Entrance
from heliograph.v1.intake_pb2 import Receipt
from heliograph_collector.app.context import AppContext, open_context, open_own_journal
from heliograph_collector.app.judge_role import build_judge, build_writer
from heliograph_collector.app.publish_role import PublishRole, build_live_feed
from heliograph_collector.app.roles import (
    ControlRole,
    JobsRole,
    build_alerts,
    build_console,
    build_corroboration,
    build_detector,
    create_store,
)
from heliograph_collector.app.startup import open_ingest
from heliograph_collector.config.endpoint_file import read_endpoint
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet.entrances import name_carrier, own_entrance
from heliograph_collector.fleet.plans import announce_entrances
from heliograph_collector.incidents.operator_entries import OperatorEntry
from heliograph_collector.incidents.state import IncidentBook, LogEntry
from heliograph_collector.model.entrances import BlockedEntrance
from heliograph_collector.model.records import Block
from heliograph_collector.model.signals import Fault, FaultReason
from heliograph_collector.store.journal.journal import Journal
from heliograph_collector.store.journal.protocol import JournalProtocol
from heliograph_collector.store.store import Store
from support.detector_run import FakeStore, rows_of
from support.fake_feed import World
from support.ports import HOST
from support.rows import T0
from support.waiting import until_true


class Sessions:
    """Ingest without agents, as the other roles see it."""

    port = 7_443
    geo: Any

    def __init__(self) -> None:
        self.connections: Any = NoConnections()
        self.directory = SimpleNamespace(count_enrolled=lambda: 3)
        self.geo = SimpleNamespace(find_origin=lambda chain: IPv4Address("192.0.2.1"))

    def remaining_batches(self, agent: bytes) -> int | None:
        return None

    async def accept(self, envelope: bytes, forwarded_for: str, *, elsewhere: bool) -> Receipt:
        return Receipt()


class NoConnections(list[Any]):
    def count_links(self, now_us: int | None = None) -> Counter[Any]:
        return Counter()

    def count_established_links(self, now_us: int) -> Counter[Any]:
        return Counter()

    def count_by_role(self) -> Counter[str]:
        return Counter(volunteer=2)


class QuietDetector:
    """A detector without incidents, and a log that takes operators' entries."""

    def __init__(self) -> None:
        self.book = IncidentBook()

    def list_gaps(self, since_us: int, until_us: int) -> list[Any]:
        return []

    def list_blocked(self, since_us: int) -> list[Any]:
        return []

    def list_annotations(self, incident: str) -> list[Any]:
        return []

    async def preview_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        raise NotImplementedError

    async def record_operator_entry(self, operator_entry: OperatorEntry) -> LogEntry:
        raise NotImplementedError


class BlockLog(list[Block]):
    def on_block(self, block: Block) -> None:
        self.append(block)


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[AppContext]:
    config = Config(
        data=tmp_path, grpc=f"{HOST}:0", http=f"{HOST}:0", echo=f"{HOST}:0", control_endpoints=()
    )
    async with AsyncExitStack() as stack:
        yield open_context(config, await open_own_journal(config, stack), stack)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


async def read_page(app: web.Application, path: str) -> str:
    async with TestClient(TestServer(app, host=HOST)) as client, client.get(path) as response:
        return f"{response.status} {await response.text()}"


def find_journal(context: AppContext) -> JournalProtocol:
    assert isinstance(context.journal, Journal)
    return context.journal


async def test_ingest_listens_and_announces_itself(context: AppContext) -> None:
    async with AsyncExitStack() as stack:
        ingest = await open_ingest(context, find_journal(context), stack)
        assert read_endpoint(context.config.data, "grpc") == f"{HOST}:{ingest.port}"


async def test_judge_stores_what_the_journal_holds(context: AppContext, store: Store) -> None:
    await find_journal(context).append(rows_of([Fault(T0, T0, FaultReason.RESTART)]))
    blocks = BlockLog()
    writer = build_writer(context, store, build_judge(context), [blocks])
    async with running(writer.run()):
        await until_true(lambda: writer.behind == 0)
    assert [(block.first, block.last) for block in blocks] == [(1, 1)]


async def test_detectors_follow_the_journal(context: AppContext) -> None:
    detector = build_detector(context, FakeStore())
    await detector.restore_state()
    await find_journal(context).append(rows_of([Fault(T0, T0, FaultReason.RESTART)]))
    assert await detector.advance()
    assert detector.problems() == []


async def test_publisher_answers_before_and_after_the_store_opens(context: AppContext) -> None:
    detector = QuietDetector()
    store = create_store(context.config)
    feed = build_live_feed(context, store, Sessions(), detector, detector)
    publisher = PublishRole(feed, context.config, context.endpoint_file, context.password_file)
    assert publisher.feed.problems() == ["The store is starting."]
    await publisher.feed.open_store(())
    async with running(publisher.run()):
        assert (await read_page(publisher.app, "/api/v1/status")).startswith("200")
    await store.close()


async def test_console_shows_its_login(context: AppContext, store: Store) -> None:
    feed = World().feed()
    console = build_console(
        context,
        store,
        feed,
        Sessions(),
        SimpleNamespace(behind=0),
        build_alerts(context, feed),
        QuietDetector(),
    )
    app = web.Application()
    console.add_routes(app, QuietDetector())
    assert "password" in await read_page(app, "/console/login")
    console.close()


async def test_console_names_the_blocked_entrance(
    context: AppContext, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Entrance(carrier=Carrier.STREAM, host="198.51.100.7", port=443)
    announce_entrances(context.fleet, context.keyring.signing, (other,), 1)
    carriers = (name_carrier(own_entrance(context.config.grpc, 7_443)), name_carrier(other))
    blocked = BlockedEntrance(country="KZ", carriers=carriers, since_us=T0, is_open=True)
    doubted = replace(blocked, carriers=carriers[1:], is_seen=False)
    dead = replace(blocked, country="", carriers=carriers[1:])
    detector = QuietDetector()
    monkeypatch.setattr(detector, "list_blocked", lambda _: [blocked, doubted, dead])
    feed = World().feed()
    alerts = build_alerts(context, feed)
    console = build_console(
        context, store, feed, Sessions(), SimpleNamespace(behind=0), alerts, detector
    )
    problems = console.read_ingest_status().problems
    assert f"agents in KZ do not reach us by {HOST}:7443, 198.51.100.7:443 though" in problems[0]
    assert "open another entrance" in problems[0]
    for problem in problems[1:]:
        assert "198.51.100.7:443" in problem
        assert "heliograph-collector doctor --public" in problem
    console.close()


async def test_jobs_run_over_an_open_store(context: AppContext, store: Store) -> None:
    jobs = JobsRole(context, store, build_corroboration(context))
    published = SimpleNamespace(list_incidents=list, list_networks=list)
    async with running(jobs.run(published)):
        await until_true((context.config.data / "dumps").is_dir)


async def test_control_answers_echoes(context: AppContext) -> None:
    control = ControlRole(context, 7_443)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(control.run_echo(group))
        await until_true(lambda: read_endpoint(context.config.data, "echo") != "")
        host, _, port = read_endpoint(context.config.data, "echo").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x00hello")
        assert await reader.readexactly(6) == b"\x00hello"
        writer.close()
        task.cancel()
