"""Follow orders of visits: a control repeats tasks at addresses that vantages met.

Only an agent with the role `control` follows an order. Names, ports and paths come from the signed
plan. An address is refused when it is not a plain public one, when it is of this machine's
networks, or when it is an entrance of the collector. Visits run one after the other.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from heliograph.address import is_special_purpose, parse_literal
from heliograph.clock import Clock
from heliograph.plan import EndpointKind, Plan, Service
from heliograph.token_bucket import TokenBucket
from heliograph.units import HOUR_S
from heliograph.v1 import intake_pb2
from heliograph.visit_servers import (
    PAGES,
    find_redirect_host,
    list_page_hosts,
    list_servers,
)
from heliograph.visits import Visit, VisitOrderError, open_order
from heliograph_agent.net import Net, StepTrace
from heliograph_agent.runtime.settings import AgentSettings
from heliograph_agent.schedule.task import Task, make_tasks

CONTROL = "control"
VISITS_PER_HOUR = 1_200  # assumed; addresses, of about 10 kB each, beside the plan's byte limit
MAX_ORDERS = 16  # assumed; waiting for their turn, a later one is dropped
OWN_ADDRESSES = 16  # of one entrance's name, which are refused
log = logging.getLogger("heliograph.agent")


class NetSource(Protocol):
    """Declare the network of visits. Implemented by net.system_net.SystemNetFactory."""

    def is_forbidden(self, literal: str) -> bool:
        """Tell whether no test may contact this address."""

    def bind(self, trace: StepTrace) -> Net:
        """Make the net that looks up the entrances."""


class PlanSource(Protocol):
    """Declare the plan and the enrollment. Implemented by PlanUpdater."""

    @property
    def settings(self) -> AgentSettings:
        """Return the settings, whose plan is as the collector signed it."""

    @property
    def plan(self) -> Plan:
        """Return the part of the plan that runs."""

    def now_us(self) -> int:
        """Return the collector's time, as far as it is known."""


class VisitHost(Protocol):
    """Declare what runs a visit. Implemented by runtime.agent.Agent."""

    def make_net_source(self) -> NetSource:
        """Make the network of visits."""

    async def run_visit(self, task: Task) -> None:
        """Measure a task at its given addresses, and store the result."""


@dataclass(slots=True)
class VisitQueue:
    """Verify orders as they come, and run their visits."""

    host: VisitHost
    plans: PlanSource
    clock: Clock
    _rate: TokenBucket = field(init=False)
    _orders: asyncio.Queue[tuple[Visit, ...]] = field(
        default_factory=partial(asyncio.Queue, MAX_ORDERS)
    )

    def __post_init__(self) -> None:
        now_us = self.clock.monotonic_us()
        self._rate = TokenBucket(VISITS_PER_HOUR / HOUR_S, VISITS_PER_HOUR, VISITS_PER_HOUR, now_us)

    def take_order(self, signed: intake_pb2.SignedVisitOrder) -> None:
        """Queue an order for this control; log why one is refused."""
        collector = self.plans.settings.collector
        if collector.role != CONTROL or self._orders.full():
            return
        now_s = self.plans.now_us() // 1_000_000
        try:
            visits = open_order(signed, collector.signing_key, collector.agent, now_s)
        except VisitOrderError as error:
            log.warning("an order for visits was refused: %s", error)
            return
        if self._rate.take(len(visits), self.clock.monotonic_us()):
            log.warning("more than %d visits an hour were asked for", VISITS_PER_HOUR)
            return
        self._orders.put_nowait(visits)

    async def run(self) -> None:
        """Run visits until cancelled."""
        source: NetSource | None = None
        while True:
            visits = await self._orders.get()
            source = source or self.host.make_net_source()
            settings = self.plans.settings
            own_addresses = await find_own_addresses(settings, source, self.clock)
            checks = AddressChecks(source, own_addresses, settings.config.local_targets)
            for task in make_visit_tasks(visits, self.plans.plan, settings.plan.services, checks):
                await self.host.run_visit(task)


