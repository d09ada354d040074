"""Holds: when a candidate is evaluated although no signal came."""

from heliograph_collector.detect.silence.renewal import PART_HOLD_S
from heliograph_collector.model.thresholds import Thresholds

_BETWEEN_S = (45.0, 90.0, 120.0, 150.0)  # assumed


def list_holds(limits: Thresholds) -> list[float]:
    """List the seconds after the first silence of a burst at which a test may decide again."""
    tests = {limits.hold_s, limits.hold_low_s, PART_HOLD_S, limits.transit_s + limits.tick_s}
    tests.add(limits.transit_told_s + limits.tick_s)
    return sorted(tests | set(_BETWEEN_S))
