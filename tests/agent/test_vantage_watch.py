"""When a new epoch begins, and when none does."""

import asyncio
from dataclasses import dataclass

from heliograph.observation import Access
from heliograph_agent.runtime.vantage import SETTLED_US, Declared, VantageWatch
from support.hand_clock import HandClock
from support.virtual_time import VirtualClock, run_virtually


@dataclass(frozen=True)
class Network:
    fingerprint: str
    ipv4: bool = True
    ipv6: bool = False


HOME, CAFE, NONE = Network("home"), Network("cafe"), Network("none", ipv4=False)


class Walk:
    """A volunteer who takes the laptop from network to network."""

    def __init__(self, network: Network, declared: Declared | None = None) -> None:
        self.network = network
        self.clock = HandClock()
        self.watch = VantageWatch(lambda: self.network, self.clock, declared)

    def stay(self, network: Network, seconds: int) -> list[str]:
        """Look once a second; the fingerprints of the epochs that began."""
        self.network = network
        began = []
        for _ in range(seconds):
            if self.watch.check():
                began.append(network.fingerprint)
            self.clock.advance_us(1_000_000)
        return began


def test_the_first_network_is_the_first_epoch() -> None:
    declared = Declared(country="KZ", region="KZ-ALA", access=Access.MOBILE)
    walk = Walk(HOME, declared)
    epoch = walk.watch.epoch
    assert (epoch.country, epoch.region, epoch.access) == ("KZ", "KZ-ALA", Access.MOBILE)
    assert (epoch.ipv4, epoch.ipv6) == (True, False)
    assert epoch.started_us == walk.clock.wall_us()
    assert walk.stay(HOME, 60) == []
    assert walk.watch.epoch is epoch


def test_another_network_begins_another_epoch_once_it_has_stayed() -> None:
    walk = Walk(HOME)
    first = walk.watch.epoch
    moved_us = walk.clock.wall_us()
    assert walk.stay(CAFE, 60) == ["cafe"]
    assert walk.watch.epoch.id != first.id
    assert walk.watch.epoch.started_us == moved_us, "it began when it was first seen"


def test_the_same_network_again_is_a_new_epoch_that_cannot_be_linked() -> None:
    walk = Walk(HOME)
    ids = [walk.watch.epoch.id]
    for network in (CAFE, HOME, CAFE):
        walk.stay(network, 20)
        ids.append(walk.watch.epoch.id)
    assert len(set(ids)) == 4


def test_a_network_that_flickers_is_none() -> None:
    walk = Walk(HOME)
    for _ in range(20):
        assert walk.stay(CAFE, SETTLED_US // 2_000_000) == []
        assert walk.stay(HOME, 2) == []


def test_a_network_that_is_merely_gone_ends_nothing() -> None:
    walk = Walk(HOME)
    epoch = walk.watch.epoch
    assert walk.stay(NONE, 3_600) == []
    assert walk.stay(HOME, 60) == []
    assert walk.watch.epoch is epoch


def test_a_start_without_a_network_waits_for_one() -> None:
    walk = Walk(NONE)
    assert not walk.watch.epoch.ipv4
    assert walk.stay(HOME, 60) == ["home"]
    assert walk.watch.epoch.ipv4


def test_a_tunnel_that_comes_and_goes_inside_a_network_is_seen() -> None:
    walk = Walk(HOME)
    tunnel = Network("home+tunnel", ipv6=True)
    assert walk.stay(tunnel, 20) + walk.stay(HOME, 20) == ["home+tunnel", "home"]


def test_changes_are_told_as_they_happen() -> None:
    async def story(clock: VirtualClock) -> list[str]:
        networks = iter([HOME] * 5 + [CAFE] * 5 + [HOME] * 5)
        watch = VantageWatch(lambda: next(networks, HOME), clock)
        told = []
        async with asyncio.timeout(300):
            async for epoch in watch.changes():
                told.append(epoch.id)
                if len(told) == 2:
                    break
        return told

    assert len(set(run_virtually(story))) == 2


def test_this_machine_can_be_looked_at() -> None:
    from heliograph_agent.net.local_addresses import local_view

    watch = VantageWatch(local_view, HandClock())
    assert watch.check() is False
