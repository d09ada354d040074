"""Who went to bed while the collector was down for hours is no cut; who was cut then is one."""

from collections.abc import Sequence
from random import Random

from heliograph_collector.detect import detect_silence
from heliograph_collector.model.signals import (
    Fault,
    FaultReason,
    VantageArrival,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, confirmed, country, live, world

HOUR, DAY = 3_600.0, 86_400.0
HOME = country(each=4)
LINES = [v for v in HOME if v.place.access == "fixed"]
SLEEPERS = [v for n, v in enumerate(LINES) if n % 4]  # switched off each night
UTC_NIGHT_S = 16 * HOUR  # ten in the evening there
DOWN, UP = 4 * DAY + 9 * HOUR, 4 * DAY + 20 * HOUR


def _switch_off(days: Sequence[int]) -> Signals:
    rng = Random(7)
    signals: Signals = []
    for vantage in SLEEPERS:
        for day in days:
            heard_s = day * DAY + UTC_NIGHT_S + rng.uniform(0, HOUR)
            back_s = heard_s + 9 * HOUR + rng.uniform(0, HOUR)
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
            signals.append(VantageArrival(at(back_s), vantage, uptime_s=60))
    return signals


def _play_night(cut: Sequence[VantageRef]) -> Signals:
    """Let the collector be down from an afternoon into a night in which as many sleep as ever."""
    rng = Random(3)
    everybody = [*HOME, *world()]
    signals = [s for s in live(everybody, Random(5), 120, churn=0) if s.at_us < at(DOWN)]
    signals += [s for s in _switch_off(range(5)) if s.at_us < at(DOWN) or s.at_us > at(UP)]
    signals.append(Fault(at(DOWN), at(UP), FaultReason.RESTART))
    away = {*cut, *SLEEPERS}
    signals += [VantageArrival(at(UP + rng.uniform(0, 60)), v) for v in everybody if v not in away]
    return signals


def test_people_who_went_to_bed_while_the_collector_was_down_are_no_outage() -> None:
    incidents = detect_silence(_play_night([]), at(UP + 9 * HOUR)).incidents
    assert confirmed(incidents) == []


def test_a_country_cut_while_the_collector_was_down_for_hours_is_told_soon() -> None:
    incidents = detect_silence(_play_night(HOME), at(UP + HOUR)).incidents
    (incident,) = confirmed(incidents)
    assert incident.scope.is_national
    assert (incident.confirmed_us or 0) <= at(UP + 15 * 60)
