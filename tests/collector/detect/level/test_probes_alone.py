"""Probes that alone get no answers: the first sign of a cut, or a prober that fails."""

import math
import random
from dataclasses import dataclass

import pytest

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect.level.detector import LevelDetector, detect_levels
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope

STEP_US = 30 * MINUTE_US
DAYS = 15
FELL = DAYS * 48 + 20  # half hours; 10:00
# Shares of the usual level in Iran on 8 January 2026, half hours from 16:30 on (IODA).
IRAN = {
    "ping-slash24": (0.56, 0.07, 0.05, 0.04, 0.04, *[0.04] * 20),
    "gtr": (1.0, 1.0, 1.04, 0.85, 0.2, 0.1, *[0.02] * 19),
    "merit-nt": (0.97, 0.81, 0.53, 0.4, 0.14, *[0.0] * 20),
    "bgp": (1.0, 1.0, 1.0, 0.92, 0.87, *[0.87] * 20),
}


@dataclass
class Series:
    """Shares that are left by source, and by how much days differ in what is asked for."""

    left: dict[str, tuple[float, ...]]
    day_noise: float = 0.01
    sources: tuple[str, ...] = ("ping-slash24", "gtr", "merit-nt", "bgp")
    hours_after: int = 36

    def make_readings(self) -> list[LevelReading]:
        draw = random.Random(5)
        days = [draw.gauss(1, self.day_noise) for _ in range(DAYS + 4)]
        readings = []
        for step in range(FELL + 2 * self.hours_after):
            for source in self.sources:
                left = self.left.get(source, ())
                share = left[step - FELL] if 0 <= step - FELL < len(left) else 1.0
                swing = 0.4 * math.sin((step % 48 - 16) * math.tau / 48)
                usual = 100 * (1 + swing) * days[step // 48] if source == "gtr" else 100
                value = usual * share * draw.gauss(1, 0.02 if source == "gtr" else 0.005)
                readings.append(LevelReading(step * STEP_US, STEP_US, Scope("IR"), source, value))
        return readings

    def detect(self, until_h: float | None = None) -> list[Incident]:
        """Detect what a collector would tell so many hours after the fall."""
        readings = self.make_readings()
        if until_h is None:
            return list(detect_levels(readings, readings[-1].until_us))
        until_us = FELL * STEP_US + round(until_h * HOUR_US)
        detector = LevelDetector()
        for reading in sorted(readings, key=lambda r: (r.until_us, r.source)):
            if reading.until_us <= until_us:
                detector.add(reading)
        detector.advance_to(until_us)
        return list(detector.incidents())


def test_iran_is_told_by_the_first_half_hour_that_shows_it_and_stays_told() -> None:
    series = Series(IRAN)
    for hours in (0.5, 2, 3.5, 10):
        (cut,) = series.detect(until_h=hours)
        assert cut.state is IncidentState.CONFIRMED, hours
        assert cut.confirmed_us == FELL * STEP_US + 30 * MINUTE_US


@pytest.mark.parametrize("left", [0.05, 0.4, 0.6])
def test_a_prober_that_fails_in_one_country_is_no_cut_after_three_hours(left: float) -> None:
    """Version 155 told it as a cut for as long as it lasted."""
    series = Series({"ping-slash24": (left,) * 20})
    (early,) = series.detect(until_h=2)
    assert early.state is IncidentState.CONFIRMED
    assert early.confidence == 0.5  # of one source
    (late,) = series.detect(until_h=4)
    assert late.state is IncidentState.SUSPECTED
    assert late.confirmed_us is None
    (over,) = series.detect()
    assert over.state is IncidentState.WITHDRAWN


def test_an_hour_of_a_failing_prober_is_withdrawn_when_nobody_asked_for_less() -> None:
    (incident,) = Series({"ping-slash24": (0.1, 0.1)}).detect()
    assert incident.state is IncidentState.WITHDRAWN


def test_a_cut_of_an_hour_that_google_shows_two_hours_later_stays_told() -> None:
    hour = (0.1, 0.1)
    cut = Series({"ping-slash24": hour, "gtr": (1, 1, 1, 1, 0.3, 0.3)}).detect()[0]
    assert cut.state is IncidentState.CLOSED
    assert cut.confirmed_us == FELL * STEP_US + 30 * MINUTE_US


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        (Series({"ping-slash24": (0.1,) * 20}, sources=("ping-slash24", "bgp")), "nobody else"),
        (Series({"ping-slash24": (0.6,) * 20}, day_noise=0.25), "its days differ by as much"),
        (Series({"ping-slash24": (0.2,) * 20, "gtr": (0.7,) * 20}), "phones ask on"),
    ],
)
def test_what_no_other_source_can_speak_against_stays_a_cut(series: Series, reason: str) -> None:
    (cut,) = [incident for incident in series.detect() if "ping-slash24" in incident.layer]
    assert cut.state is IncidentState.CLOSED, reason


def test_a_cut_in_the_days_of_a_failing_prober_is_confirmed_by_what_people_ask() -> None:
    asked = (1.0,) * 12 + (0.1,) * 8
    (cut,) = Series({"ping-slash24": (0.4,) * 20, "gtr": asked}).detect()
    assert cut.state is IncidentState.CLOSED
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= (FELL + 14) * STEP_US


def test_the_last_bins_of_google_are_not_all_counted_yet() -> None:
    """Version 155 told a cut by two provisional bins at the end of an export."""
    early = Series({"gtr": (0.4, 0.3)}, hours_after=1)
    assert [incident.state for incident in early.detect()] == [IncidentState.SUSPECTED]
    later = Series({"gtr": (0.4,) * 4}, hours_after=2)
    assert [incident.state for incident in later.detect()] == [IncidentState.CONFIRMED]


def test_a_feast_on_which_all_that_people_ask_for_falls_is_no_cut() -> None:
    """Version 155 told one, because fewer cities asked Mozilla as well."""
    sources = ("ping-slash24", "gtr", "mozilla", "bgp")
    feast = (0.62,) * 40
    series = Series({"gtr": feast, "mozilla": feast}, sources=sources)
    assert {incident.state for incident in series.detect()} == {IncidentState.WITHDRAWN}
