"""Withdrawn prefixes: a majority of peers, known prefixes, whole minutes, bounds."""

from collections.abc import Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.corroborate.routes import (
    MAX_MINUTES,
    MAX_PEERS,
    MAX_PREFIXES,
    Minute,
    Routes,
    Update,
)

START_US = 1_641_380_400_000_000 // MINUTE_US * MINUTE_US
PEERS = ("a", "b", "c", "d", "e")
FIVE = tuple(f"2.72.{i}.0/24" for i in range(5))


def announce(routes: Routes, prefixes: Sequence[str], origin: int = 9198) -> None:
    for peer in PEERS:
        routes.apply_update(Update(peer, origin, tuple(prefixes), ()))


def withdraw(routes: Routes, prefixes: Sequence[str], peers: Sequence[str] = PEERS) -> None:
    for peer in peers:
        routes.apply_update(Update(peer, 0, (), tuple(prefixes)))


def count(routes: Routes, minute: int = 1) -> list[Minute]:
    """Minutes of the network up to so many minutes after the start."""
    routes.tick(START_US + minute * MINUTE_US)
    return routes.minutes([9198])


def listening(*asns: int) -> Routes:
    routes = Routes()
    routes.follow(asns or (9198,))
    routes.on_subscribed(START_US)
    return routes


def test_what_most_peers_withdrew_is_gone_and_comes_back() -> None:
    routes = listening()
    announce(routes, FIVE)
    routes.tick(START_US + MINUTE_US)
    withdraw(routes, FIVE[:2])
    routes.tick(START_US + 2 * MINUTE_US)
    announce(routes, FIVE[:1])
    assert count(routes, 3) == [
        Minute(START_US, 5, 0),
        Minute(START_US + MINUTE_US, 5, 2),
        Minute(START_US + 2 * MINUTE_US, 5, 1),
    ]


def test_one_peer_or_two_take_no_prefix_away() -> None:
    routes = listening()
    announce(routes, FIVE)
    withdraw(routes, FIVE, PEERS[:2])
    assert count(routes)[0].withdrawn_prefixes == 0


def test_three_of_seven_are_no_majority_and_two_alone_are_too_few() -> None:
    routes = listening()
    announce(routes, FIVE[:1])
    for peer in ("f", "g"):
        routes.apply_update(Update(peer, 9198, FIVE[:1], ()))
    withdraw(routes, FIVE[:1], PEERS[:3])
    routes.apply_update(Update("a", 9198, FIVE[1:2], ()))
    withdraw(routes, FIVE[1:2], PEERS[:2])
    assert count(routes) == [Minute(START_US, 2, 0)]


def test_a_withdrawal_of_what_nobody_knows_is_nothing() -> None:
    routes = listening()
    withdraw(routes, FIVE)
    assert count(routes) == [Minute(START_US, 0, 0)]


def test_other_peoples_networks_are_not_learnt() -> None:
    routes = listening()
    assert routes.apply_update(Update("a", 9198, FIVE, ())) is True
    assert routes.apply_update(Update("a", 9198, FIVE, ())) is False
    assert routes.apply_update(Update("a", 13335, ("1.1.1.0/24",), ())) is False
    assert routes.prefixes == list(FIVE)


def test_the_operators_prefixes_are_known_from_the_start() -> None:
    routes = Routes({"2.72.0.0/13": 9198, "1.1.1.0/24": 13335})
    routes.follow([9198])
    assert routes.prefixes == ["2.72.0.0/13"]


def test_a_minute_not_heard_from_end_to_end_is_none() -> None:
    routes = Routes()
    routes.follow([9198])
    routes.tick(START_US)
    routes.on_subscribed(START_US + 1)
    assert count(routes) == []
    routes.tick(START_US + 2 * MINUTE_US)
    routes.on_disconnect()
    routes.tick(START_US + 9 * MINUTE_US)
    assert [m.at_us for m in routes.minutes([9198])] == [START_US + MINUTE_US]


def test_after_a_break_what_was_withdrawn_is_not_known_to_be_so() -> None:
    routes = listening()
    announce(routes, FIVE)
    withdraw(routes, FIVE)
    routes.on_disconnect()
    routes.on_subscribed(START_US + MINUTE_US)
    assert count(routes, 2) == [Minute(START_US + MINUTE_US, 5, 0)]


def test_a_country_is_its_networks_together() -> None:
    routes = listening(9198, 29355)
    announce(routes, FIVE)
    announce(routes, ("5.34.0.0/17",), 29355)
    withdraw(routes, ("5.34.0.0/17",))
    routes.tick(START_US + MINUTE_US)
    assert routes.minutes([9198, 29355]) == [Minute(START_US, 6, 1)]
    routes.follow([9198])
    assert (routes.minutes([29355]), routes.prefixes) == ([], list(FIVE))


def test_a_flood_fills_no_memory() -> None:
    routes = listening()
    for i in range(MAX_PREFIXES * 2):
        routes.apply_update(Update("a", 9198, (f"2.{i >> 8}.{i & 255}.0/24",), ()))
    for i in range(10_000):
        routes.apply_update(Update(f"peer {i}", 0, (), ("2.0.0.0/24",)))
    assert len(routes.prefixes) == MAX_PREFIXES
    assert len(routes._peers) <= 4_096
    assert len(routes._prefixes["2.0.0.0/24"].withdrew_by_peer) == MAX_PEERS


def test_of_long_ago_nothing_is_kept() -> None:
    routes = listening()
    announce(routes, FIVE)
    for minute in range(MAX_MINUTES * 2):
        routes.tick(START_US + minute * MINUTE_US)
    assert len(routes.minutes([9198])) == MAX_MINUTES
