"""Receiver of envelopes from every transport: open, check, journal, then receipt."""

import asyncio
import hashlib
import sqlite3
from dataclasses import replace
from math import ceil

from heliograph.clock import Clock
from heliograph.envelope import EnvelopeError
from heliograph.receipts import ACCEPTED_STATUSES, CLONED
from heliograph.units import HOUR_S
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1 import intake_pb2 as ipb
from heliograph_collector.fleet import quarantine
from heliograph_collector.fleet.registry import EnrolledAgent
from heliograph_collector.fleet.session_records import Refusal
from heliograph_collector.ingest import envelope_opener, rate_limits
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.ingest.epoch_locations import EpochLocations
from heliograph_collector.ingest.geo.lookup import UNKNOWN_LOCATION, GeoLookup, PeerLocation
from heliograph_collector.ingest.metrics import IngestMetrics
from heliograph_collector.ingest.write_deadlines import WriteDeadlines
from heliograph_collector.model.records import AgentRole, JournalRow, RowKind, Vantage
from heliograph_collector.store.journal.journal import JournalError
from heliograph_collector.store.journal.protocol import JournalProtocol

# assumed, as is the next
BUSY_RETRY_S = 5
_JOURNAL_RETRY_S = 15
FIRST_FORKED = 2**62  # numbers of forked batches: the upper half of the journal's


