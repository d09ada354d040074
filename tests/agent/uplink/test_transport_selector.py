"""Which way is tried when: decisions alone, no clock and no network."""

import random
from dataclasses import dataclass, field

import pytest

from heliograph.plan import Carrier, Entrance
from heliograph_agent.uplink.transport_selector import FIRST_PROBE_S, JITTER, MOST_PROBE_S, Ladder
from heliograph_agent.uplink.transports import Rung, Use, rungs

HOST = "collector.example"
STREAM = Entrance(carrier=Carrier.STREAM, host=HOST, port=7443)
POST = Entrance(carrier=Carrier.POST, host=HOST, port=7444)
FRONT = Entrance(carrier=Carrier.POST, host="192.0.2.1", port=443, server_name="www.example.net")
OTHER = Entrance(carrier=Carrier.STREAM, host="other.example", port=7443)
LISTED = (OTHER, FRONT, POST, STREAM)
WAYS = rungs(f"{HOST}:7443", (STREAM, POST, FRONT), Use.LAST)


def entrances(ways: tuple[Rung, ...]) -> list[tuple[Entrance, bool]]:
    return [(way.entrance, way.proxied) for way in ways]


def test_the_session_first_then_one_envelope_at_a_time_then_as_listed() -> None:
    ways = rungs(f"{HOST}:7443", LISTED, None)
    assert [way.entrance for way in ways] == [STREAM, FRONT, OTHER, POST]


def test_without_a_list_there_is_the_endpoint_that_was_joined() -> None:
    assert entrances(rungs(f"{HOST}:7443", (), None)) == [(STREAM, False)]
    (six,) = rungs("[2001:db8::1]:7443", (), None)
    assert six.name == "stream://[2001:db8::1]:7443"


def test_a_proxy_comes_last_or_nothing_goes_past_it() -> None:
    last = entrances(rungs(f"{HOST}:7443", (POST,), Use.LAST))
    assert last == [(STREAM, False), (POST, False), (STREAM, True), (POST, True)]
    assert entrances(rungs(f"{HOST}:7443", (POST,), Use.ALWAYS)) == last[2:]


def test_every_way_has_a_name_of_its_own() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS) == 6
    assert Rung(FRONT, proxied=True).name == "post://192.0.2.1:443 as www.example.net by proxy"


@dataclass
class Climb:
    """A ladder with its own time, in seconds."""

    ladder: Ladder = field(default_factory=Ladder)
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    at_s: float = 0.0

    @property
    def now_us(self) -> int:
        return int(self.at_s * 1e6)

    def next(self) -> int:
        return WAYS.index(self.ladder.next(WAYS, self.now_us, self.rng))

    def fail(self) -> bool:
        return self.ladder.failed(WAYS[self.next()], self.now_us, self.rng)

    def hold(self) -> bool:
        return self.ladder.held(WAYS[self.next()], WAYS, self.now_us, self.rng)

    def wait_for_probe(self) -> float:
        waited_s = self.ladder.probe_in_s(self.now_us)
        assert waited_s is not None
        self.at_s += waited_s + 0.001
        return waited_s


def test_a_pass_tries_each_way_once_and_then_rests() -> None:
    climb = Climb()
    tried = []
    for _ in WAYS:
        tried.append(climb.next())
        rested = climb.fail()
    assert (tried, rested) == ([0, 1, 2, 3, 4, 5], True)
    assert climb.next() == 0


def test_the_way_that_delivered_last_is_tried_first() -> None:
    climb = Climb()
    climb.fail()
    assert climb.hold(), "it is news"
    assert not climb.hold()
    climb.fail()
    assert climb.next() == 0, "and the others still follow, best first"


def test_better_ways_are_looked_at_again_ever_more_rarely() -> None:
    climb = Climb()
    climb.fail()
    climb.hold()
    waits = []
    for _ in range(12):
        waits.append(climb.wait_for_probe())
        assert climb.next() == 0, "the better one, though another is good"
        climb.fail()
        assert climb.next() == 1, "and back"
        climb.hold()
    planned = [min(MOST_PROBE_S, FIRST_PROBE_S * 2**n) for n in range(12)]
    assert all(
        (1 - JITTER) * p - 1 <= w <= (1 + JITTER) * p + 1
        for w, p in zip(waits, planned, strict=True)
    )
    assert len({w / p for w, p in zip(waits, planned, strict=True)}) > 6, "nobody marches in step"


def test_a_better_way_that_holds_is_the_good_one_and_the_best_is_not_probed() -> None:
    climb = Climb()
    climb.fail()
    climb.hold()
    climb.wait_for_probe()
    assert climb.next() == 0
    assert climb.hold()
    assert climb.ladder.probe_in_s(climb.now_us) is None
    assert climb.ladder.probes == 0


def test_a_session_that_begins_well_and_freezes_again_counts_as_a_failed_look() -> None:
    climb = Climb()
    climb.fail()
    climb.hold()
    for expected in (1, 2, 3):
        climb.wait_for_probe()
        climb.fail()
        climb.hold()
        assert climb.ladder.probes == expected


def test_after_a_restart_the_remembered_way_is_first_and_the_look_is_not_at_once() -> None:
    climb = Climb(Ladder(good=WAYS[2].name, probes=3))
    assert climb.next() == 2
    climb.hold()
    assert climb.wait_for_probe() >= (1 - JITTER) * FIRST_PROBE_S * 8


def test_on_another_network_the_best_is_tried_first() -> None:
    climb = Climb(Ladder(good=WAYS[3].name, probes=9))
    climb.next()
    climb.hold()
    climb.ladder.moved()
    assert climb.next() == 0
    assert climb.ladder.probes == 0


def test_a_list_that_changes_under_a_climb_is_followed() -> None:
    climb = Climb(Ladder(good="post://gone.example:1"))
    fewer = WAYS[:2]
    assert climb.ladder.next(WAYS, 0, climb.rng) == WAYS[0]
    climb.fail()
    climb.fail()
    assert climb.ladder.next(fewer, 0, climb.rng) == WAYS[0], "what is listed no more is not tried"


@pytest.mark.parametrize("endpoint", ["", "host", "host:0", "host:x"])
def test_an_endpoint_that_is_none_is_said(endpoint: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        rungs(endpoint, (), None)
