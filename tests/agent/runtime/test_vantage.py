"""When a new epoch begins, and when none does."""

from dataclasses import dataclass

import pytest

from heliograph.observation import Access
from heliograph_agent.runtime.vantage import STABLE_US, DeclaredVantage, VantageTracker
from support.hand_clock import HandClock


@dataclass(frozen=True)
class Network:
    fingerprint: str
    ipv4: bool = True
    ipv6: bool = False


HOME, CAFE, NONE = Network("home"), Network("cafe"), Network("none", ipv4=False)
TUNNEL = Network("home+tunnel", ipv6=True)


class MovingLaptop:
    """A tracker on a machine that changes networks."""

    def __init__(self, network: Network, declared: DeclaredVantage | None = None) -> None:
        self.clock = HandClock()
        self.tracker = VantageTracker(network, self.clock, declared)

    def stay(self, network: Network, seconds: int) -> list[str]:
        """Look once a second; the fingerprints of the epochs that began."""
        began = []
        for _ in range(seconds):
            if self.tracker.check_network(network):
                began.append(network.fingerprint)
            self.clock.advance_us(1_000_000)
        return began


def test_first_network_begins_first_epoch() -> None:
    declared = DeclaredVantage(country="KZ", region="KZ-ALA", access=Access.MOBILE)
    laptop = MovingLaptop(HOME, declared)
    epoch = laptop.tracker.epoch
    assert (epoch.country, epoch.region, epoch.access) == ("KZ", "KZ-ALA", Access.MOBILE)
    assert (epoch.ipv4, epoch.ipv6) == (True, False)
    assert epoch.started_us == laptop.clock.wall_us()
    assert laptop.stay(HOME, 60) == []
    assert laptop.tracker.epoch is epoch


@pytest.mark.parametrize(
    ("stays", "began"),
    [
        pytest.param([(CAFE, 60)], ["cafe"], id="stable"),
        pytest.param([(CAFE, 20), (HOME, 20), (CAFE, 20)], ["cafe", "home", "cafe"], id="returned"),
        pytest.param([(CAFE, STABLE_US // 2_000_000), (HOME, 2)] * 20, [], id="flickering"),
        pytest.param([(NONE, 3_600), (HOME, 60)], [], id="lost"),
        pytest.param([(TUNNEL, 20), (HOME, 20)], ["home+tunnel", "home"], id="tunnel"),
    ],
)
def test_epochs_of_networks(stays: list[tuple[Network, int]], began: list[str]) -> None:
    laptop = MovingLaptop(HOME)
    epochs = [laptop.tracker.epoch.id]
    fingerprints = []
    for network, seconds in stays:
        changed_us = laptop.clock.wall_us()
        begun = laptop.stay(network, seconds)
        fingerprints += begun
        if begun:
            epochs.append(laptop.tracker.epoch.id)
            assert laptop.tracker.epoch.started_us == changed_us, "since it was first seen"
    assert fingerprints == began
    assert laptop.tracker.epoch.id == epochs[-1]
    assert len(set(epochs)) == 1 + len(began), "ids of one network cannot be linked"


def test_start_without_network() -> None:
    laptop = MovingLaptop(NONE)
    assert not laptop.tracker.epoch.ipv4
    assert laptop.stay(HOME, 60) == ["home"]
    assert laptop.tracker.epoch.ipv4


def test_tracker_on_this_machine() -> None:
    from heliograph_agent.net.local_addresses import read_local_view

    tracker = VantageTracker(read_local_view(), HandClock())
    assert tracker.check_network(read_local_view()) is False
