"""Holds: when a candidate is evaluated although no signal came."""

from heliograph_collector.detect.silence.renewal import PART_HOLD_S, WAIT_S
from heliograph_collector.model.thresholds import Thresholds

_BETWEEN_S = (35.0, 45.0, 90.0, 120.0, 150.0)  # assumed
_WAITS = (1.0, 1.2)  # for agents that may have ended; assumed


def list_holds(limits: Thresholds, *, may_have_ended: bool) -> list[float]:
    """List the seconds after the first silence of a burst at which a test may decide again.

    Args:
        may_have_ended: A connection was closed, and no fault of the collector explains it.
    """
    tests = {limits.hold_s, limits.hold_low_s, PART_HOLD_S, limits.transit_s + limits.tick_s}
    tests |= {limits.transit_told_s + limits.tick_s}
    if may_have_ended:
        tests |= {length * WAIT_S + limits.tick_s for length in _WAITS}
    return sorted(tests | set(_BETWEEN_S))
