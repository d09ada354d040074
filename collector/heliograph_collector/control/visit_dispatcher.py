"""Send orders for visits to the connected controls, every few seconds."""

import asyncio
import logging
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Protocol

from aiohttp.abc import ResolveResult
from prometheus_client import CollectorRegistry, Counter

from heliograph import keys
from heliograph.address import parse_literal
from heliograph.clock import Clock
from heliograph.plan import Plan
from heliograph.units import HOUR_US, SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph.visits import sign_order
from heliograph_collector.control.visit_planner import VisitPlanner
from heliograph_collector.model.control_look import ControlSite
from heliograph_collector.model.records import Block

POLL_S = 5.0  # assumed; a twelfth of the least delay of a visit
RESOLVE_EVERY_US = HOUR_US  # assumed; how often the addresses of our own names are looked up
RESOLVE_S = 10.0
log = logging.getLogger("heliograph.control")


class VisitSessions(Protocol):
    """Declare the connected controls. Implemented by ingest.agent_sessions."""

    @property
    def plan_version(self) -> int:
        """Return the version of the plan that agents are given."""
        ...

    def read_plan(self) -> Plan:
        """Return that plan."""
        ...

    def list_sites(self) -> Sequence[ControlSite]:
        """List the controls whose results count and whose link is online."""
        ...

    def send_visits(self, agent: bytes, order: pb.SignedVisitOrder) -> bool:
        """Queue an order for one control; return False if it left or does not read."""
        ...


class HostResolver(Protocol):
    """Declare the system's resolver. Implemented by aiohttp.ThreadedResolver."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> Sequence[ResolveResult]:
        """Return the addresses of a name. Raises OSError if it has none."""
        ...


class VisitDispatcher:
    """Feed the planner with stored blocks, and send its orders. A `BlockListener`."""

    def __init__(
        self,
        planner: VisitPlanner,
        sessions: VisitSessions,
        signer: keys.SigningKey,
        *,
        clock: Clock,
        registry: CollectorRegistry,
        resolver: HostResolver,
        own_hosts: Collection[str],
    ) -> None:
        """Create it; `own_hosts` are those of the collector's listeners."""
        self._planner = planner
        self._sessions = sessions
        self._signer = signer
        self._clock = clock
        self._resolver = resolver
        self._own_hosts = own_hosts
        self._own_addresses: dict[str, frozenset[str]] = {}  # by host, as last resolved
        self._plan_version = 0
        self._visits = Counter(
            "heliograph_control_visits",
            "Visits of endpoints that controls were asked for",
            registry=registry,
        )

    def on_block(self, block: Block) -> None:
        self._planner.add(block.judged, self._clock.wall_us())

    async def run(self) -> None:
        """Send due orders until cancelled."""
        resolved_us: int | None = None
        while True:
            now_us = self._clock.monotonic_us()
            is_changed = self.follow_plan()
            if is_changed or resolved_us is None or now_us - resolved_us >= RESOLVE_EVERY_US:
                resolved_us = now_us
                await self.resolve_own_hosts()
            self.send_orders()
            await asyncio.sleep(POLL_S)

    def follow_plan(self) -> bool:
        """Give the planner the present plan; return whether it is another than before."""
        if self._sessions.plan_version == self._plan_version:
            return False
        self._plan_version = self._sessions.plan_version
        self._planner.follow_plan(self._sessions.read_plan())
        return True

    async def resolve_own_hosts(self) -> None:
        """Find the addresses of listeners and entrances, which are never visited.

        A host that does not resolve keeps its last addresses.
        """
        entrances = self._sessions.read_plan().entrances
        hosts = {entrance.host for entrance in entrances} | set(self._own_hosts)
        hosts |= {address for entrance in entrances for address in entrance.addresses}
        for host in sorted(hosts):
            if parse_literal(host):
                self._own_addresses[host] = frozenset({parse_literal(host)})
                continue
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(RESOLVE_S):
                    answers = await self._resolver.resolve(host, 0, socket.AF_UNSPEC)
                self._own_addresses[host] = frozenset(parse_literal(x["host"]) for x in answers)
        self._planner.refuse_addresses(frozenset().union(*self._own_addresses.values()))

    def send_orders(self) -> None:
        """Send the due orders."""
        now_us = self._clock.wall_us()
        for order in self._planner.take_orders(self._sessions.list_sites(), now_us):
            signed = sign_order(order.visits, order.agent, self._signer, now_us // SECOND_US)
            if self._sessions.send_visits(order.agent, signed):
                self._visits.inc(len(order.visits))
            else:
                log.info("A control left before it was asked for visits.")
