"""Evenings and nights of people who fall silent one by one, and their incidents."""

from collections.abc import Iterable
from random import Random

from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.signals import VantageArrival, VantageRef
from support.presence_model import Signals, at, drop
from support.silence_steps import follow

HOUR = 3_600.0
DAY = 24 * HOUR  # the world begins at midnight, which is five in the morning in Kazakhstan
NOON = 7 * HOUR
EVENING = 17 * HOUR


def off(vantages: Iterable[VantageRef], since_s: float, over_s: float, rng: Random) -> Signals:
    """Silence vantages one by one, at random times, without a goodbye."""
    return [
        signal
        for each in vantages
        for signal in drop([each], since_s + rng.uniform(0, over_s), rng)
    ]


def back(vantages: Iterable[VantageRef], since_s: float, over_s: float, rng: Random) -> Signals:
    return [VantageArrival(at(since_s + rng.uniform(0, over_s)), each) for each in vantages]


def watched(signals: Signals, *hours: float) -> list[list[Incident]]:
    """Return the incidents of Kazakhstan at each of these hours."""
    return [
        [i for i in incidents if i.state is not IncidentState.WITHDRAWN]
        for incidents in follow(signals, [at(hour * HOUR) for hour in hours])
    ]


def arrived(vantages: Iterable[VantageRef]) -> Signals:
    return [VantageArrival(at(1), each) for each in vantages]
