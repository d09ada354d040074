"""Find vantages that reach this collector while nothing abroad answers them.

A state may let a list of hosts pass and nothing else (Iran in 2022 and 2026, Russian phones in
2025: Filterwatch, Roskomsvoboda), and a cable may leave one way of many. Sessions live on then, so
that no vantage is silent, and no service is judged, since the vantage has no link to judge it by.
"""

from collections import defaultdict
from collections.abc import Sequence

from heliograph.failure import HANDSHAKES, Failure, Operation
from heliograph.observation import Link, Measurement, Observation
from heliograph.units import SECOND_US
from heliograph_collector.model.records import ControlView, ReceivedMeasurement
from heliograph_collector.model.signals import VoteValue

ISOLATED = VoteValue.ISOLATED.value  # method of the verdict

_FOREIGN = "foreign"  # an anchor's id begins with its kind
# Anchors abroad are of three companies: one that is blocked, or down, isolates nobody.
_MIN_ANCHORS = 3
# Delay of results over a live session; after a dead one they come later. A heartbeat.
_PROMPT_US = 15 * SECOND_US
_LINKS = (Link.DOMESTIC_ONLY, Link.OFFLINE, Link.UNKNOWN)
# Of this machine, as of one without IPv6, or of our own stop: they are no evidence on a host.
_OWN_FAILURES = frozenset(
    {
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.INTERRUPTED,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_UNREACHABLE,
        Failure.NO_BUFFER_SPACE,
        Failure.PERMISSION_DENIED,
    }
)


def is_isolated(record: ReceivedMeasurement, control: ControlView) -> bool:
    """Return whether no anchor abroad answered while a control reached three.

    The measurement must also have arrived promptly, so that the collector was reachable.
    """
    measurement = record.measurement
    if control.measurement is None or measurement.link not in _LINKS or not _is_prompt(record):
        return False
    own = _group_foreign(measurement)
    failed = {name for name, steps in own.items() if any(map(_has_failed, steps))}
    at_control = _group_foreign(control.measurement)
    up_at_control = {name for name, steps in at_control.items() if _has_answered(steps)}
    is_any_up = any(map(_has_answered, own.values()))
    return not is_any_up and len(failed & up_at_control) >= _MIN_ANCHORS


def _group_foreign(measurement: Measurement) -> dict[str, list[Observation]]:
    steps: defaultdict[str, list[Observation]] = defaultdict(list)
    for step in measurement.observations:
        if step.endpoint.startswith(_FOREIGN):
            steps[step.endpoint].append(step)
    return steps


def _is_prompt(record: ReceivedMeasurement) -> bool:
    ends_us = [x.started_us + x.duration_us for x in record.measurement.observations]
    end_us = record.started_us + max(ends_us, default=0)
    return record.received_us - end_us <= _PROMPT_US


def _has_failed(step: Observation) -> bool:
    return step.failure is not None and step.failure not in _OWN_FAILURES


def _has_answered(steps: Sequence[Observation]) -> bool:
    """Return whether an anchor answered: by a handshake, or a bare address's connect.

    A box on the way that accepts all connections to a name has no certificate for it.
    """
    is_bare = all(step.operation is Operation.CONNECT for step in steps)
    return any(s.failure is None and (is_bare or s.operation in HANDSHAKES) for s in steps)
