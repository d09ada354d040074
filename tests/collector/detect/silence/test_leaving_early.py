"""Offices close four hours early before a holiday: their people left, and nobody cut them off."""

from collections.abc import Sequence
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, confirmed, drop, live, people, world

HOUR, DAY = 3_600.0, 86_400.0
CLOSING = 12 * HOUR  # 17:00 in Kazakhstan
FRIDAY = 4
EARLY = FRIDAY * DAY + 8 * HOUR  # 13:00
STREET = [
    people(VantageLocation("KZ", "", asn, "fixed"), size) for asn, size in ((297, 30), (296, 18))
]
HOMES = STREET[0][:6]  # of which nobody switches off
OFFICES = STREET[0][6:] + STREET[1]
PHONES = people(VantageLocation("KZ", "", 295, "mobile"), 8)
LINES = people(VantageLocation("KZ", "", 294, "fixed"), 6)


def _leave(machines: Sequence[VantageRef], rng: Random, since_s: float, hours: float) -> Signals:
    """Switch machines off, most of them soon, and on in the morning."""
    signals: Signals = []
    for machine in machines:
        heard_s = since_s + abs(rng.gauss(0, hours * HOUR))
        back_s = since_s - since_s % DAY + DAY + rng.uniform(2, 3) * HOUR
        signals.append(VantageLoss(at(heard_s + 37.5), machine.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), machine, uptime_s=100))
        told = at(heard_s), at(back_s)
        signals.append(OfflineReport(at(back_s + 5), machine.nym, *told, alive=False))
    return signals


def _work(rng: Random) -> Signals:
    """Play four working days, and the fifth until noon."""
    signals = live(HOMES + OFFICES + PHONES + LINES + world(), rng, 5 * 24, churn=0.2)
    for day in range(FRIDAY):
        signals += _leave(OFFICES, rng, day * DAY + CLOSING, 0.2)
    return signals


def _list_told(signals: Signals, until_s: float) -> list[Incident]:
    incidents = confirmed(detect_silence(signals, at(until_s)).incidents)
    return [i for i in incidents if (i.confirmed_us or 0) >= at(FRIDAY * DAY + 5 * HOUR)]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_offices_that_close_early_are_suspected_at_most(seed: int) -> None:
    """Up to version 193 this was told as a cut of one operator or of all lines."""
    rng = Random(seed)
    signals = _work(rng) + _leave(OFFICES, rng, EARLY, 0.4)
    assert not _list_told(signals, EARLY + 6 * HOUR)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_slow_cut_of_the_operator_of_offices_takes_homes_too_and_is_told(seed: int) -> None:
    rng = Random(seed)
    gone = STREET[0]
    signals = _work(rng)
    for vantage in gone:
        signals += drop([vantage], EARLY + rng.uniform(0, 0.5) * HOUR, rng)
    told = _list_told(signals, EARLY + 0.75 * HOUR)
    assert [i.scope.asn for i in told] == [297]


@pytest.mark.parametrize("seed", [1, 2])
def test_an_order_that_takes_an_operator_of_offices_alone_at_once_is_told(seed: int) -> None:
    rng = Random(seed)
    signals = _work(rng) + drop(STREET[1], EARLY, rng)
    told = _list_told(signals, EARLY + 0.25 * HOUR)
    assert [i.scope.asn for i in told] == [296]
