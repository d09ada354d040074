"""What is measured, by which the same thing from elsewhere is found."""

from heliograph.observation import Measurement

Key = tuple[str, str]

WINDOW_US = (
    15 * 60 * 1_000_000
)  # how near in time a control must be; judge/features.py draws the line
STALE_US = 60 * 60 * 1_000_000  # beyond that a control is not even stale: there is none
OBSERVATIONS_KEPT = 50_000  # by each memory: some 50 MB


def make_target_key(measurement: Measurement) -> Key:
    """The service, or the lone target, and what is done to it."""
    return measurement.service or measurement.target, measurement.experiment


def weigh_measurement(measurement: Measurement) -> int:
    """The room that it takes, in observations."""
    return 1 + len(measurement.observations)
