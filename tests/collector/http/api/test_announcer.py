"""Changes in the world become events, and nothing else does."""

import json
from typing import Any

from heliograph.observation import Link
from heliograph_collector.http.api.announcer import Announcer
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.http.event_bus import Bus
from heliograph_collector.model.records import State
from heliograph_collector.store.clickhouse import StoreError
from support.evening import evening
from support.fake_feed import BIN_US, NOW_US, World, crowd


class Ear(Bus):
    """A bus that remembers all it was told."""

    def __init__(self) -> None:
        super().__init__("t")
        self.heard: list[tuple[str, Any]] = []

    def publish(self, name: str, data: str) -> None:
        self.heard.append((name, json.loads(data)))


def listen(world: World, **changes: Any) -> tuple[Announcer, Ear]:
    ear = Ear()
    return Announcer(world.feed(bus=ear, **changes)), ear


def turn(world: World) -> None:
    world.clock.advance_us(2_000_000)


async def test_a_cell_that_changes_is_one_event() -> None:
    world = evening()
    announcer, ear = listen(world)
    await announcer.look()
    turn(world)
    await announcer.look()
    assert ear.heard == []
    world.votes += crowd(60, State.DOWN, NOW_US, NOW_US + BIN_US, service="signal")
    turn(world)
    await announcer.look()
    ((name, cell),) = [item for item in ear.heard if item[0] == "cell"]
    assert name == "cell"
    assert (cell["country"], cell["asn"], cell["access"]) == ("KZ", 9198, "fixed")
    assert (cell["service"], cell["state"]) == ("signal", "down")
    assert cell["counts"]["down"] == "20-49"


async def test_coverage_that_changes_is_one_event() -> None:
    world = evening()
    announcer, ear = listen(world)
    await announcer.look()
    world.agents = AgentCounts(controls=0)
    turn(world)
    await announcer.look()
    assert [(name, data["controls"]) for name, data in ear.heard] == [("coverage", 0)]


async def test_few_vantages_make_no_event() -> None:
    world = World()
    announcer, ear = listen(world)
    await announcer.look()
    world.votes += crowd(4, State.BLOCKED, NOW_US, NOW_US + BIN_US)
    turn(world)
    await announcer.look()
    assert [name for name, _ in ear.heard] == ["coverage"]
    assert ear.heard[0][1]["withheld_groups"] == 1


async def test_a_group_that_is_no_longer_shown_is_taken_back() -> None:
    world = World()
    world.links = [LinkCount(country="KZ", asn=1, access="fixed", link=Link.ONLINE, vantages=6)]
    announcer, ear = listen(world)
    await announcer.look()
    world.links = []
    turn(world)
    await announcer.look()
    gone = [data for name, data in ear.heard if name == "cell"]
    assert [(data["service"], data["state"]) for data in gone] == [
        ("telegram", "unknown"),
        ("whatsapp", "unknown"),
        ("signal", "unknown"),
    ]


async def test_a_store_that_is_away_stops_nothing() -> None:
    world = evening()

    async def votes(*_: Any, **__: Any) -> Any:
        raise StoreError("away")

    announcer, ear = listen(world, votes=votes)
    await announcer.look()
    assert ear.heard == []
