"""Endpoints that a measurement met: where its steps went, by label, address and port."""

from typing import NamedTuple

from heliograph.address import parse_literal
from heliograph.observation import Measurement


class MetEndpoint(NamedTuple):
    """One address and port to which a measurement connected or sent a datagram."""

    label: str  # the endpoint's id in the service, "" for the page or single target
    address: str  # canonical
    port: int
    protocol: str  # tcp, udp


def list_met_endpoints(measurement: Measurement) -> frozenset[MetEndpoint]:
    """List the endpoints of a measurement; an address that is no literal is left out."""
    met: set[MetEndpoint] = set()
    for observation in measurement.observations:
        end = observation.tcp or observation.udp
        address = parse_literal(end.address) if end is not None else ""
        if end is not None and address:
            protocol = "tcp" if observation.tcp is not None else "udp"
            met.add(MetEndpoint(observation.endpoint, address, end.port, protocol))
    return frozenset(met)
