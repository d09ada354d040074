"""The bus has a size limit, and a reader that misses events gets a notice."""

from contextlib import ExitStack

import pytest

from heliograph.network_shares import NetworkKey, share_of
from heliograph_collector.http.event_bus import (
    RESYNC,
    BusEvent,
    BusFullError,
    EventBus,
    Subscription,
)


async def heard(subscription: Subscription, n: int) -> list[BusEvent]:
    found: list[BusEvent] = []
    async for event in subscription.events(5):
        assert event is not None
        found.append(event)
        if len(found) == n:
            break
    return found


async def test_a_reader_hears_what_comes_after_it_came() -> None:
    bus = EventBus("b")
    bus.publish("cell", "0")
    with bus.subscribe() as subscription:
        bus.publish("cell", "1")
        bus.publish("coverage", "2")
        events = await heard(subscription, 2)
    assert events == [BusEvent("b-2", "cell", "1"), BusEvent("b-3", "coverage", "2")]
    assert bus.readers == 0


async def test_a_returning_reader_gets_missed_events() -> None:
    bus = EventBus("b")
    for n in range(1, 6):
        bus.publish("cell", str(n))
    with bus.subscribe("b-3") as subscription:
        bus.publish("cell", "6")
        assert [e.data for e in await heard(subscription, 3)] == ["4", "5", "6"]


@pytest.mark.parametrize(
    "last_id", ["a-3", "b-99", "b--1", "b-x", "nonsense", "b-", "b-" + "9" * 60, "b-\u0663"]
)
async def test_an_id_that_cannot_be_followed_means_resync(last_id: str) -> None:
    bus = EventBus("b")
    bus.publish("cell", "1")
    with bus.subscribe(last_id) as subscription:
        assert (await heard(subscription, 1))[0].name == RESYNC


async def test_too_long_away_means_resync() -> None:
    bus = EventBus("b", memory=3)
    for n in range(1, 8):
        bus.publish("cell", str(n))
    with bus.subscribe("b-3") as subscription:
        assert (await heard(subscription, 1))[0] == BusEvent("b-7", RESYNC, "{}")
    with bus.subscribe("b-4") as subscription:
        assert [e.data for e in await heard(subscription, 3)] == ["5", "6", "7"]


async def test_a_slow_reader_is_disconnected_with_notice_and_others_are_not() -> None:
    bus = EventBus("b", queue=3)
    with bus.subscribe() as slow, bus.subscribe() as quick:
        for n in range(1, 4):
            bus.publish("cell", str(n))
        assert len(await heard(quick, 3)) == 3
        bus.publish("cell", "4")
        assert [e.data for e in await heard(quick, 1)] == ["4"]
        left = [event async for event in slow.events(5)]
    assert [(e.id, e.name) for e in left if e] == [("b-4", RESYNC)]


async def test_silence_is_filled_with_heartbeats() -> None:
    with EventBus("b").subscribe() as subscription:
        async for event in subscription.events(0.001):
            assert event is None
            break


async def test_there_is_room_for_so_many_and_no_more() -> None:
    bus = EventBus("b", readers=1)
    with bus.subscribe(), pytest.raises(BusFullError), bus.subscribe():
        pass
    with bus.subscribe():
        assert bus.readers == 1


async def test_a_network_has_its_share_of_the_seats_and_another_gets_in() -> None:
    bus = EventBus("b", readers=1_000)
    site, elsewhere = [NetworkKey("24", "a")], [NetworkKey("24", "b"), NetworkKey("asn", "1")]
    with ExitStack() as seats:
        for _ in range(share_of(1_000, "24")):
            seats.enter_context(bus.subscribe("", site))
        with pytest.raises(BusFullError):
            seats.enter_context(bus.subscribe("", site))
        seats.enter_context(bus.subscribe("", elsewhere))
    with bus.subscribe("", site):
        assert bus.readers == 1


async def test_a_crowd_that_takes_all_seats_makes_room_for_another_network() -> None:
    bus = EventBus("b", readers=40)  # so a /24 has 2
    with ExitStack() as seats:
        first, *_ = [
            seats.enter_context(bus.subscribe("", [NetworkKey("24", str(n % 20))]))
            for n in range(40)
        ]
        seats.enter_context(bus.subscribe("", [NetworkKey("24", "newsroom")]))
        assert [e.name async for e in first.events(5) if e] == [RESYNC], "it may come again"
        seats.enter_context(bus.subscribe())  # a part of the collector
        assert bus.readers == 40
        with pytest.raises(BusFullError):
            seats.enter_context(bus.subscribe("", [NetworkKey("24", "7")]))
    with bus.subscribe():
        assert bus.readers == 1


async def test_closing_lets_everybody_go() -> None:
    bus = EventBus("b")
    with bus.subscribe() as subscription:
        bus.close()
        assert [e.name async for e in subscription.events(5) if e] == [RESYNC]
