"""A service that is back is said to be back within three minutes, and one that flickers is not."""

from collections.abc import Callable
from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.detect.engine import CLOSE_US
from heliograph_collector.incidents.incident import Incident, State
from heliograph_collector.model.signals import SECOND_US, Opinion, Place, Standing
from support.dark_world import KZ, at, people, world

pytestmark = pytest.mark.replay

ONSET, UNTIL = 3_600.0, 12_000.0
FEED_S = 1.5  # from a decision to the row
Failing = Callable[[float, Random], bool]  # at this second, with this luck


def confirmed(seed: int, n: int, failing: Failing) -> list[Incident]:
    """`n` vantages of one network, a test a minute, two in a hundred fail by themselves."""
    rng, opinions = Random(seed), []
    here = people(Place("KZ", "ALA", 201, "fixed"), n)
    for witness in here + people(Place("KZ", "AST", 202, "fixed"), n) + world(each=1):
        now = rng.uniform(0, 60)
        while now < UNTIL:
            mine = KZ(witness) and witness.place.asn == 201 and failing(now, rng)
            bad = mine or rng.random() < 0.02
            said = Standing.BLOCKED if bad else Standing.GOOD
            way = ("tls", "timeout") if bad else ("", "")
            opinions.append(Opinion(at(now), witness, "telegram", said, *way))
            now += 60
    found = reach(opinions, at(0), at(UNTIL))
    return [i for i in found if i.confirmed_us is not None]


def until(end: float) -> Failing:
    return lambda now, _: ONSET <= now < end


def test_the_closing_row_comes_within_three_minutes() -> None:
    took = []
    for seed in range(20):
        end = 7_200.0 + Random(seed).uniform(0, 60)
        (incident,) = confirmed(seed, 12, until(end))
        assert incident.state is State.CLOSED
        assert incident.ended is not None
        assert incident.ended.earliest_us <= at(end) <= incident.ended.latest_us
        took.append(((incident.closed_us or 0) + CLOSE_US - at(end)) / SECOND_US + FEED_S)
    assert sorted(took)[18] <= 180, took  # p95
    assert min(took) > 60  # not before everybody could have tested again


@pytest.mark.parametrize("n", [6, 12])
@pytest.mark.parametrize("seed", range(3))
def test_what_fails_seven_times_of_ten_does_not_close_and_resume(n: int, seed: int) -> None:
    found = confirmed(seed, n, lambda now, rng: now >= ONSET and rng.random() < 0.7)
    assert [i.state for i in found] == [State.CONFIRMED]


@pytest.mark.parametrize("seed", range(3))
def test_a_block_with_good_moments_now_and_then_is_one_block(seed: int) -> None:
    found = confirmed(seed, 12, lambda now, _: now >= ONSET and (now - ONSET) % 300 >= 45)
    assert [i.state for i in found] == [State.CONFIRMED]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_blocked_again_within_the_hour_closes_slower(seed: int) -> None:
    """Six minutes blocked, three not: at most one end too many is told."""
    found = confirmed(seed, 12, lambda now, _: now >= ONSET and (now - ONSET) % 540 < 360)
    assert len(found) <= 2
