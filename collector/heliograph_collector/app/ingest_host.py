"""Run an ingest host: agents' entrances, beside other hosts of one collector.

Theory of operation. Any number of hosts takes envelopes into one journal on servers, and an agent
may come to another host with each connection. A host reports its sessions each REPORT_S to the
collector that leads (`cluster_ingest`), and decides nothing about silence. It follows the fleet by
the servers, asks the leader for enrolments, and needs it for nothing else: without a leader agents
are served and acknowledged as ever. Without servers it acknowledges nothing, and keeps its
sessions.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import CollectorRegistry

from heliograph.clock import Clock
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1 import intake_pb2 as pb
from heliograph_collector.app.cluster_messages import (
    ACCEPT,
    ORDER,
    REPORT,
    HostOrder,
    HostReport,
    MessageError,
    Resync,
    decode_order,
    encode,
)
from heliograph_collector.app.explained_errors import explain_errors
from heliograph_collector.app.fleet_sharing import (
    FleetFollower,
    HostDirectory,
    HostFleet,
    LeaderClient,
    check_key_files,
)
from heliograph_collector.app.host_board import GRACE_US
from heliograph_collector.app.ingest_messages import (
    Accept,
    Accepted,
    BadMeasurements,
    Offer,
    Pace,
    SessionRecord,
    SessionsChanged,
    decode_message,
)
from heliograph_collector.app.listeners import OtherListeners, open_listeners
from heliograph_collector.app.session_report import SessionReporter
from heliograph_collector.config.endpoint_file import EndpointFile
from heliograph_collector.config.errors import CannotServeError
from heliograph_collector.config.journal_settings import JournalSettings
from heliograph_collector.config.roles import INGEST
from heliograph_collector.config.settings import Config
from heliograph_collector.fleet import Keyring, KeysError, open_keyring
from heliograph_collector.ingest.build import IngestConfig, IngestServices
from heliograph_collector.ingest.geo.lookup import PeerLocation
from heliograph_collector.ingest.pacing import JudgeLoad
from heliograph_collector.ingest.presence import DisconnectReason
from heliograph_collector.model.guarded_clock import BootClock, GuardedClock
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.opening import open_beside_hosts

if TYPE_CHECKING:
    from heliograph_collector.store.journal.jetstream.bus import Bus
    from heliograph_collector.store.journal.jetstream.host_journal import HostJournal

REPORT_S = 1.0  # nobody decides by sessions within a second
CUT_OFF_US = 30 * SECOND_US  # assumed; nothing is acknowledged here meanwhile
MAX_SESSIONS = 500  # of one report: some 200 kB
PAST_US = GRACE_US  # kept so long: then agents are no longer awaited
MAX_PAST = 20_000  # assumed; a cut of a large country, of one host's agents
log = logging.getLogger("heliograph.intake")


@asynccontextmanager
async def run_ingest_host(config: Config, servers: JournalSettings) -> AsyncIterator[None]:
    """Run an ingest host inside the block. Raises CannotServeError."""
    check_key_files(config.data)
    if config.dns_listener or config.strangers:
        raise CannotServeError(
            "An ingest host serves neither dns nor strangers: take both out of its configuration."
        )
    async with AsyncExitStack() as stack:
        with explain_errors(JournalError):
            host = await stack.enter_async_context(open_beside_hosts(servers))
        with explain_errors(KeysError, data=config.data):
            # The certificate stays as it was copied: an agent that has seen that of one host trusts
            # no other with the same key, and a balancer gives it another host each time.
            keyring = open_keyring(config.data, ())
            client = LeaderClient(host.bus)
            fleet = HostFleet(config.data, client)
            stack.callback(fleet.close)
        follower = FleetFollower(fleet, host.table)
        await follower.load_shared(keyring)
        clock = GuardedClock(BootClock(), 0)
        endpoint_file = EndpointFile(config)
        stack.callback(endpoint_file.remove)
        ingest_config = _build_config(
            config, keyring, HostDirectory(fleet, client, follower), host.journal, clock
        )
        others = OtherListeners(post=config.post, dns="", dns_zone="")
        ingest, ports = await open_listeners(ingest_config, others, stack)
        endpoint_file.announce("grpc", config.grpc, ports.grpc)
        if ports.post:
            endpoint_file.announce("post", config.post, ports.post)
        endpoint_file.publish(roles=INGEST)
        reporter = HostReporter(host.name, host.bus, host.journal, ingest, clock)
        stack.push_async_callback(reporter.report_end)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        await stack.enter_async_context(host.bus.answer(ACCEPT, reporter.accept, is_shared=True))
        for run in (reporter.run, reporter.follow_orders, follower.follow):
            stack.callback(group.create_task(run()).cancel)
        yield


def _build_config(
    config: Config,
    keyring: Keyring,
    directory: HostDirectory,
    journal: "HostJournal",
    clock: Clock,
) -> IngestConfig:
    return IngestConfig(
        endpoint=config.grpc,
        public_endpoint=config.endpoint or config.grpc,
        data=config.data,
        fleet=directory.fleet,
        keyring=keyring,
        journal=journal,
        registry=CollectorRegistry(),
        clock=clock,
        rng=random.SystemRandom(),
        country_file=config.geo_file("country"),
        asn_file=config.geo_file("asn"),
        sessions=config.sessions,
        batches_per_hour=config.batches_per_hour,
        trusted_proxies=config.trusted_proxies,
        directory=directory,
    )


class HostReporter:
    """Reports the sessions of this host, and follows the leader's orders."""

    def __init__(
        self,
        name: str,
        bus: "Bus",
        journal: "HostJournal",
        ingest: IngestServices,
        clock: Clock,
    ) -> None:
        self._name = name
        self._bus = bus
        self._journal = journal
        self._ingest = ingest
        self._clock = clock
        self._sessions = SessionReporter(ingest, MAX_PAST)
        self._number = 0
        self._connected_us = clock.monotonic_us()
        self._is_again = True  # until a leader has all sessions
        self._wants_past = False  # it asked for those that ended

    async def run(self) -> None:
        """Report each REPORT_S; never return."""
        while True:
            await self.report()
            await asyncio.sleep(REPORT_S)

    async def report(self) -> None:
        """Report changes; send agents to other hosts if the servers are out of reach."""
        now_us = self._clock.monotonic_us()
        if self._bus.is_connected:
            self._connected_us = now_us
        elif now_us - self._connected_us >= CUT_OFF_US:
            for connection in self._ingest.connections:
                connection.end(DisconnectReason.STOPPED)
        await self._report()

    async def report_end(self) -> None:
        """Tell the leader that agents will come to other hosts."""
        await self._report(is_last=True)

    async def follow_orders(self) -> None:
        """Follow orders; never return."""
        async for _, content in self._bus.listen(f"{ORDER}.{self._name}"):
            try:
                self._follow(decode_order(content))
            except MessageError as error:
                log.warning("An order is not understood: %s", error)

    async def accept(self, content: bytes) -> bytes:
        """Accept an envelope that came to the leader's HTTP server."""
        request = decode_message(content)
        if not isinstance(request, Accept):
            return b""
        receipt = await self._ingest.accept(
            request.envelope, request.forwarded_for, elsewhere=request.elsewhere
        )
        return encode(Accepted(number=request.number, receipt=receipt.SerializeToString()))

    def _follow(self, order: HostOrder) -> None:
        match order:
            case Resync():
                self._is_again = True
                self._wants_past |= order.with_past
            case Offer():
                connection = self._sessions.find(order.key)
                if connection is not None:
                    connection.offer(pb.CollectorMessage.FromString(order.message))
            case Pace():
                load = JudgeLoad(order.arrived, order.judged, order.lag_us)
                self._ingest.set_pace(load, frozenset(order.countries))
            case BadMeasurements():
                self._ingest.block_listener.count_bad(order.count)

    async def _report(self, *, is_last: bool = False) -> None:
        is_again = self._is_again
        self._is_again = False
        open_keys = None
        if is_again:
            open_keys = self._sessions.list_keys()
            self._sessions.report_again()
        while True:
            sessions = self._sessions.compose(MAX_SESSIONS, self._clock.monotonic_us())
            await self._send(sessions, open_keys, is_again=is_again, is_last=is_last)
            open_keys = None
            if sessions is None or len(sessions.states) < MAX_SESSIONS:
                break
        if self._wants_past:
            self._wants_past = False
            since_us = self._clock.monotonic_us() - PAST_US
            for past in self._sessions.list_past(since_us, MAX_SESSIONS):
                await self._send(past, None, is_past=True)
            await self._send(None, None, is_past=True)

    async def _send(
        self,
        sessions: SessionsChanged | None,
        open_keys: list[int] | None,
        *,
        is_again: bool = False,
        is_last: bool = False,
        is_past: bool = False,
    ) -> None:
        self._number += 1
        if sessions is not None:
            day = self._clock.wall_us() // DAY_US
            added = [_strip_record(record, day) for record in sessions.added]
            sessions = msgspec.structs.replace(sessions, added=added)
        report = HostReport(
            number=self._number,
            at_us=self._clock.monotonic_us(),
            position=self._journal.position,
            ranges_applied=self._journal.ranges_applied,
            open_keys=open_keys,
            sessions=sessions,
            is_again=is_again,
            is_last=is_last,
            is_past=is_past,
        )
        await self._bus.publish(f"{REPORT}.{self._name}", encode(report))


def _strip_record(record: SessionRecord, day: int) -> SessionRecord:
    """Leave out data that stay in memory, and name the line for two days.

    A session has ended before the day after tomorrow.
    """
    location = PeerLocation(
        country=record.location.country,
        asn=record.location.asn,
        prefix=record.location.name_days([day, day + 1]),
    )
    agent = replace(record.agent, name="", note="")
    return msgspec.structs.replace(record, location=location, agent=agent)
