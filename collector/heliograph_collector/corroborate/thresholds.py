"""Every number that makes a source agree or disagree. README.md gives where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

from heliograph_collector.corroborate.incident import DAY_US, HOUR_US, SECOND_US

_MINUTE_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one signal is read. Shares are of what was expected from its own past."""

    agrees: float  # at or below this share it agrees
    disagrees: float | None = (
        None  # at or above it all along; None: a dark cell need not show in it
    )
    daily: bool = False  # expected: the same hour of former days, not the median of the past
    history_us: int = DAY_US
    lag_us: int  # younger points may still grow
    before_us: int = HOUR_US  # this long before the onset it must have been well
    least: int = 2  # points within the incident
    least_past: int = 6


RULES: Mapping[tuple[str, str], Rule] = {
    ("ris", "visible_prefixes"): Rule(agrees=0.8, lag_us=_MINUTE_US, least=3, least_past=10),
    ("ioda", "bgp"): Rule(agrees=0.9, lag_us=10 * _MINUTE_US),
    ("ioda", "ping-slash24"): Rule(
        agrees=0.8, disagrees=0.97, history_us=7 * DAY_US, lag_us=20 * _MINUTE_US
    ),
    ("ioda", "merit-nt"): Rule(agrees=0.25, history_us=7 * DAY_US, lag_us=20 * _MINUTE_US),
    ("radar", "netflows"): Rule(
        agrees=0.5,
        disagrees=0.85,
        daily=True,
        history_us=7 * DAY_US,
        lag_us=HOUR_US,
        before_us=3 * HOUR_US,
        least_past=3,
    ),
}

LEAST_TO_DISAGREE = 3  # points, since a source that contradicts us must be sure
CLAIM_NEAR_US = 3 * HOUR_US  # an outage that a source dates so near to our onset is the same one