class EnvelopeReceiver:
    def __init__(
        self,
        *,
        directory: AgentDirectory,
        journal: JournalProtocol,
        opener: envelope_opener.EnvelopeOpener,
        geo: GeoLookup,
        metrics: IngestMetrics,
        clock: Clock,
        batches_per_hour: int,
    ) -> None:
        self.directory = directory
        self.journal = journal
        self.geo = geo
        self.clock = clock
        self.metrics = metrics
        # A session takes a slot before it passes an envelope on, and waits without one.
        self.slots = asyncio.Semaphore(rate_limits.MAX_ENVELOPES_IN_WORK)
        self.write_deadlines = WriteDeadlines(rate_limits.RPC_S)  # of all sessions
        self.epoch_locations = EpochLocations()
        self._opener = opener
        self._agent_rates = rate_limits.build_agent_rates(batches_per_hour)
        self._stranger_rates = rate_limits.build_stranger_rates()
        self._newcomer_rates = rate_limits.build_newcomer_rates()

    async def accept(
        self,
        envelope: bytes,
        address_chain: str,
        carrier: str = "post",
        *,
        elsewhere: bool = False,
        sender: EnrolledAgent | None = None,
    ) -> ipb.Receipt:
        """Accept an envelope from anybody; the address is not kept.

        Args:
            elsewhere: The address is a proxy's or a relay's. It then limits the rate but locates
                nobody.
            sender: The agent that proved itself by the request, None for anybody. A known one is
                limited by its own rate alone.
        """
        is_known = sender is not None and sender.is_known
        location = self.geo.locate(address_chain, self.clock.wall_us())
        wait_s = 0 if is_known else self._stranger_level_s(location)
        if wait_s:
            return self._count_receipt(carrier, _build_retry(0, wait_s), "prefix_quota")
        try:
            message = envelope_opener.parse_envelope(envelope)
        except EnvelopeError as error:
            self.stranger_wait_s(location)
            return self._count_receipt(carrier, _build_rejection(0, error.reason), error.reason)
        if self.slots.locked() and not is_known:
            return self._count_receipt(carrier, _build_retry(0, BUSY_RETRY_S), "busy")
        async with self.slots:
            receipt = await self.receive(
                message, UNKNOWN_LOCATION if elsewhere else location, carrier, sender
            )
        if receipt.status == ipb.STATUS_REJECTED:
            self.stranger_wait_s(location)
        return receipt

    def stranger_wait_s(self, location: PeerLocation) -> int:
        """Count a try of this network; return the seconds to its next one, 0 for now."""
        return ceil(self._stranger_rates.take(location.prefix, self.clock.monotonic_us()))

    def enrolment_wait_s(self, location: PeerLocation, token: bytes) -> int:
        """Count an enrollment; return the seconds until the next try, 0 for now.

        Each invite has a separate rate, so that a flood from its bearer's network delays nobody
        whom the operator invited.
        """
        name = self.directory.find_invite(token) or location.prefix
        return ceil(self._stranger_rates.take(name, self.clock.monotonic_us()))

    def _stranger_level_s(self, location: PeerLocation) -> int:
        """Return the seconds until this network may send; only refusals are counted."""
        level = self._stranger_rates.level(location.prefix, self.clock.monotonic_us())
        return 0 if level is None or level >= 1 else ceil((1 - level) / self._stranger_rates.per_s)

    def newcomer_wait_s(self, location: PeerLocation) -> int:
        """Return the seconds until these networks may enroll another agent without invite.

        The narrowest comes first, so that a flooding one does not use up the rate of those around.
        """
        now_us = self.clock.monotonic_us()
        for key in location.networks:
            wait_s = ceil(self._newcomer_rates[key.width].take(key.name, now_us))
            if wait_s:
                return wait_s
        return 0

    async def receive(
        self,
        message: pb.Envelope,
        location: PeerLocation,
        carrier: str,
        bearer: EnrolledAgent | None = None,
        epoch: str = "",
    ) -> ipb.Receipt:
        """Open and store an envelope that a session or `accept` received.

        Args:
            bearer: The agent that proved itself, which may carry it for another agent: what waits
                where a machine has drawn a new key, or what a relay has got.
            epoch: That of the session; "" without one.
        """
        started_us = self.clock.monotonic_us()
        self.metrics.bytes.inc(len(message.sealed))
        receipt, reason = await self._open_and_store(message, location, carrier, bearer, epoch)
        self.metrics.acknowledge_seconds.observe(
            (self.clock.monotonic_us() - started_us) / 1_000_000
        )
        if bearer is not None and receipt.status == ipb.STATUS_REJECTED:
            now_s = self.clock.wall_us() // 1_000_000
            self.directory.record_refusal(Refusal(bearer.id, now_s, "results", reason))
        return self._count_receipt(carrier, receipt, reason)

    async def _open_and_store(
        self,
        message: pb.Envelope,
        location: PeerLocation,
        carrier: str,
        bearer: EnrolledAgent | None,
        epoch: str,
    ) -> tuple[ipb.Receipt, str]:
        received_us = self.clock.wall_us()
        try:
            opened = await self._opener.open(message, received_us)
        except EnvelopeError as error:
            return _build_rejection(0, error.reason), error.reason
        sequence = opened.contents.sequence
        agent = self.directory.get(opened.contents.agent)
        if agent is None or agent.revoked_s is not None:
            return _build_rejection(sequence, "revoked"), "revoked"
        wait_s = self._quota_wait_s(agent, received_us)
        if wait_s:
            return _build_retry(sequence, wait_s), "quota"
        is_relayed = bearer is not None and bearer.id != agent.id
        if is_relayed:
            location = UNKNOWN_LOCATION
        batch = opened.contents.batch
        batch_location = self.epoch_locations.locate(agent.id, batch, location, epoch)
        receipt, reason = await self._store(opened, agent, batch_location, carrier, received_us)
        if not epoch and bearer is not None and receipt.status == ipb.STATUS_STORED:
            self.epoch_locations.note_batch(agent.id, batch, location, received_us)
        if bearer is not None and not is_relayed and receipt.status in ACCEPTED_STATUSES:
            newest = self.directory.get(agent.id) or agent
            receipt.reason = "" if newest.cloned_s is None else CLONED
        return receipt, reason

    def remaining_batches(self, agent: bytes) -> int | None:
        """Return how many batches an agent may still send, None before its first."""
        level = self._agent_rates.level(agent, self.clock.monotonic_us())
        return None if level is None else int(level)

    def _quota_wait_s(self, agent: EnrolledAgent, received_us: int) -> int:
        last_s = agent.last_seen_s or agent.created_s
        absent_s = max(0, received_us // 1_000_000 - last_s)
        first_level = self._agent_rates.per_s * (HOUR_S + absent_s)
        now_us = self.clock.monotonic_us()
        return ceil(self._agent_rates.take(agent.id, now_us, first_level=first_level))

    async def _store(
        self,
        opened: envelope_opener.OpenedEnvelope,
        agent: EnrolledAgent,
        location: PeerLocation,
        carrier: str,
        received_us: int,
    ) -> tuple[ipb.Receipt, str]:
        sequence = opened.contents.sequence
        row = JournalRow(
            kind=RowKind.ENVELOPE,
            agent=agent.id,
            received_us=received_us,
            country=location.country,
            asn=location.asn,
            prefix=location.name_days(opened.days),
            role=AgentRole(agent.result_role),
            carrier=carrier,
            sequence=sequence,
            body=opened.contents.compressed,
            since_s=agent.created_s,
        )
        try:
            (position,) = await self.journal.append([row])
        except JournalError:
            return _build_retry(sequence, _JOURNAL_RETRY_S), "journal"
        if position is None:
            return await self._resolve_duplicate(agent, row)
        self.directory.record_result(agent, received_us // 1_000_000)
        for epoch in opened.contents.batch.epochs:
            if not epoch.region:  # as most: nothing to count
                continue
            declared = ipb.Hello(country=epoch.country, region=epoch.region)
            vantage = Vantage.from_peer(location.country, location.asn, declared)
            self.metrics.count_region(epoch.region, vantage)
        self.metrics.count_measurements(opened.count, opened.time_bad_count)
        return ipb.Receipt(sequence=sequence, status=ipb.STATUS_STORED), ""

    async def _resolve_duplicate(
        self, agent: EnrolledAgent, row: JournalRow
    ) -> tuple[ipb.Receipt, str]:
        """Answer a used sequence: a duplicate batch, or a fork by a second machine."""
        try:
            stored_body = await self.journal.read_body(agent.id, row.sequence)
            if stored_body is None or stored_body == row.body:
                return ipb.Receipt(sequence=row.sequence, status=ipb.STATUS_DUPLICATE), ""
            (position,) = await self.journal.append([build_forked_row(row)])
            if position is not None:
                now_s = self.clock.wall_us() // 1_000_000
                await self.directory.quarantine(quarantine.record_fork, agent, now_s)
        except (JournalError, sqlite3.Error):
            return _build_retry(row.sequence, _JOURNAL_RETRY_S), "journal"
        status = ipb.STATUS_DUPLICATE if position is None else ipb.STATUS_STORED
        return ipb.Receipt(sequence=row.sequence, status=status), "forked"

    def _count_receipt(self, carrier: str, receipt: ipb.Receipt, reason: str) -> ipb.Receipt:
        status = ipb.Status.Name(receipt.status).removeprefix("STATUS_").lower()
        self.metrics.envelopes.labels(carrier, status, reason).inc()
        return receipt


def build_forked_row(row: JournalRow) -> JournalRow:
    """Build the row of a batch whose number another machine has used.

    It is kept and never counted: the other machine may have sent the same results. Its number is
    taken from its content, so that it is stored once; no agent comes to numbers as high.
    """
    digest = hashlib.sha256(row.body).digest()
    sequence = FIRST_FORKED + int.from_bytes(digest[:8]) % FIRST_FORKED
    return replace(row, sequence=sequence, role=AgentRole.QUARANTINE)


def _build_rejection(sequence: int, reason: str) -> ipb.Receipt:
    return ipb.Receipt(sequence=sequence, status=ipb.STATUS_REJECTED, reason=reason)


def _build_retry(sequence: int, wait_s: int) -> ipb.Receipt:
    return ipb.Receipt(sequence=sequence, status=ipb.STATUS_RETRY, retry_after_s=wait_s)
