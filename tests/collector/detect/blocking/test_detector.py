"""Blocked services are found in minutes, with their layer; what fails everywhere is down."""

from collections.abc import Callable
from random import Random

import pytest

from heliograph_collector.detect.blocking.country_service import evidence
from heliograph_collector.detect.blocking.detector import failing_rate, reach
from heliograph_collector.detect.stats.voting import Tally
from heliograph_collector.incidents.incident import Incident, Kind, State
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import Opinion, Place, Standing, Witness
from heliograph_collector.model.thresholds import THRESHOLDS
from support.dark_world import KZ, at, country, people, world

ONSET, END, UNTIL = 3_600.0, 7_200.0, 9_000.0
Where = Callable[[Witness], bool]


def votes(
    vantages: list[Witness],
    rng: Random,
    where: Where,
    *,
    bad: Standing = Standing.BLOCKED,
    layer: str = "tls",
    noise: float = 0.03,
    every_s: float = 60.0,
) -> list[Opinion]:
    """Each tests telegram every minute; those in `where` fail from ONSET to END."""
    found = []
    for witness in vantages:
        now = rng.uniform(0, every_s)
        while now < UNTIL:
            failing = ONSET <= now < END and where(witness)
            if failing:
                found.append(Opinion(at(now), witness, "telegram", bad, layer, "timeout"))
            elif rng.random() < noise:
                found.append(Opinion(at(now), witness, "telegram", Standing.BLOCKED, "dns", "x"))
            else:
                found.append(Opinion(at(now), witness, "telegram", Standing.GOOD))
            now += every_s
    return found


def s(at_us: int | None) -> float:
    assert at_us is not None
    return (at_us - at(0)) / 1e6


def told(opinions: list[Opinion]) -> list[Incident]:
    return [i for i in reach(opinions, at(0), at(UNTIL)) if i.confirmed_us is not None]


@pytest.mark.parametrize("seed", range(5))
def test_a_block_in_one_network_of_five_vantages(seed: int) -> None:
    five = people(Place("KZ", "ALA", 201, "fixed"), 5)
    rest = [w for w in country(each=1) if w.place.asn != 201]
    opinions = votes(five + rest + world(), Random(seed), lambda w: w.place.asn == 201)
    opinions = [o for o in opinions if KZ(o.witness) or o.witness.place.asn != 201] + [
        o for o in votes(world(), Random(seed), lambda _: False) if o.witness.place.asn == 201
    ]
    (incident,) = told(opinions)
    assert incident.kind is Kind.BLOCKING
    assert incident.service == "telegram"
    assert (incident.layer, incident.method) == ("tls", "timeout")
    assert incident.scope == Scope("KZ", asn=201)
    assert s(incident.suspected_us) - ONSET > 0
    assert s(incident.confirmed_us) - ONSET <= 300
    assert incident.started.earliest_us <= at(ONSET) <= incident.started.latest_us
    assert incident.confidence <= 0.5  # five are few
    assert incident.state is State.CLOSED
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(END) <= incident.ended.latest_us
    assert s(incident.closed_us) - END <= 240


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (Standing.BLOCKED, Kind.BLOCKING),
        (Standing.THROTTLED, Kind.THROTTLING),
        (Standing.PARTIAL, Kind.PARTIAL),
    ],
)
def test_kinds_are_told_apart_and_the_country_is_named(bad: Standing, kind: Kind) -> None:
    opinions = votes(country(each=1) + world(), Random(1), KZ, bad=bad, layer="http")
    (incident,) = told(opinions)
    assert (incident.kind, incident.layer, incident.scope) == (kind, "http", Scope("KZ"))
    assert incident.confidence > 0.9


@pytest.mark.parametrize("bad", [Standing.BLOCKED, Standing.DOWN])
def test_a_messenger_that_fails_all_over_the_world_is_down(bad: Standing) -> None:
    opinions = votes(country(each=2) + world(), Random(2), lambda _: True, bad=bad)
    assert told(opinions) == []


@pytest.mark.parametrize("lead_s", [30, 90, 150])
def test_an_outage_that_is_seen_here_first_is_taken_back(lead_s: float) -> None:
    rng = Random(3)
    here = votes(country(each=2), rng, lambda _: True)
    there = [
        o for o in votes(world(), rng, lambda _: True) if not ONSET <= s(o.at_us) < ONSET + lead_s
    ]
    found = reach(here + there, at(0), at(UNTIL))
    assert {i.state for i in found} <= {State.WITHDRAWN}
    assert all(i.held == ("down_elsewhere",) for i in found)
    assert lead_s > 60 or all(i.confirmed_us is None for i in found)


def test_silence_is_neither_a_block_nor_its_end() -> None:
    opinions = votes(country(each=2) + world(), Random(4), KZ)
    dark = [o for o in opinions if not (KZ(o.witness) and s(o.at_us) > ONSET + 900)]
    (incident,) = told(dark)
    assert incident.state is State.CONFIRMED
    assert told([o for o in dark if not (KZ(o.witness) and s(o.at_us) >= ONSET)]) == []


def test_a_quiet_day_raises_nothing() -> None:
    for seed in range(3):
        opinions = votes(country(each=2) + world(2), Random(seed), lambda _: False, noise=0.05)
        assert reach(opinions, at(0), at(UNTIL)) == ()


def test_order_does_not_matter() -> None:
    opinions = votes(country(each=1) + world(2), Random(5), KZ)
    once = reach(opinions, at(0), at(UNTIL))
    Random(6).shuffle(opinions)
    assert reach(opinions, at(0), at(UNTIL)) == once


def test_what_the_world_fails_at_is_no_evidence() -> None:
    everywhere = failing_rate(Tally(2_000, 1_800), THRESHOLDS)
    assert evidence(Tally(10, 10), everywhere, THRESHOLDS) == pytest.approx(0, abs=0.3)
    usual = failing_rate(Tally(50, 1), THRESHOLDS)
    assert evidence(Tally(10, 10), usual, THRESHOLDS) > 10
    assert evidence(Tally(10, 0), usual, THRESHOLDS) < -3
