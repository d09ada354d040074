"""Votes too few for minutes, as OONI's rows: bad evenings, dates, counts."""

from collections.abc import Callable, Iterator
from random import Random

import pytest

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import ServiceVote, VantageLocation, VantageRef, VoteValue

BEGAN_US = 1_765_324_800 * SECOND_US
SERVICES = ("telegram", "whatsapp", "signal", "facebook", "x.com", "bbc.com")
DAYS = 12
EVENING = range(10 * 24 + 15, 10 * 24 + 21)  # hours since BEGAN_US
Chance = Callable[[str, int], float]  # of a failure, by service and hour


def draw_votes(rng: Random, chance: Chance, networks: tuple[int, ...]) -> Iterator[ServiceVote]:
    """Let three or four people an hour test three services each; each row is a voter."""
    for hour in range(DAYS * 24):
        for person in range(rng.choice((3, 4))):
            at_us = BEGAN_US + hour * HOUR_US + rng.randrange(60) * MINUTE_US
            place = VantageLocation("UG", "", rng.choice(networks), "")
            for service in rng.sample(SERVICES, 3):
                witness = VantageRef(f"{hour}-{person}", f"{hour}-{person}", place)
                is_bad = rng.random() < chance(service, hour)
                value = VoteValue.BLOCKED if is_bad else VoteValue.GOOD
                yield ServiceVote(at_us, witness, service, value, "tcp" if is_bad else "")


def confirm(
    seed: int, chance: Chance, networks: tuple[int, ...] = (20294, 37075, 37063)
) -> list[Incident]:
    votes = [(vote.at_us, vote) for vote in draw_votes(Random(seed), chance, networks)]
    found = replay_signals((), votes).incidents
    return [incident for incident in found if incident.confirmed_us is not None]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_evening_on_which_half_of_all_fails_by_chance_blocks_nothing(seed: int) -> None:
    assert not confirm(seed, lambda _, hour: 0.55 if hour in EVENING else 0.02)


@pytest.mark.parametrize("blocked", [SERVICES[:1], SERVICES[:5], SERVICES])
def test_blocks_of_one_or_all_services_are_told_and_dated(blocked: tuple[str, ...]) -> None:
    since = EVENING[0]
    told = confirm(2, lambda name, hour: 0.95 if name in blocked and hour >= since else 0.03)
    assert {incident.service for incident in told} == set(blocked)
    since_us = BEGAN_US + since * HOUR_US
    for incident in told:
        assert incident.confirmed_us is not None
        assert since_us < incident.confirmed_us <= since_us + 8 * HOUR_US
        started = incident.started
        assert since_us - 3 * HOUR_US <= started.earliest_us <= started.latest_us
        assert started.latest_us <= since_us + 3 * HOUR_US


def test_the_end_of_a_block_is_dated_by_its_rows() -> None:
    hours = range(EVENING[0], EVENING[0] + 24)
    (incident,) = confirm(
        3, lambda name, hour: 0.97 if name == "signal" and hour in hours else 0.02
    )
    assert incident.ended is not None
    until_us = BEGAN_US + hours.stop * HOUR_US
    assert abs(incident.ended.latest_us - until_us) <= 3 * HOUR_US
    assert incident.ended.earliest_us <= incident.ended.latest_us


def test_counts_of_a_country_without_its_networks_are_the_countrys() -> None:
    told = confirm(4, lambda name, hour: 0.95 * (name == "signal" and hour >= EVENING[0]), (0,))
    assert [(i.service, i.scope.country, i.scope.asn) for i in told] == [("signal", "UG", 0)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_always_fails_now_and_then_is_blocked_once_that_is_no_chance(seed: int) -> None:
    """A service that fails at times is blocked once that is no chance.

    A third of the tests of two services fails, as of tunnels and of pages behind challenges.
    """
    failing = ("signal", "bbc.com")
    assert not confirm(seed, lambda name, _: 0.3 if name in failing else 0.02)
    since = EVENING[0]
    told = confirm(
        seed,
        lambda name, hour: 0.97 if name == "signal" and hour >= since else 0.3 * (name in failing),
    )
    assert {incident.service for incident in told} == {"signal"}
    since_us = BEGAN_US + since * HOUR_US
    assert all((incident.confirmed_us or 0) <= since_us + 12 * HOUR_US for incident in told)
