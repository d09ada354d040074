"""Derive for `code` which kinds of service answered when last tested. Pure.

A state is no verdict: it has no cause of a failure. An agent keeps only the newest state of
each class, and in memory alone, so that a seized disk shows none.
"""

from heliograph.observation import Link, Measurement
from heliograph.plan import ANCHORS, Service
from heliograph.units import HOUR_US
from heliograph.voice_code import CLASSES, ServiceState
from heliograph_agent.runtime.link import AnchorState, anchor_kind_state, endpoint_state

FRESH_US = 3 * HOUR_US  # most messengers are tested every two hours
_KINDS = {"domestic": "domestic", "foreign": "foreign", "dns": "resolver"}
_SERVICE_STATES = {
    AnchorState.REACHABLE: ServiceState.ANSWERS,
    AnchorState.UNREACHABLE: ServiceState.FAILS,
    AnchorState.UNKNOWN: ServiceState.UNKNOWN,
}

ServiceStates = dict[str, tuple[str, int]]  # class → ServiceState, wall clock in µs


def service_states_of(measurement: Measurement, service: Service | None) -> ServiceStates:
    """Derive states of voice_code.CLASSES from a measurement; {} if it did not run."""
    if measurement.not_measured:
        return {}
    is_captive = measurement.link is Link.CAPTIVE  # a captive portal answers for all hosts
    if measurement.experiment == ANCHORS:
        states = {
            name: _SERVICE_STATES[anchor_kind_state(measurement.observations, kind)]
            for name, kind in _KINDS.items()
        }
    elif service is not None and service.name in CLASSES:
        states = {service.name: _service_state(measurement, service)}
    else:
        return {}
    return {
        name: (ServiceState.UNKNOWN if is_captive else state, measurement.started_us)
        for name, state in states.items()
    }


def restore_service_states(stored: object) -> ServiceStates:
    """Read `lives` of a status that is not this program's own."""
    if not isinstance(stored, dict):
        return {}
    states: ServiceStates = {}
    for name in CLASSES:
        match stored.get(name):
            case [str(life), int(at_us)] if life in set(ServiceState):
                states[name] = (life, at_us)
    return states


def recent_states(states: ServiceStates, now_us: int) -> dict[str, ServiceState]:
    """Return the state of every class; a class without a recent test is unknown."""
    return {
        name: ServiceState(states[name][0])
        if name in states and 0 <= now_us - states[name][1] <= FRESH_US
        else ServiceState.UNKNOWN
        for name in CLASSES
    }


def _service_state(measurement: Measurement, service: Service) -> ServiceState:
    """Return the state of a service from the endpoints of its groups.

    FAILS: all endpoints of some group are unreachable. ANSWERS: most endpoints answer, and at least
    one in each group. Else UNKNOWN. Endpoints of a group can replace each other.
    """
    groups: dict[str, list[AnchorState]] = {}
    for endpoint in service.list_planned_endpoints():
        state = endpoint_state(measurement.observations, endpoint.id)
        groups.setdefault(endpoint.group or endpoint.id, []).append(state)
    if any(set(states) == {AnchorState.UNREACHABLE} for states in groups.values()):
        return ServiceState.FAILS
    states = [state for group in groups.values() for state in group]
    is_majority_reachable = 2 * states.count(AnchorState.REACHABLE) > len(states)
    is_every_group_reachable = all(AnchorState.REACHABLE in group for group in groups.values())
    return (
        ServiceState.ANSWERS
        if is_majority_reachable and is_every_group_reachable
        else ServiceState.UNKNOWN
    )
