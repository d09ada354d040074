"""Endpoints of the plan that a control may be asked to visit at another address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from heliograph.address import parse_literal
from heliograph.experiments import is_visitable
from heliograph.plan import EndpointKind, Plan, PlannedTask, Service
from heliograph_collector.control.target_key import Key

CONTROL = "control"
_PORTS = {"http": 80, "https": 443, "tls": 443}
_UDP_KINDS = (EndpointKind.STUN, EndpointKind.QUIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEndpoint:
    """One named endpoint of the controls' plan, as an order names it."""

    experiment: str
    service: str  # "" when the target stands alone
    target: str  # "" when the service is the target
    endpoint: str  # the label of its steps
    port: int
    protocol: str  # tcp, udp


def list_planned_endpoints(plan: Plan) -> Mapping[tuple[Key, str], PlannedEndpoint]:
    """List what controls may visit, by target key and label.

    An endpoint that is an address is left out: every control measures it there already.
    """
    control_plan = plan.for_role(CONTROL)
    services = {service.name: service for service in control_plan.services}
    endpoints: dict[tuple[Key, str], PlannedEndpoint] = {}
    for task in control_plan.tasks:
        if not is_visitable(task.experiment):
            continue
        service = services.get(task.service)
        planned = _list_service(task, service) if service is not None else _list_single(task)
        for endpoint in planned:
            key = (task.service or task.target, task.experiment)
            endpoints.setdefault((key, endpoint.endpoint), endpoint)
    return endpoints


def _list_service(task: PlannedTask, service: Service) -> Iterator[PlannedEndpoint]:
    for endpoint in service.endpoints:
        if endpoint.kind is not EndpointKind.DNS and not parse_literal(endpoint.host):
            yield PlannedEndpoint(
                experiment=task.experiment,
                service=service.name,
                target="",
                endpoint=endpoint.id,
                port=endpoint.port,
                protocol="udp" if endpoint.kind in _UDP_KINDS else "tcp",
            )


def _list_single(task: PlannedTask) -> Iterator[PlannedEndpoint]:
    try:
        parts = urlsplit(task.target if "://" in task.target else f"//{task.target}")
        host = parts.hostname or ""
        port = parts.port or _PORTS.get(parts.scheme or task.experiment, 0)
    except ValueError:
        return
    if host and port and not parse_literal(host):
        yield PlannedEndpoint(
            experiment=task.experiment,
            service="",
            target=task.target,
            endpoint="",
            port=port,
            protocol="tcp",
        )
