"""Endpoints of the plan that a control may be asked to visit at another address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from heliograph.address import parse_literal
from heliograph.experiments import is_visitable
from heliograph.plan import EndpointKind, Plan, PlannedTask, Service
from heliograph.visit_servers import PAGES, find_redirect_host, list_page_hosts, list_servers
from heliograph_collector.control.target_key import Key

CONTROL = "control"
HTTPS = 443
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


@dataclass(frozen=True, slots=True)
class PlannedEndpoints:
    """What controls may visit, by target key and label, and the hosts of the plan's pages."""

    by_label: Mapping[tuple[Key, str], PlannedEndpoint]
    page_hosts: frozenset[str]

    def find(self, target: Key, label: str) -> PlannedEndpoint | None:
        """Find an endpoint, or the page after a redirect; None where the plan has none."""
        planned = self.by_label.get((target, label))
        page = self.by_label.get((target, ""))
        if planned is not None or page is None or page.service:
            return planned
        is_allowed = page.experiment == PAGES and find_redirect_host(
            label, page.target, self.page_hosts
        )
        return replace(page, endpoint=label, port=HTTPS) if is_allowed else None


NOTHING_PLANNED = PlannedEndpoints({}, frozenset())


def list_planned_endpoints(plan: Plan) -> PlannedEndpoints:
    """List what controls may visit.

    An endpoint that is an address is left out: every control measures it there already.
    """
    control_plan = plan.for_role(CONTROL)
    services = {service.name: service for service in control_plan.services}
    endpoints: dict[tuple[Key, str], PlannedEndpoint] = {}
    for task in control_plan.expand_turns():
        if not is_visitable(task.experiment):
            continue
        service = services.get(task.service)
        planned = _list_service(task, service) if service is not None else _list_single(task)
        for endpoint in planned:
            key = (task.service or task.target, task.experiment)
            endpoints.setdefault((key, endpoint.endpoint), endpoint)
    return PlannedEndpoints(endpoints, list_page_hosts(control_plan.tasks))


def _list_service(task: PlannedTask, service: Service) -> Iterator[PlannedEndpoint]:
    for endpoint in service.list_planned_endpoints():
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
    for server in list_servers(task.experiment, task.target, task.options):
        yield PlannedEndpoint(
            experiment=task.experiment,
            service="",
            target=task.target,
            endpoint=server.label,
            port=server.port,
            protocol=server.protocol,
        )
