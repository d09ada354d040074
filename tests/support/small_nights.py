"""Evenings and nights of people who fall silent one by one, and their incidents."""

from collections.abc import Iterable
from random import Random

from heliograph_collector.detect.silence.detector import SilenceDetector
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.signals import VantageArrival, VantageRef, sort_signals
from support.presence_model import Signals, at, drop

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
    detector = SilenceDetector()
    pending = sort_signals(signals)
    seen = []
    for hour in hours:
        while pending and pending[0].at_us <= at(hour * HOUR):
            detector.on_signal(pending.pop(0))
        detector.advance_to(at(hour * HOUR))
        incidents = detector.findings().incidents
        seen.append([i for i in incidents if i.state is not IncidentState.WITHDRAWN])
    return seen


def arrived(vantages: Iterable[VantageRef]) -> Signals:
    return [VantageArrival(at(1), each) for each in vantages]
