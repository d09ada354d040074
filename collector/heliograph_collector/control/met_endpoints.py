"""Endpoints that a measurement met: where its steps went, by label, address and port."""

from typing import NamedTuple

from heliograph.address import parse_literal
from heliograph.observation import Measurement, Observation


class MetEndpoint(NamedTuple):
    """One address and port to which a measurement connected or sent a datagram."""

    label: str  # the endpoint's id in the service, "" for the page or single target
    address: str  # canonical
    port: int
    protocol: str  # tcp, udp


def list_met_endpoints(measurement: Measurement) -> frozenset[MetEndpoint]:
    """List the endpoints of a measurement; an address that is no literal is left out."""
    met = (_find_end(observation) for observation in measurement.observations)
    return frozenset(end for end in met if end is not None)


def list_outcomes(measurement: Measurement) -> dict[MetEndpoint, bool]:
    """Return for each met endpoint whether all steps of one connection to it succeeded."""
    roots: list[int | None] = []  # of each step: the step that opened its connection
    has_worked: dict[int, bool] = {}
    for index, observation in enumerate(measurement.observations):
        parent = observation.parent
        inherited = roots[parent] if parent is not None and parent < index else None
        root = index if _find_end(observation) is not None else inherited
        roots.append(root)
        if root is not None:
            has_worked[root] = has_worked.get(root, True) and observation.failure is None
    outcomes: dict[MetEndpoint, bool] = {}
    for root, worked in has_worked.items():
        end = _find_end(measurement.observations[root])
        if end is not None:
            outcomes[end] = outcomes.get(end, False) or worked
    return outcomes


def _find_end(observation: Observation) -> MetEndpoint | None:
    end = observation.tcp or observation.udp
    address = parse_literal(end.address) if end is not None else ""
    if end is None or not address:
        return None
    protocol = "udp" if observation.tcp is None else "tcp"
    return MetEndpoint(observation.endpoint, address, end.port, protocol)
