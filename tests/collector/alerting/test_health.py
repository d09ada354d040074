"""Operators get an alert when their collector fails, even with a full disk."""

import asyncio
import json
import random
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from heliograph.clock import SystemClock
from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.alerting import health
from heliograph_collector.alerting import service as alert_service
from heliograph_collector.alerting.dispatcher import Transports
from heliograph_collector.alerting.health import HealthNotifier, HealthState
from heliograph_collector.alerting.http_client import DeliveryError
from heliograph_collector.alerting.message import HealthReport
from heliograph_collector.alerting.outbox import Outbox
from heliograph_collector.alerting.service import AlertConfig, AlertService
from heliograph_collector.config.receivers import HealthPolicy, Receiver, ReceiverKind
from heliograph_collector.incidents.state import EMPTY_HEAD
from support.dispatcher_office import DESK, Post
from support.fake_feed import published
from support.hand_clock import HandClock
from support.incident_book import book, silence
from support.receivers import receiving
from support.waiting import until_true

FULL = "The disk of the data directory has 3 MiB left, fewer than 256: free some."
OPERATOR = Receiver(
    name="operator",
    kind=ReceiverKind.SLACK,
    url="https://chat.example.org/y",
    health=HealthPolicy.TOO,
)
SWITCH = Receiver(name="switch", kind=ReceiverKind.HEARTBEAT, url="https://hc.example.org/1")


@dataclass
class Source:
    current: list[str] = field(default_factory=list)
    looks: int = 0

    def problems(self) -> list[str]:
        self.looks += 1
        return self.current


async def look_on(source: Source) -> None:
    """Wait until the problems were looked at some more times."""
    enough = source.looks + 8
    await until_true(lambda: source.looks >= enough)


@dataclass
class Lease:
    is_held: bool = False


def watch(state: HealthState, clock: HandClock, problems: list[str], us: int) -> list[HealthReport]:
    """List the reports in so many µs, checked every five seconds."""
    reports = []
    for _ in range(us // (5 * SECOND_US)):
        clock.advance_us(5 * SECOND_US)
        if report := state.update(problems, clock.wall_us(), clock.monotonic_us()):
            reports.append(report)
    return reports


def test_what_lasts_is_reported_once_then_every_six_hours_and_its_end_once() -> None:
    state = HealthState()
    clock = HandClock()
    assert watch(state, clock, [], HOUR_US) == [], "a collector that works says nothing"
    assert watch(state, clock, [FULL], 110 * SECOND_US) == []
    assert watch(state, clock, [], HOUR_US) == [], "a short trouble and its end are not told"
    (report,) = watch(state, clock, [FULL], HOUR_US)
    assert report == HealthReport(problems=(FULL,), since="2022-01-05T13:01:55Z")
    assert len(watch(state, clock, [FULL], 12 * HOUR_US)) == 2
    assert watch(state, clock, [], MINUTE_US) == []
    assert watch(state, clock, [FULL], MINUTE_US) == [], "it was not over"
    assert watch(state, clock, [], HOUR_US) == [HealthReport(problems=(), since=report.since)]
    assert watch(state, clock, [], HOUR_US) == []


@pytest.mark.parametrize(("fails_s", "works_s"), [(60, 60), (100, 200), (5, 115), (90, 150)])
def test_what_comes_and_goes_is_reported_once_and_ends_once_it_is_steady(
    fails_s: int, works_s: int
) -> None:
    """Neither lasts for two minutes, so that nobody heard of it in hours."""
    state = HealthState()
    clock = HandClock()
    reports = []
    for _ in range(HOUR_US // ((fails_s + works_s) * SECOND_US)):
        reports += watch(state, clock, [FULL], fails_s * SECOND_US)
        reports += watch(state, clock, [], works_s * SECOND_US)
    (report,) = reports
    first, again = report.problems
    assert first == FULL
    assert re.fullmatch("It failed [2-9] times in 15 minutes, and came back.", again)
    assert report.since == "2022-01-05T11:00:05Z"
    assert state.is_unsteady, "so the switch hears nothing"
    assert watch(state, clock, [], HOUR_US) == [HealthReport(problems=(), since=report.since)]
    assert not state.is_unsteady


def test_two_restarts_of_the_store_in_a_quarter_of_an_hour_call_nobody() -> None:
    state = HealthState()
    clock = HandClock()
    for _ in range(2):
        assert watch(state, clock, [FULL], 60 * SECOND_US) == []
        assert watch(state, clock, [], 3 * MINUTE_US) == []
    assert watch(state, clock, [], HOUR_US) == []


def test_a_clock_that_jumps_calls_nobody() -> None:
    state = HealthState()
    clock = HandClock()
    watch(state, clock, [FULL], MINUTE_US)
    clock.wall += 90 * 24 * HOUR_US
    assert watch(state, clock, [FULL], 30 * SECOND_US) == []


def build_notifier(post: Post, source: Source, lease: Lease | None = None) -> HealthNotifier:
    return HealthNotifier(
        (DESK, OPERATOR, SWITCH),
        Transports(http=post, mail=post, base="https://sun.example.org"),
        source,
        clock=SystemClock(),
        rng=random.Random(1),
        permission=lease,
    )


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_S", 0.01)
    monkeypatch.setattr(health, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(health, "PERSIST_US", 0)


@pytest.mark.usefixtures("fast")
async def test_only_who_asks_is_told_and_the_switch_hears_nothing_meanwhile() -> None:
    post = Post()
    source = Source([FULL, "The store does not answer: it is away."])
    running = asyncio.create_task(build_notifier(post, source).run())
    await until_true(lambda: len(post.sent) == 1)
    await look_on(source)
    (request,) = post.sent
    text = json.loads(request.body)["text"]
    assert request.url == OPERATOR.url
    assert FULL in text
    assert "the store does not answer" in text.lower()
    assert "https://sun.example.org/console/health" in text
    source.current = []
    await until_true(lambda: sum(r.url == SWITCH.url for r in post.sent) > 2)
    running.cancel()
    told = [json.loads(r.body)["text"] for r in post.sent if r.url == OPERATOR.url]
    assert len(told) == 2
    assert "ready again" in told[1]
    assert {(r.method, r.body) for r in post.sent if r.url == SWITCH.url} == {("GET", b"")}


@pytest.mark.usefixtures("fast")
async def test_what_did_not_arrive_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "next_retry_us", lambda tries, now_us, *_: now_us + 1_000)
    post = Post()
    post.fails = [DeliveryError("no connection")] * 3
    source = Source([FULL])
    running = asyncio.create_task(build_notifier(post, source).run())
    await until_true(lambda: len(post.sent) == 4)
    await look_on(source)
    running.cancel()
    assert len(post.sent) == 4


@pytest.mark.usefixtures("fast")
async def test_a_collector_that_does_not_lead_reports_nothing() -> None:
    post = Post()
    lease = Lease()
    source = Source([FULL])
    running = asyncio.create_task(build_notifier(post, source, lease).run())
    await look_on(source)
    assert post.sent == []
    lease.is_held = True
    await until_true(lambda: len(post.sent) == 1)
    running.cancel()


@pytest.mark.usefixtures("fast")
async def test_a_report_that_waits_for_a_retry_ends_with_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "next_retry_us", lambda tries, now_us, *_: now_us + 1_000)
    post = Post()
    post.fails = [DeliveryError("no connection")] * 100_000
    lease = Lease(is_held=True)
    source = Source([FULL])
    running = asyncio.create_task(build_notifier(post, source, lease).run())
    await until_true(lambda: len(post.sent) > 2)
    lease.is_held = False
    await look_on(source)
    count = len(post.sent)
    await look_on(source)
    running.cancel()
    assert len(post.sent) == count, "the next leader reports what it finds"


def receive_at(origin: str, policy: HealthPolicy) -> Receiver:
    return Receiver(
        name="desk", kind=ReceiverKind.SLACK, url=f"{origin}/x", private=True, health=policy
    )


@pytest.mark.usefixtures("fast")
async def test_a_full_disk_is_told_although_the_outbox_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Outbox, *_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Outbox, "queue_alerts", refuse)
    async with receiving() as desk:
        receiver = receive_at(desk.origin, HealthPolicy.ONLY)
        service = AlertService(
            AlertConfig(data=tmp_path, receivers=[receiver]),
            book(silence()),
            published({}),
            clock=SystemClock(),
            rng=random.Random(1),
            registry=CollectorRegistry(),
            health=Source([FULL]),
        )
        running = asyncio.create_task(service.run())
        await until_true(lambda: len(desk.came) == 1)
        running.cancel()
    assert FULL in json.loads(desk.came[0][3])["text"]


