"""Successive leaders share alerts by a real nats-server; a receiver fails once."""

import asyncio
import json
import random
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from heliograph.clock import SystemClock
from heliograph_collector.alerting import handover, outbox
from heliograph_collector.alerting.incident_alerts import collect_alerts
from heliograph_collector.alerting.outbox import Outbox
from heliograph_collector.alerting.service import AlertConfig, AlertService
from heliograph_collector.app.console_records import take_over_records
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.receivers import Receiver, ReceiverKind
from heliograph_collector.config.settings import Config
from heliograph_collector.incidents.state import EMPTY_HEAD
from heliograph_collector.store.journal.opening import open_console
from support.fake_feed import published
from support.incident_book import book, closed, silence
from support.nats_servers import NatsServers
from support.receivers import receiving
from support.waiting import until, until_true

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("nats")]
EVENING = book(closed(silence("a" * 16), 5), closed(silence("b" * 16), 4))


@asynccontextmanager
async def lead(
    data: Path, settings: JournalSettings, term: int, receiver: Receiver
) -> AsyncIterator[None]:
    """Notify as the collector that leads does, inside the block."""
    async with AsyncExitStack() as stack:
        shared = await take_over_records(Config(data=data), settings, term, stack)
        service = AlertService(
            AlertConfig(data=data, receivers=[receiver]),
            EVENING,
            published({}),
            clock=SystemClock(),
            rng=random.Random(term),
            registry=CollectorRegistry(),
            shared=shared.records.alerts,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run())
            yield
            running.cancel()


def build_receiver(folder: Path, origin: str) -> Receiver:
    secret_file = folder / "desk.secret"
    secret_file.write_text(f"whsec_{b64encode(bytes(32)).decode()}\n")
    return Receiver(
        name="desk",
        kind=ReceiverKind.WEBHOOK,
        url=f"{origin}/x",
        secret_file=secret_file,
        private=True,
    )


async def test_next_leader_tells_a_receiver_that_was_down(
    tmp_path: Path, nats_server: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCHING_US", 0)
    monkeypatch.setattr(handover, "SHARE_S", 0.05)
    settings = nats_server.settings(f"t{uuid4().hex[:16]}")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    with closing(Outbox(first)) as own:  # it has led since the log began
        own.queue_alerts((), 0, EMPTY_HEAD, 1)
    async with receiving(status=500) as desk, open_console(settings) as side:
        receiver = build_receiver(tmp_path, desk.origin)
        alerts = collect_alerts(EVENING, EVENING.entries, published({}))
        expected = [alert["entry"] for alert in alerts if receiver.accepts(alert)]

        async def is_told() -> bool:
            content = await side.alerts.read()
            told = json.loads(content or b"{}")
            return bool(told.get("unfinished") == {"desk": expected})

        async with lead(first, settings, 1, receiver):
            await desk.arrived.wait()
            await until(is_told)
        desk.status = 200
        desk.came.clear()
        (second / "keys").mkdir(parents=True)
        for file in (first / "keys").iterdir():
            (second / "keys" / file.name).write_bytes(file.read_bytes())
        async with lead(second, settings, 2, receiver):
            await until_true(lambda: bool(desk.came))
        bodies = [json.loads(body) for _, _, _, body in desk.came]
    sent = [alert["entry"] for body in bodies for alert in body["alerts"]]
    assert sorted(sent) == expected
    assert expected
