"""List the endpoints that a measurement's steps reached: label, address and port."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from heliograph.address import parse_literal
from heliograph.observation import Measurement, Observation
from heliograph.visit_servers import make_redirect_label
from heliograph_collector.model.identity_cache import keep_by_identity

REDIRECT = "redirect-"  # labels of the web experiment for the pages after redirects
HTTPS = 443


class MetEndpoint(NamedTuple):
    """One address and port to which a measurement connected or sent a datagram."""

    # The endpoint's id in the service, "" for the page or single target; of a page after a
    # redirect, the URL of its host's front page.
    label: str
    address: str  # canonical
    port: int
    protocol: str  # tcp, udp


@keep_by_identity(1_024)  # results of controls, as many as the judge keeps
def list_met_endpoints(measurement: Measurement) -> frozenset[MetEndpoint]:
    """List the endpoints of a measurement; an address that is no literal is left out."""
    return frozenset(list_outcomes(measurement))


def list_outcomes(measurement: Measurement) -> dict[MetEndpoint, bool]:
    """Return whether all steps of one connection succeeded, for each met endpoint."""
    connections: dict[int, _Connection] = {}
    roots: list[int | None] = []  # of each step: the step that opened its connection
    for index, observation in enumerate(measurement.observations):
        parent = observation.parent
        has_parent = parent is not None and parent < index
        root = roots[parent] if has_parent and parent is not None else None
        if observation.tcp or observation.udp:
            root = index
            lookup = measurement.observations[parent] if has_parent and parent is not None else None
            connections[index] = _Connection(observation, _name_of(lookup))
        roots.append(root)
        if root is not None:
            connection = connections[root]
            connection.name = connection.name or _name_of(observation)
            connection.has_worked = connection.has_worked and observation.failure is None
    outcomes: dict[MetEndpoint, bool] = {}
    for connection in connections.values():
        end = connection.find_end()
        if end is not None:
            outcomes[end] = outcomes.get(end, False) or connection.has_worked
    return outcomes


def list_answers(measurement: Measurement) -> Iterator[tuple[str, str]]:
    """Yield each label and address that a lookup of the measurement gave for it."""
    for observation in measurement.observations:
        dns = observation.dns
        label = _find_label(observation.endpoint, dns.name if dns else "", HTTPS)
        for address in dns.addresses if dns else ():
            if literal := parse_literal(address):
                yield label, literal


@dataclass(slots=True)
class _Connection:
    """One connection, whose first step is `opening`, and the name that it is for."""

    opening: Observation
    name: str
    has_worked: bool = True

    def find_end(self) -> MetEndpoint | None:
        end = self.opening.tcp or self.opening.udp
        address = parse_literal(end.address) if end is not None else ""
        if end is None or not address:
            return None
        protocol = "udp" if self.opening.tcp is None else "tcp"
        label = _find_label(self.opening.endpoint, self.name, end.port)
        return MetEndpoint(label, address, end.port, protocol)


def _find_label(label: str, name: str, port: int) -> str:
    """Return an endpoint's label.

    A page after a redirect has the label of its host's front page.
    """
    is_redirect = label.startswith(REDIRECT) and name and port == HTTPS
    return make_redirect_label(name) if is_redirect else label


def _name_of(observation: Observation | None) -> str:
    if observation is None:
        return ""
    if observation.dns is not None:
        return observation.dns.name
    return observation.tls.server_name if observation.tls is not None else ""
