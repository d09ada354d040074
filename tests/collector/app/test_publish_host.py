"""A publishing host takes state from the leader, and shows if it has no leader."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from heliograph.observation import Link
from heliograph.services import load_shipped_services
from heliograph.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.app import public_report
from heliograph_collector.app.cluster_messages import encode
from heliograph_collector.app.leader_mirror import (
    STALE_US,
    LeaderMirror,
    MirroredFeed,
)
from heliograph_collector.app.public_report import (
    MessageSender,
    PublicReport,
    PublicReporter,
    decode_public,
)
from heliograph_collector.app.publish_host import HostParts, follow_reports, list_touched
from heliograph_collector.app.publish_role import build_feed_settings
from heliograph_collector.app.startup import run_collector
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.receivers import Receiver, ReceiverKind
from heliograph_collector.config.roles import check_roles
from heliograph_collector.config.settings import Config
from heliograph_collector.detect.log_takeover import ForgedLogError
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.model.published.annotation import (
    AnnotatedEntity,
    AnnotationDocument,
    ComparedWindow,
)
from heliograph_collector.model.records import BlindTime, Vote
from heliograph_collector.store.aggregation import AggregationQuery
from heliograph_collector.store.store import StoreError
from support.fake_feed import NOW_US, World
from support.hand_clock import HandClock
from support.incident_book import KEY, blocking, book, silence
from support.rows import block, reachable, taken

LINK = LinkCount(country="KZ", asn=9198, access="fixed", link=Link.ONLINE, vantages=7)
GAP = BlindTime(since_us=NOW_US - HOUR_US, until_us=NOW_US - MINUTE_US, reason="stalled")
BEFORE = BlindTime(since_us=0, until_us=NOW_US - DAY_US, reason="before_start")
GREEN = Vote(
    country="KZ", region="", asn=9198, access="fixed", service="telegram", start_us=0,
    pseudonym="p", prefix="", reachable=1, blocked=0, down=0, unknown=0,
)  # fmt: skip
NOTE = AnnotationDocument(
    source="ioda", signal="bgp", entity=AnnotatedEntity(country="KZ", asn=0),
    said="2022-01-05T11:00:00Z", what="agrees", why="drop", figures={"lowest": 0.1},
    window=ComparedWindow(since="2022-01-05T10:00:00Z", until="2022-01-05T11:00:00Z"),
    url="https://ioda.example/", attribution="IODA",
)  # fmt: skip


class Lines:
    """The shared log, as the servers have it."""

    def __init__(self, lines: Sequence[bytes] = ()) -> None:
        self.lines = list(lines)

    async def read_after(self, number: int) -> list[bytes]:
        return self.lines[number:]


class Notes:
    def list_newest(self, count: int) -> dict[str, list[AnnotationDocument]]:
        return {"a1a7": [NOTE]}


class Sent(list[bytes]):
    async def publish(self, topic: str, content: bytes) -> bool:
        self.append(content)
        return True


class StoreOfNow:
    """A store that still answers: cells of a country that is dark by now are green."""

    async def votes(self, *window: int, **filters: Any) -> list[Vote]:
        return [GREEN]

    async def silences(self, *window: int, **filters: Any) -> list[Any]:
        return []

    async def totals(self, query: AggregationQuery) -> list[Any]:
        return []

    votable = losses = silences


def build_reporter() -> PublicReporter:
    return PublicReporter(Sent(), "run", "7")


def compose(reporter: PublicReporter | None = None, **changes: Any) -> PublicReport:
    """A leader's report of one network, one gap and no incident, as it arrives."""
    world = World(links=[LINK], agents=AgentCounts(volunteers=7, controls=1, enrolled=9))
    feed = world.feed(
        public_key=KEY.public, targets=("example.org",), untested={"tor"},
        list_gaps=lambda since_us, until_us: [GAP, BEFORE],
    )  # fmt: skip
    report = (reporter or build_reporter()).compose(feed, Notes())
    return decode_public(encode(msgspec.structs.replace(report, **changes)))


@pytest.fixture
def clock() -> HandClock:
    return HandClock(wall=NOW_US)


def build_mirror(clock: HandClock, lines: Lines, report: PublicReport) -> LeaderMirror:
    nothing: Any = SimpleNamespace()
    return LeaderMirror(report, lines, nothing, clock, nothing)


