"""Decide what a control may be asked to visit: no tool against anybody.

It is an endpoint of the plan (`list_planned_endpoints`), at another address that a vantage met.
A state can hand one client an address that nobody else gets. A visit there would show the state
that this client is a volunteer. So an address is visited only in these cases:

- two established vantages of different agents and networks reported it, or
- a control's own lookup of the same endpoint gave it, or
- it lies in the /24 (IPv4) or /48 (IPv6) of such an answer, or
- it lies in the same AS as such an answer, and only its owner has servers there. In any other AS,
  a cloud's above all, a state rents an address within minutes.

Special-purpose addresses and the collector's own entrances are never visited.

A failure asks for a look of after it only if it is *new*, and not one of a lasting block. It is new
in a country until passes of controls have followed FOLLOWED of its failures there within
FOLLOWED_US. Of failures that no pass has followed yet, the first counts.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from heliograph.address import enclosing_network, is_special_purpose, parse_literal
from heliograph.experiments import is_visitable
from heliograph.plan import UDP_KINDS, EndpointKind, Plan, PlannedTask, Service
from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph.visit_servers import PAGES, find_redirect_host, list_page_hosts, list_servers
from heliograph_collector.control.target_key import Key
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.records import ReceivedMeasurement
from heliograph_collector.model.seniority import Seniority

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MIN_REPORTERS = 2  # established agents in different networks
# Names of lines without a day changed with the UTC day at the start of a session, which ends after
# 24 min ±10 % (ingest/rate_limits.py): earlier in the day, two of them may be of one line.
PREFIX_SETTLED_US = 30 * MINUTE_US
# AS numbers whose owner rents out no servers: Telegram (RIPE), Meta (ARIN), Wikimedia (ARIN, RIPE;
# wikitech.wikimedia.org/wiki/Network_design).
OWNER_ASNS = frozenset({62041, 62014, 59930, 44907, 211157, 32934, 14907, 43821})
FOLLOWED = 3  # assumed; two lost packets in an hour are no lasting block
FOLLOWED_US = HOUR_US  # assumed; a lasting block is looked at every 10 to 20 min
_Key = TypeVar("_Key")
CONTROL = "control"
HTTPS = 443


class AsnSource(Protocol):
    """Declare the ASN table. Implemented by ingest.geo.lookup.GeoLookup."""

    def find_asn(self, literal: str) -> int:
        """Return the AS that announces an address, 0 when unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Reporter:
    """One agent that met an address; nothing here outlives the process."""

    name: str  # the same on every network of an agent, for a month
    prefix: str  # hash of its network, "" when it cannot be compared
    day: int  # of the hash


def make_reporter(record: ReceivedMeasurement) -> Reporter:
    """Make the reporter of a measurement."""
    is_settled = bool(read_day(record.prefix)) or record.received_us % DAY_US >= PREFIX_SETTLED_US
    name = record.reporter or record.pseudonym
    return Reporter(name, record.prefix if is_settled else "", record.line_day)


@dataclass(slots=True)
class VisitPolicy:
    """Decide by address, reporters and the controls' own answers."""

    asn_source: AsnSource
    allowed_networks: Sequence[Network] = ()  # of a lab, although they are special
    own_addresses: Collection[str] = field(default_factory=frozenset)

    def is_public(self, address: str) -> bool:
        """Tell whether the address may be visited at all."""
        if address in self.own_addresses or not parse_literal(address):
            return False
        is_in_lab = any(ipaddress.ip_address(address) in n for n in self.allowed_networks)
        return is_in_lab or not is_special_purpose(address)

    def is_covered(self, address: str, control_answers: Collection[str]) -> bool:
        """Tell whether the controls' own answers for the endpoint cover the address."""
        networks = {enclosing_network(answer) for answer in control_answers}
        if address in control_answers or enclosing_network(address) in networks:
            return True
        asn = self.asn_source.find_asn(address)
        return asn in OWNER_ASNS and any(
            self.asn_source.find_asn(answer) == asn for answer in control_answers
        )


def can_confirm(record: ReceivedMeasurement) -> bool:
    """Tell whether a vantage counts as one of the reporters of an address."""
    return record.seniority is Seniority.ESTABLISHED


def are_independent(reporters: Collection[Reporter]) -> bool:
    """Return whether MIN_REPORTERS different agents in different networks reported."""
    for day in {reporter.day for reporter in reporters}:
        same_day = [r for r in reporters if r.day == day and r.prefix]
        names = {r.name for r in same_day}
        prefixes = {r.prefix for r in same_day}
        # Two agents that share all their prefixes, or one agent in two, are no two reporters.
        if min(len(names), len(prefixes)) >= MIN_REPORTERS and _has_distinct_pair(same_day):
            return True
    return False


def _has_distinct_pair(reporters: Sequence[Reporter]) -> bool:
    return any(a.name != b.name and a.prefix != b.prefix for a in reporters for b in reporters)


@dataclass(slots=True)
class _Country:
    failed_us: int | None = None  # of the first failure that no pass has followed
    passes_us: tuple[int, ...] = ()


@dataclass(slots=True)
class FollowedFailures(Generic[_Key]):
    """Remember failures and passes of endpoints.

    If full, the endpoint longest without a failure is forgotten.
    """

    max_endpoints: int
    _by_endpoint: OrderedDict[_Key, dict[str, _Country]] = field(default_factory=OrderedDict)

    def add_failure(self, endpoint: _Key, country: str, at_us: int) -> bool:
        """Note a failure; return whether it is new."""
        countries = self._by_endpoint.setdefault(endpoint, {})
        self._by_endpoint.move_to_end(endpoint)
        if len(self._by_endpoint) > self.max_endpoints:
            self._by_endpoint.popitem(last=False)
        country_passes = countries.setdefault(country, _Country())
        if country_passes.failed_us is None:
            country_passes.failed_us = at_us
        return sum(pass_us > at_us - FOLLOWED_US for pass_us in country_passes.passes_us) < FOLLOWED

    def add_pass(self, endpoint: _Key, at_us: int) -> None:
        """Note that the endpoint worked for a control."""
        for country_passes in self._by_endpoint.get(endpoint, {}).values():
            if country_passes.failed_us is not None and at_us > country_passes.failed_us:
                country_passes.passes_us = (*country_passes.passes_us, at_us)[-FOLLOWED:]
                country_passes.failed_us = None


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
    """Endpoints that controls may visit, and the hosts of the plan's pages."""

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
                protocol="udp" if endpoint.kind in UDP_KINDS else "tcp",
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