@pytest.mark.usefixtures("fast")
async def test_disk_that_is_full_at_the_start_is_reported_and_no_alert_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The collector ended there, and advised to move the alerts away that waited."""
    is_full = True

    def open_outbox(data: Path) -> Outbox:
        if is_full:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return Outbox(data)

    monkeypatch.setattr(alert_service, "Outbox", open_outbox)
    monkeypatch.setattr(alert_service, "_RETRY_S", 0.01)
    log = book(silence())
    with closing(Outbox(tmp_path)) as outbox:
        outbox.queue_alerts((), 0, EMPTY_HEAD, 0)  # the log was read up to here before the stop
    async with receiving() as desk:
        receiver = receive_at(desk.origin, HealthPolicy.TOO)
        source = Source([FULL])
        service = AlertService(
            AlertConfig(data=tmp_path, receivers=[receiver]),
            log,
            published(),
            clock=SystemClock(),
            rng=random.Random(1),
            registry=CollectorRegistry(),
            health=source,
        )
        running = asyncio.create_task(service.run())
        await until_true(lambda: len(desk.came) == 1)
        assert FULL in json.loads(desk.came[0][3])["text"]
        assert "free space on its disk, or replace the disk; none of them is lost" in caplog.text
        source.current = []
        is_full = False
        await until_true(lambda: len(desk.came) == 3)
        running.cancel()
    texts = [json.loads(request[3])["text"] for request in desk.came[1:]]
    assert any("Kazakhstan" in text for text in texts), "the alert that waited"


async def test_a_heartbeat_begins_as_soon_as_the_start_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_S", 0.01)
    post = Post()
    source = Source(["The store is starting."])
    running = asyncio.create_task(build_notifier(post, source).run())
    await look_on(source)
    source.current = []
    await until_true(lambda: [r.url for r in post.sent] == [SWITCH.url], 5.0)
    running.cancel()
