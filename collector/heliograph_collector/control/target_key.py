"""Key of a measurement's target, which matches measurements of the same target."""

from heliograph.observation import Measurement

Key = tuple[str, str]

WINDOW_US = (
    15 * 60 * 1_000_000
)  # how near in time a control must be; STALE_US in judge/confidence.py is the same limit
STALE_US = 60 * 60 * 1_000_000  # assumed; a control further away is missing, not stale
OBSERVATIONS_KEPT = 50_000  # in each memory; about 50 MB


def make_target_key(measurement: Measurement) -> Key:
    """Return the service, or else the single target, and the experiment."""
    return measurement.service or measurement.target, measurement.experiment


def weigh_measurement(measurement: Measurement) -> int:
    """Return the memory that a measurement takes, in observations."""
    return 1 + measurement.step_count
