"""Changes of cells, incidents and coverage become events, as far as the API shows."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from heliograph_collector.http.api import stream
from heliograph_collector.http.api.stream import CellEvents
from heliograph_collector.http.backend import AgentCounts
from heliograph_collector.http.event_bus import EventBus
from heliograph_collector.http.published_incidents import IncidentEvents
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.records import BlindTime, VerdictState
from heliograph_collector.store.clickhouse import StoreError
from support.dark_country import CUT_US, country_before_the_cut, cut
from support.fake_feed import BIN_US, NOW_US, TITLES, World, crowd
from support.incident_book import TELEGRAM, book, evening_book, part, silence
from support.kazakhstan_votes import evening
from support.site import Serve, raising
from support.values import present


class RecordingBus(EventBus):
    """A bus that records what was published."""

    def __init__(self) -> None:
        super().__init__("t")
        self.published: list[tuple[str, Any]] = []

    def publish(self, name: str, data: str, *about: Any, **translated: Any) -> None:
        self.published.append((name, json.loads(data)))


async def start(world: World, **changes: Any) -> tuple[CellEvents, RecordingBus]:
    """Start events of `world` after a first look."""
    bus = RecordingBus()
    events = CellEvents(world.feed(bus=bus, **changes))
    await events.publish_changes()
    return events, bus


async def publish_later(events: CellEvents, world: World) -> None:
    world.clock.advance_us(BIN_US // 2)  # beyond the next instant of publication
    await events.publish_changes()


async def test_changed_cell_is_one_event() -> None:
    world = evening()
    events, bus = await start(world)
    world.votes += crowd(60, VerdictState.DOWN, NOW_US, NOW_US + BIN_US, service="signal")
    world.clock.advance_us(2_000_000)
    await events.publish_changes()
    assert bus.published == [], "the bin is not over"
    await publish_later(events, world)
    cells = [data for name, data in bus.published if name == "cell"]
    (cell,) = [c for c in cells if (c["asn"], c["service"]) == (9198, "signal")]
    assert (cell["country"], cell["asn"], cell["access"]) == ("KZ", 9198, "fixed")
    assert (cell["service"], cell["state"]) == ("signal", "down")
    assert cell["counts"]["down"] == "20-49"


async def test_changed_coverage_is_one_event() -> None:
    world = evening()
    events, bus = await start(world)
    world.agents = AgentCounts(controls=0)
    await publish_later(events, world)
    assert [d["controls"] for name, d in bus.published if name == "coverage"] == [0]


async def test_few_vantages_make_no_cell_event() -> None:
    world = World()
    events, bus = await start(world)
    world.votes += crowd(4, VerdictState.BLOCKED, NOW_US, NOW_US + BIN_US)
    await publish_later(events, world)
    assert bus.published == []


async def test_group_no_longer_shown_is_taken_back() -> None:
    world = World()
    world.votes += crowd(6, VerdictState.BLOCKED, NOW_US - BIN_US, NOW_US)
    events, bus = await start(world)
    world.votes.clear()
    await publish_later(events, world)
    cells = [data for name, data in bus.published if name == "cell"]
    states = [(data["service"], data["state"]) for data in cells]
    assert ("telegram", "unknown") in states


async def test_store_that_is_away_stops_nothing() -> None:
    _, bus = await start(evening(), votes=raising(StoreError("away")))
    assert bus.published == []


async def test_incident_event_is_the_incident_of_the_api(serve: Serve) -> None:
    bus, log, id_ = RecordingBus(), evening_book(), TELEGRAM
    IncidentEvents(bus, TITLES, 5).publish_incident(log, id_)
    document = await (await serve(World().feed(book=log))).json(f"/api/v1/incidents/{id_}")
    assert document.pop("corroboration") == []  # comes later, from sources outside
    assert bus.published == [("incident", document)]


def test_incident_of_few_makes_no_event() -> None:
    bus = RecordingBus()
    log = book(silence(parts=(part(3.0, "UZ"),)))
    IncidentEvents(bus, TITLES, 5).publish_incident(log, silence().id)
    assert bus.published == []


def test_gap_names_no_country_without_a_shown_incident() -> None:
    """A gap names no country without a public incident, to hide small fleets."""
    bus = RecordingBus()
    gap = BlindTime(since_us=NOW_US, until_us=None, reason="carrier")
    for country in ("", "KZ", "UZ"):
        IncidentEvents(bus, TITLES, 5).publish_gap(book(silence()), replace(gap, country=country))
    IncidentEvents(bus, TITLES, 1).publish_gap(book(), replace(gap, country="UZ"))
    assert {name for name, _ in bus.published} == {"coverage"}
    gaps = [data for _, data in bus.published]
    assert [data.get("country") for data in gaps] == ["", "KZ", None, "UZ"]
    assert gaps[2] == {"ask": "/api/v1/coverage"}


def test_the_moment_at_which_one_vantage_comes_or_goes_is_no_event() -> None:
    bus = RecordingBus()
    gap = BlindTime(since_us=NOW_US, until_us=None, reason="too_few_vantages", country="KZ")
    IncidentEvents(bus, TITLES, 5).publish_gap(book(silence()), gap)
    assert bus.published == []


async def test_a_dark_place_is_told_at_once_though_no_block_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A silence is no block: readers of the stream heard of it up to 15 s after all pages."""
    monkeypatch.setattr(stream, "MIN_PAUSE_S", 0.01)
    monkeypatch.setattr(stream, "MAX_LOOKS", 1_000_000)  # without a change it waits for hours
    world = country_before_the_cut()
    world.clock.wall = CUT_US
    feed = world.feed()
    events = CellEvents(feed)
    await events.publish_changes()
    german, kazakh = cut(IncidentState.CONFIRMED, "DE"), cut(IncidentState.CONFIRMED, "KZ")
    with feed.bus.subscribe() as subscription:
        told = subscription.events(60)
        task = asyncio.create_task(events.run())
        async with asyncio.timeout(60):
            feed.book = book(german)
            assert present(await anext(told)).country == "DE"
            feed.book = book(german, replace(kazakh, id="5e20"))
            assert present(await anext(told)).country == "KZ"
        task.cancel()