def build_feed(mirror: LeaderMirror, clock: HandClock, folder: Path) -> MirroredFeed:
    password_file = folder / "password"
    password_file.write_text("a password of the operator\n")
    nothing: Any = SimpleNamespace()
    store: Any = StoreOfNow()
    feed = MirroredFeed(
        build_feed_settings(
            Config(data=folder), load_shipped_services(), password_file,
            public_key=KEY.public, k_anonymity=5, targets=(), untested=frozenset(),
        ),
        store=store, sessions=mirror, detector=mirror, annotations=mirror, imported=nothing,
        history=nothing, clock=clock, bus=EventBus("t"), registry=CollectorRegistry(),
    )  # fmt: skip
    feed.mirror = mirror
    feed._parts = (mirror,)
    return feed


async def test_report_tells_what_the_leader_shows(clock: HandClock, tmp_path: Path) -> None:
    mirror = build_mirror(clock, Lines(), compose())
    feed = build_feed(mirror, clock, tmp_path)
    assert feed.links() == [LINK]
    assert feed.agents() == AgentCounts(volunteers=7, controls=1, enrolled=9)
    assert mirror.list_annotations("a1a7") == [NOTE]
    assert mirror.list_annotations("b10c") == ()
    assert feed.problems() == []
    assert await feed.votes(NOW_US - HOUR_US, NOW_US, 900) == [GREEN]


async def test_gaps_of_a_window_are_those_of_the_leader(clock: HandClock) -> None:
    mirror = build_mirror(clock, Lines(), compose())
    assert mirror.list_gaps(NOW_US - 2 * HOUR_US, NOW_US) == [GAP]
    assert mirror.list_gaps(NOW_US - MINUTE_US, NOW_US) == []
    since_us = NOW_US - 3 * DAY_US
    assert mirror.list_gaps(since_us, NOW_US) == [replace(BEFORE, since_us=since_us), GAP]


async def test_incidents_come_from_the_shared_log_and_are_verified(clock: HandClock) -> None:
    known = book(silence(), blocking())
    lines = Lines([entry.line for entry in known.entries])
    mirror = build_mirror(clock, lines, compose())
    changed = await mirror.take(compose(log_entries=len(lines.lines)))
    assert set(changed) == {incident.record.id for incident in known.incidents()}
    assert mirror.book.head == known.head
    assert mirror.book.incidents() == known.incidents()
    assert await mirror.take(compose(log_entries=len(lines.lines))) == []


@pytest.mark.parametrize("flaw", ["forged", "lacking", "in another order"])
async def test_entry_that_is_not_the_leaders_ends_the_host(clock: HandClock, flaw: str) -> None:
    lines = [entry.line for entry in book(silence(), blocking()).entries]
    if flaw == "forged":
        lines[1] = lines[1].replace(b'"KZ"', b'"DE"')
    elif flaw == "lacking":
        del lines[0]
    else:
        lines[0], lines[1] = lines[1], lines[0]
    mirror = build_mirror(clock, Lines(lines), compose())
    with pytest.raises(ForgedLogError, match="of the shared log"):
        await mirror.take(compose(log_entries=len(lines)))


async def test_log_of_another_key_ends_the_host(clock: HandClock) -> None:
    mirror = build_mirror(clock, Lines(), compose())
    with pytest.raises(ForgedLogError, match="Another key"):
        await mirror.take(compose(public_key=b"o" * 32))


async def test_silent_leader_leaves_no_present(clock: HandClock, tmp_path: Path) -> None:
    """The store still answers, so a country that went dark meanwhile would look green."""
    mirror = build_mirror(clock, Lines(), compose())
    feed = build_feed(mirror, clock, tmp_path)
    clock.advance_us(STALE_US + SECOND_US)
    now_us = clock.wall_us()
    with pytest.raises(StoreError, match="not heard"):
        await feed.votes(now_us - HOUR_US, now_us, 900)
    with pytest.raises(StoreError, match="not heard"):
        await feed.silences(now_us - HOUR_US, now_us, 900)
    with pytest.raises(StoreError, match="not heard"):
        await feed.wide(now_us - HOUR_US, now_us, 900, wider=())
    day_us = NOW_US // DAY_US * DAY_US
    with pytest.raises(StoreError, match="not heard"):
        await feed.totals(AggregationQuery(since_us=day_us, until_us=day_us + DAY_US, k=5))
    assert await feed.totals(AggregationQuery(since_us=day_us - DAY_US, until_us=day_us, k=5)) == []
    assert await feed.votes(NOW_US - DAY_US, NOW_US - HOUR_US, 900) == [GREEN]
    assert feed.problems() == ["The collector that leads was last heard 11 s ago."]
    (gap,) = [gap for gap in feed.list_gaps(NOW_US - MINUTE_US, now_us) if gap.until_us is None]
    assert (gap.since_us, gap.country) == (NOW_US, "")


