"""Machines of one network that are switched off with a bell are no cut from the third day on."""

from collections.abc import Sequence
from random import Random

import pytest

from heliograph_collector.detect import Incident, detect_silence
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, confirmed, country, drop, live, people, world

HOUR, DAY = 3_600.0, 86_400.0
BELL = 8 * HOUR
SCHOOL = people(VantageLocation("KZ", "ALA", 299, "fixed"), 14)
ANNEX = people(VantageLocation("KZ", "ALA", 298, "fixed"), 14)


def switch_off(
    machines: Sequence[VantageRef], rng: Random, day: int, *, is_cut: bool = False
) -> Signals:
    """All go within ten minutes, and begin anew in the morning.

    Args:
        is_cut: They first measure that no anchor answers.
    """
    signals: Signals = []
    for machine in machines:
        heard_s = BELL + day * DAY + rng.uniform(0, 300)
        back_s = BELL + day * DAY + 17 * HOUR + rng.uniform(0, 600)
        signals.append(VantageLoss(at(heard_s + 37.5), machine.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), machine, uptime_s=100))
        told = at(heard_s), at(back_s)
        report = OfflineReport(
            at(back_s + 5), machine.nym, *told, alive=is_cut, online=False if is_cut else None
        )
        signals.append(report)
    return signals


def _list_days(signals: Signals, days: int) -> list[int]:
    """List the days on which an incident of the bell's hour was confirmed."""
    incidents = confirmed(detect_silence(signals, at(BELL + days * DAY - HOUR)).incidents)
    return sorted({_find_day(incident) for incident in incidents})


def _find_day(incident: Incident) -> int:
    day_us = int(DAY * 1_000_000)
    return round((incident.started.earliest_us - at(BELL)) / day_us)


def _play(machines: Sequence[VantageRef], days: int, *, is_cut: bool = False) -> list[int]:
    rng = Random(1)
    signals = live(country() + list(machines) + world(), rng, 24 * days, churn=0.0)
    for day in range(days):
        signals += switch_off(machines, rng, day, is_cut=is_cut)
    return _list_days(signals, days)


def test_school_bell_is_told_twice_and_suspected_then() -> None:
    assert _play(SCHOOL, 5) == [0, 1]


@pytest.mark.parametrize("case", ["two networks", "no anchor answers"])
def test_nightly_cut_is_told_each_night(case: str) -> None:
    is_cut = case == "no anchor answers"
    machines = SCHOOL if is_cut else [*SCHOOL, *ANNEX]
    assert _play(machines, 5, is_cut=is_cut) == [0, 1, 2, 3, 4]


def test_cut_of_the_country_after_the_bell_is_told() -> None:
    rng = Random(1)
    signals = live(country() + SCHOOL + world(), rng, 96, churn=0.0)
    for day in range(4):
        signals += switch_off(SCHOOL, rng, day)
    cut_s = BELL + 3 * DAY + HOUR
    signals += drop(country(), cut_s, rng)
    incidents = confirmed(detect_silence(signals, at(cut_s + 600)).incidents)
    (cut,) = [i for i in incidents if i.started.earliest_us >= at(cut_s - 60)]
    assert cut.scope.is_national
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= at(cut_s + 120)