@dataclass(frozen=True, slots=True)
class AddressChecks:
    """Refuse addresses that no visit may contact."""

    source: NetSource
    own_addresses: Collection[str]
    allows_local_targets: bool

    def is_allowed(self, literal: str) -> bool:
        is_public = self.allows_local_targets or not is_special_purpose(literal)
        return (
            parse_literal(literal) == literal
            and is_public
            and literal not in self.own_addresses
            and not self.source.is_forbidden(literal)
        )


async def find_own_addresses(
    settings: AgentSettings, source: NetSource, clock: Clock
) -> frozenset[str]:
    """Return the addresses of the collector's entrances, as given and as resolved now."""
    entrances = settings.plan.entrances
    hosts = {entrance.host for entrance in entrances}
    hosts.add(settings.collector.endpoint.rpartition(":")[0])
    literals = {address for entrance in entrances for address in entrance.addresses}
    literals |= {parse_literal(host) for host in hosts} - {""}
    names = {host for host in hosts if not parse_literal(host)}
    # Loaded here, as it brings all experiments, and few agents are controls.
    from heliograph_agent.experiments.endpoints import find_addresses

    net = source.bind(StepTrace(clock))
    try:
        for name in sorted(names):
            with suppress(ValueError):  # nothing that a resolver could be asked for
                for address in await find_addresses(name, net, ipv4=OWN_ADDRESSES):
                    literals.add(parse_literal(address.literal))
    finally:
        await net.close()
    return frozenset(literals)


def make_visit_tasks(
    visits: Sequence[Visit], plan: Plan, signed_services: Sequence[Service], checks: AddressChecks
) -> list[Task]:
    """Make one task for each task of the plan that the visits name; drop others.

    Args:
        plan: The tasks of this agent.
        signed_services: The services as signed; one that a file of this machine replaced is left.
        checks: Which addresses may be contacted.
    """
    from heliograph.experiments import is_visitable  # loaded here, as few agents are controls

    page_hosts = list_page_hosts(plan.tasks)
    addresses_by_key: dict[tuple[str, str, str], dict[str, tuple[str, ...]]] = {}
    for visit in visits:
        if checks.is_allowed(visit.address):
            key = (visit.experiment, visit.service, visit.target)
            by_endpoint = addresses_by_key.setdefault(key, {})
            earlier = by_endpoint.get(visit.endpoint, ())
            by_endpoint[visit.endpoint] = tuple(dict.fromkeys((*earlier, visit.address)))
    tasks: list[Task] = []
    for task in make_tasks(plan):
        if task.is_light:
            continue
        key = (task.experiment, task.service_name, "" if task.service else task.target)
        addresses = addresses_by_key.pop(key, {}) if is_visitable(task.experiment) else {}
        visit_task = (
            _make_page_task(task, addresses, page_hosts)
            if task.service is None
            else _make_service_task(task, task.service, addresses, signed_services)
        )
        if visit_task is not None:
            tasks.append(visit_task)
    return tasks


def _make_page_task(
    task: Task, addresses: Mapping[str, tuple[str, ...]], page_hosts: Collection[str]
) -> Task | None:
    """Keep the addresses of servers and redirects in the plan; None if none remains."""
    servers = list_servers(task.experiment, task.target, task.options)
    labels = {server.label for server in servers}
    if task.experiment == PAGES and servers:
        labels |= {x for x in addresses if find_redirect_host(x, task.target, page_hosts)}
    own = {label: addresses[label] for label in addresses if label in labels}
    return replace(task, addresses=own) if own else None


def _make_service_task(
    task: Task,
    service: Service,
    addresses: Mapping[str, tuple[str, ...]],
    signed_services: Sequence[Service],
) -> Task | None:
    """Narrow a task to the endpoints that are visited; None when none is left."""
    if service not in signed_services:
        return None
    endpoints = tuple(
        endpoint
        for endpoint in service.endpoints
        if endpoint.id in addresses
        and endpoint.kind is not EndpointKind.DNS
        and not parse_literal(endpoint.host)
    )
    if not endpoints:
        return None
    own = {endpoint.id: addresses[endpoint.id] for endpoint in endpoints}
    return replace(task, service=replace(service, endpoints=endpoints), addresses=own)
