"""A source that falls alone: its own failure, a holiday, or the end of a file."""

import math

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope

FELL = 24 * 20 + 10  # hours
SOURCES = ("bgp", "gtr", "merit-nt", "ping-slash24")


def play(
    lost: dict[str, float],
    lasts_h: int = 5,
    rest_h: int = 24,
    unknown_h: int = 0,
    deeper: dict[int, float] | None = None,
) -> list[Incident]:
    """Play three weeks of four sources that each lose a share for some hours.

    Args:
        deeper: What else the search loses, by the hours since the fall.
    """
    readings = [
        LevelReading((FELL + lasts_h + hour) * HOUR_US, HOUR_US, Scope("IR"), source, None)
        for source in SOURCES
        for hour in range(rest_h, rest_h + unknown_h)
    ]
    for hour in range(FELL + lasts_h + rest_h):
        swing = 1 + 0.1 * math.sin(hour * math.tau / 24)
        for source in SOURCES:
            share = 1 - lost.get(source, 0.0) * (FELL <= hour < FELL + lasts_h)
            if source == "gtr":
                share -= (deeper or {}).get(hour - FELL, 0.0)
            level = 100 * share * (swing if source == "gtr" else 1)
            readings.append(LevelReading(hour * HOUR_US, HOUR_US, Scope("IR"), source, level))
    return list(detect_levels(readings, max(reading.until_us for reading in readings)))


@pytest.mark.parametrize(
    "lost",
    [
        {"bgp": 0.6},
        {"gtr": 1.0},
        {"ping-slash24": 1.0},
        {"gtr": 0.4},  # a holiday
        {"ping-slash24": 0.28},  # addresses moved, and people ask as ever
    ],
)
def test_a_source_that_falls_alone_is_suspected_and_withdrawn(lost: dict[str, float]) -> None:
    assert [incident.state for incident in play(lost)] == [IncidentState.WITHDRAWN]


@pytest.mark.parametrize("lost", [0.6, 1.0])
def test_a_telescope_alone_is_not_even_suspected(lost: float) -> None:
    assert play({"merit-nt": lost}) == []
    (incident,) = play({"merit-nt": lost, "gtr": 0.6})
    assert incident.layer == "gtr,merit-nt"  # it is one of the sources that show a cut


@pytest.mark.parametrize(
    "lost",
    [
        {"ping-slash24": 0.97, "gtr": 0.98, "merit-nt": 1.0, "bgp": 0.14},  # Iran, January 2026
        {"gtr": 0.6},  # phones alone: their addresses never answered probes
        {"ping-slash24": 0.5, "gtr": 0.2},
        {"ping-slash24": 0.28, "gtr": 0.3},
        {"bgp": 0.9, "ping-slash24": 0.9},
    ],
)
def test_a_cut_is_confirmed_by_the_sources_that_show_it(lost: dict[str, float]) -> None:
    (incident,) = play(lost)
    assert incident.state is IncidentState.CLOSED
    assert incident.confirmed_us is not None
    assert incident.confirmed_us <= (FELL + 2) * HOUR_US


@pytest.mark.parametrize("unknown_h", [0, 3])  # steps that are not counted yet
def test_the_last_step_of_a_file_may_be_a_part_of_its_time(unknown_h: int) -> None:
    (incident,) = play({"ping-slash24": 0.9}, 1, 0, unknown_h)
    assert incident.state is IncidentState.SUSPECTED
    (incident,) = play({"ping-slash24": 0.9}, 2, 0, unknown_h)
    assert incident.state is IncidentState.CONFIRMED


def test_an_hour_of_noise_makes_no_cut_of_a_holiday() -> None:
    """Version 141 confirmed a cut of days by one step a little below half of the usual."""
    (feast,) = play({"gtr": 0.4, "ping-slash24": 0.03}, lasts_h=72, deeper={30: 0.13})
    assert feast.state is IncidentState.WITHDRAWN


def test_a_cut_on_a_holiday_is_confirmed_within_two_hours() -> None:
    deeper = dict.fromkeys(range(30, 40), 0.55)
    (cut,) = play({"gtr": 0.4}, lasts_h=72, deeper=deeper)
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= (FELL + 32) * HOUR_US