async def test_present_is_back_with_the_next_report(clock: HandClock, tmp_path: Path) -> None:
    mirror = build_mirror(clock, Lines(), compose())
    feed = build_feed(mirror, clock, tmp_path)
    clock.advance_us(60 * SECOND_US)
    await mirror.take(compose(at_us=clock.wall_us(), run="another"))
    assert await feed.votes(clock.wall_us() - HOUR_US, clock.wall_us(), 900) == [GREEN]
    assert feed.problems() == []
    assert all(gap.until_us for gap in feed.list_gaps(0, clock.wall_us()))


async def test_problems_of_the_leader_are_the_hosts(clock: HandClock) -> None:
    mirror = build_mirror(clock, Lines(), compose(problems=["The detectors are 90 s behind."]))
    assert mirror.problems() == ["The detectors are 90 s behind."]


def test_changed_times_are_those_of_stored_blocks() -> None:
    reporter = build_reporter()
    reporter.on_block(block(1, 1, (taken(1), (reachable(),))))
    report = compose(reporter)
    assert report.touched_us == [taken(1).started_us]
    assert compose(reporter).touched_us == []


def test_after_a_lost_report_the_last_hour_is_read_again() -> None:
    reporter = build_reporter()
    first, second, third = compose(reporter), compose(reporter), compose(reporter)
    assert list_touched(first, second) == []
    hour = range(NOW_US - HOUR_US, NOW_US, MINUTE_US)
    assert list_touched(first, third) == hour
    assert list_touched(third, msgspec.structs.replace(third, run="another", number=4)) == hour
    assert list_touched(second, msgspec.structs.replace(third, touched_us=None)) == hour


async def test_live_readers_hear_of_new_incidents_and_gaps(clock: HandClock) -> None:
    known = book(silence())
    lines = Lines()
    mirror = build_mirror(clock, lines, compose())
    bus = EventBus("t")
    touched: list[Sequence[int]] = []
    nothing: Any = SimpleNamespace()
    publish: Any = SimpleNamespace(touch=touched.append)
    parts = HostParts(mirror, nothing, nothing, publish, IncidentEvents(bus, {}, 5))

    async def reports() -> AsyncIterator[PublicReport]:
        lines.lines = [entry.line for entry in known.entries]
        stall = BlindTime(since_us=NOW_US, until_us=None, reason="stalled")
        yield compose(number=2, log_entries=len(lines.lines), gaps=[GAP, stall], touched_us=[5])

    with bus.subscribe() as subscription:
        await follow_reports(parts, reports())
        events = subscription.events(0.01)
        names = [event.name for event in (await anext(events), await anext(events)) if event]
    assert names == ["incident", "coverage"]
    assert touched == [[5]]


class FullServers(MessageSender):
    """Servers that take no message, until the third."""

    def __init__(self) -> None:
        self.count = 0
        self.is_taken = asyncio.Event()

    async def publish(self, topic: str, content: bytes) -> bool:
        self.count += 1
        if self.count == 3:
            self.is_taken.set()
        return self.count >= 3


async def test_reports_that_are_not_sent_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(public_report, "REPORT_S", 0.0)
    servers = FullServers()
    run = PublicReporter(servers, "run", "7").run(
        World().feed(list_gaps=lambda since_us, until_us: []), Notes()
    )
    task = asyncio.ensure_future(run)
    await servers.is_taken.wait()
    task.cancel()
    assert caplog.text.count("hear nothing") == 1


def test_publish_runs_alone() -> None:
    assert check_roles(["publish"]) == {"publish"}
    with pytest.raises(ValueError, match="go together"):
        check_roles(["publish", "jobs"])


async def test_a_missing_secret_is_named_before_any_agent_can_connect(tmp_path: Path) -> None:
    receiver = Receiver(
        name="newsroom",
        kind=ReceiverKind.WEBHOOK,
        url="https://news.example/hook",
        secret_file=tmp_path / "none",
    )
    config = Config(data=tmp_path / "data", alerts=(receiver,))
    with pytest.raises(CannotServeError, match="secret_file of the alerts to newsroom"):
        async with run_collector(config):
            pass
    assert not (tmp_path / "data" / "journal.db").exists(), "an entrance was open for a while"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "store.journal"),
        ({"journal": JournalSettings(urls=("nats://127.0.0.1:1",))}, "store.url"),
    ],
)
async def test_missing_server_is_named(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    config = Config(data=tmp_path / "data", roles=frozenset({"publish"}), **changes)
    with pytest.raises(CannotServeError, match=sentence):
        async with run_collector(config):
            pass
