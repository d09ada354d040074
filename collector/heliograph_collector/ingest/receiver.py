"""The one way in for an envelope, whatever carried it: open, check, journal, then the receipt."""

import asyncio
import sqlite3

from heliograph.clock import Clock
from heliograph.envelope import EnvelopeError
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1 import intake_pb2 as ipb
from heliograph_collector.fleet import quarantine
from heliograph_collector.fleet.registry import Agent
from heliograph_collector.ingest import envelope_opener, rate_limits
from heliograph_collector.ingest.agent_directory import Roll
from heliograph_collector.ingest.geo.lookup import NOWHERE, Geo, Place
from heliograph_collector.ingest.metrics import Counters
from heliograph_collector.model.records import JournalRow, Kind, Role
from heliograph_collector.store.journal.journal import Journal, JournalError

_BUSY_S = 5
_JOURNAL_S = 15


class Door:
    def __init__(
        self,
        *,
        roll: Roll,
        journal: Journal,
        opener: envelope_opener.Opener,
        geo: Geo,
        counters: Counters,
        clock: Clock,
        batches_per_hour: int,
    ) -> None:
        self.roll, self.journal, self.geo, self.clock = roll, journal, geo, clock
        self.counters = counters
        # A session takes a slot before it hands an envelope in, and reads no further without one.
        self.slots = asyncio.Semaphore(rate_limits.ENVELOPES_AT_ONCE)
        self._opener = opener
        self._agents = rate_limits.agent_rates(batches_per_hour)
        self._strangers = rate_limits.stranger_rates()
        self._newcomers = rate_limits.newcomer_rates()

    async def accept(
        self, envelope: bytes, way: str, carrier: str = "post", *, elsewhere: bool = False
    ) -> ipb.Receipt:
        """An envelope from anybody, whatever it holds; the address is forgotten here. `elsewhere`:
        it is a proxy's or a relay's, which says how much may come from there and nothing more."""
        place = self.geo.locate(way, self.clock.wall_us())
        wait_s = self.stranger_waits_s(place)
        if wait_s:
            return self._count(carrier, _retry(0, wait_s), "prefix_quota")
        try:
            message = envelope_opener.parse(envelope)
        except EnvelopeError as error:
            return self._count(carrier, _rejected(0, error.reason), error.reason)
        if self.slots.locked():
            return self._count(carrier, _retry(0, _BUSY_S), "busy")
        async with self.slots:
            return await self.take(message, NOWHERE if elsewhere else place, carrier)

    def stranger_waits_s(self, place: Place) -> int:
        """Seconds until this network may try again, 0 for now."""
        return self._strangers.wait_s(place.prefix, self.clock.monotonic_us())

    def newcomer_waits_s(self, place: Place) -> int:
        """The same for one more from there that has no invite."""
        return self._newcomers.wait_s(place.prefix, self.clock.monotonic_us())

    async def take(
        self, message: pb.Envelope, place: Place, carrier: str, bearer: Agent | None = None
    ) -> ipb.Receipt:
        """`bearer` is the proven agent whose session brought it, which may carry for another."""
        began_us = self.clock.monotonic_us()
        self.counters.bytes.inc(len(message.sealed))
        receipt, reason = await self._take(message, place, carrier, bearer)
        self.counters.acknowledged.observe((self.clock.monotonic_us() - began_us) / 1_000_000)
        return self._count(carrier, receipt, reason)

    async def _take(
        self, message: pb.Envelope, place: Place, carrier: str, bearer: Agent | None
    ) -> tuple[ipb.Receipt, str]:
        received_us = self.clock.wall_us()
        try:
            sifted = await self._opener.open(message, received_us)
        except EnvelopeError as error:
            return _rejected(0, error.reason), error.reason
        sequence = sifted.opened.sequence
        agent = self.roll.get(sifted.opened.agent)
        if agent is None or agent.revoked_s is not None:
            return _rejected(sequence, "revoked"), "revoked"
        wait_s = self._quota_s(agent, received_us)
        if wait_s:
            return _retry(sequence, wait_s), "quota"
        foreign = bearer is not None and bearer.id != agent.id
        return await self._keep(sifted, agent, NOWHERE if foreign else place, carrier, received_us)

    def leave_of(self, agent: bytes) -> int | None:
        """How many batches more this agent may send now; None when it has sent none yet."""
        return self._agents.left(agent, self.clock.monotonic_us())

    def _quota_s(self, agent: Agent, received_us: int) -> int:
        last_s = agent.last_seen_s or agent.created_s
        absent_s = max(0, received_us // 1_000_000 - last_s)
        return self._agents.wait_s(agent.id, self.clock.monotonic_us(), absent_s=absent_s)

    async def _keep(
        self,
        sifted: envelope_opener.Sifted,
        agent: Agent,
        place: Place,
        carrier: str,
        received_us: int,
    ) -> tuple[ipb.Receipt, str]:
        sequence = sifted.opened.sequence
        row = JournalRow(
            kind=Kind.ENVELOPE,
            agent=agent.id,
            received_us=received_us,
            country=place.country,
            asn=place.asn,
            prefix=place.prefix,
            role=Role(agent.voice),
            carrier=carrier,
            sequence=sequence,
            body=sifted.opened.compressed,
            since_s=agent.created_s,
        )
        try:
            (position,) = await self.journal.append([row])
        except JournalError:
            return _retry(sequence, _JOURNAL_S), "journal"
        if position is None:
            return await self._again(agent, sequence, row.body)
        self.counters.took(sifted.good, sifted.bad, sifted.time_bad)
        return ipb.Receipt(sequence=sequence, status=ipb.STATUS_STORED), ""

    async def _again(self, agent: Agent, sequence: int, body: bytes) -> tuple[ipb.Receipt, str]:
        """A number that was used: by the same batch, or by another one of a second machine."""
        try:
            before = await self.journal.body_of(agent.id, sequence)
            if before is None or before == body:
                return ipb.Receipt(sequence=sequence, status=ipb.STATUS_DUPLICATE), ""
            await self.roll.doubt(quarantine.fork, agent, self.clock.wall_us() // 1_000_000)
        except (JournalError, sqlite3.Error):
            return _retry(sequence, _JOURNAL_S), "journal"
        return _rejected(sequence, "forked"), "forked"

    def _count(self, carrier: str, receipt: ipb.Receipt, reason: str) -> ipb.Receipt:
        status = ipb.Status.Name(receipt.status).removeprefix("STATUS_").lower()
        self.counters.envelopes.labels(carrier, status, reason).inc()
        return receipt


def _rejected(sequence: int, reason: str) -> ipb.Receipt:
    return ipb.Receipt(sequence=sequence, status=ipb.STATUS_REJECTED, reason=reason)


def _retry(sequence: int, wait_s: int) -> ipb.Receipt:
    return ipb.Receipt(sequence=sequence, status=ipb.STATUS_RETRY, retry_after_s=wait_s)
