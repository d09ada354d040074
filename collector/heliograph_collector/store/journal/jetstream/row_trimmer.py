"""Deleting old rows, after the sequences of their envelopes are kept as ranges.

Theory of operation. Rows are looked through from the oldest, by their headers alone, up to the
first that stays. A row is as old as the older of two clocks says, the collector's and the server's:
a time when our clock was ahead must not keep rows for ever. Then, in this order:
1. The sequences go into the ranges in memory. Calls of `append` that begin now find them there.
2. Calls that began before must end, because their messages might come after the deletion.
3. The ranges of all partitions that changed are stored by the servers' quorum.
4. Each ingest host reports that it has the ranges, and has ended its earlier calls.
5. The rows are deleted, unless the lease is lost by then.
A crash between any two of these steps leaves sequences that are in the ranges and in the stream,
and the next deletion begins again. A message that nobody answered may be on its way for long, in
the buffers of a connection: its envelope is not deleted before `RowWriter.may_come` denies that.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from heliograph_collector.store.journal.group_commit import FencedError
from heliograph_collector.store.journal.jetstream.connection import NatsConnection
from heliograph_collector.store.journal.jetstream.host_register import HostRegister
from heliograph_collector.store.journal.jetstream.lease import AppendPermission, require_permission
from heliograph_collector.store.journal.jetstream.row_writer import RowWriter
from heliograph_collector.store.journal.jetstream.sequence_ranges import SequenceRanges
from heliograph_collector.store.journal.jetstream.stored_rows import (
    RECEIVED,
    Subjects,
    parse_envelope_subject,
)
from heliograph_collector.store.journal.jetstream.streams import JournalState

ROWS_PER_STEP = 100_000  # deleted at once; each step stores up to 256 partitions
_BATCH = 1_000
_IDLE_S = 300.0  # after which the servers drop the consumer of a trimmer that is gone
_DRAIN_S = 60.0
_POLL_S = 0.05
_TRIES = 4  # two are needed where another leader wrote once


@dataclass(frozen=True, slots=True)
class OldRows:
    """The oldest rows of a subject, which may go."""

    count: int
    last: int  # position
    sequences_by_agent: dict[bytes, list[int]]


class RowTrimmer:
    def __init__(
        self,
        connection: NatsConnection,
        lease: AppendPermission,
        subjects: Subjects,
        writer: RowWriter,
        ranges: SequenceRanges,
        state: JournalState,
        hosts: HostRegister,
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._subjects = subjects
        self._writer = writer
        self._ranges = ranges
        self._state = state
        self._hosts = hosts

    async def trim_envelopes(self, max_position: int, before_us: int) -> tuple[int, int]:
        """Delete old envelopes; return their number and the last position."""
        return await self._trim(self._subjects.envelopes, max_position, before_us)

    async def trim_presence(self, max_position: int, before_us: int) -> tuple[int, int]:
        return await self._trim(self._subjects.presence, max_position, before_us)

    async def _trim(self, subject: str, max_position: int, before_us: int) -> tuple[int, int]:
        count = 0
        last = 0
        while True:
            old = await self._find_old(subject, max_position, before_us)
            if not old.count:
                break
            if old.sequences_by_agent:
                await self._keep_sequences(old.sequences_by_agent)
            await require_permission(self._lease, self._connection)
            await self._connection.ask(
                self._connection.js.purge_stream,
                self._subjects.name,
                seq=old.last + 1,
                subject=subject,
            )
            count += old.count
            last = old.last
            if old.count < ROWS_PER_STEP:
                break
        return count, last

    async def _keep_sequences(self, sequences_by_agent: dict[bytes, list[int]]) -> None:
        changed = self._ranges.add(sequences_by_agent)
        await self._drain_calls()
        revision = 0
        for partition in sorted(changed):
            revision = await self._store_ranges(partition)
        await self._hosts.wait_for_all(revision)

    async def _store_ranges(self, partition: int) -> int:
        """Store a partition's ranges; return the revision. Raises JournalError.

        Between our reading and our writing another leader may have written some: one that lost the
        lease without knowing, or the next one. Both only add sequences of rows that were stored, so
        that all of them are kept.
        """
        for _ in range(_TRIES):
            await require_permission(self._lease, self._connection)
            try:
                return await self._state.put_ranges(partition, self._ranges.dump(partition))
            except FencedError:
                self._ranges.merge(await self._state.get_ranges(partition))
        raise self._connection.build_failure()

    async def _drain_calls(self) -> None:
        """Wait until all calls of `append` ended that are in flight now."""
        earlier = set(self._writer.calls_in_flight)
        deadline_s = asyncio.get_running_loop().time() + _DRAIN_S
        while earlier & self._writer.calls_in_flight:
            if asyncio.get_running_loop().time() > deadline_s:
                raise self._connection.build_failure()
            await asyncio.sleep(_POLL_S)

    async def _find_old(self, subject: str, max_position: int, before_us: int) -> OldRows:
        consumer = await self._connection.ask(self._subscribe, subject)
        try:
            pending = (await self._connection.ask(consumer.consumer_info)).num_pending or 0
            old = OldRows(0, 0, {})
            while pending > 0 and old.count < ROWS_PER_STEP:
                messages = await self._fetch(consumer, min(_BATCH, pending))
                pending -= len(messages)
                grown = self._add_old(old, messages, max_position, before_us)
                is_end = grown.count < old.count + len(messages)
                old = grown
                if is_end:
                    break
            return old
        finally:
            await consumer.unsubscribe()

    async def _fetch(
        self, consumer: JetStreamContext.PullSubscription, count: int
    ) -> Sequence[Msg]:
        try:
            return await consumer.fetch(count, timeout=5)
        except nats.errors.TimeoutError:
            raise self._connection.build_failure() from None

    async def _subscribe(self, subject: str) -> JetStreamContext.PullSubscription:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.NONE,
            headers_only=True,
            num_replicas=1,
            mem_storage=True,
            inactive_threshold=_IDLE_S,
        )
        return await self._connection.js.pull_subscribe(
            subject, stream=self._subjects.name, config=config
        )

    def _add_old(
        self, old: OldRows, messages: Sequence[Msg], max_position: int, before_us: int
    ) -> OldRows:
        count = old.count
        last = old.last
        for message in messages:
            position = message.metadata.sequence.stream
            if position > max_position or _read_age_us(message) >= before_us:
                break
            if not message.subject.startswith(f"{self._subjects.name}.presence."):
                agent, sequence = parse_envelope_subject(message.subject)
                if self._writer.may_come(agent, sequence):
                    break
                old.sequences_by_agent.setdefault(agent, []).append(sequence)
            count += 1
            last = position
        return OldRows(count, last, old.sequences_by_agent)


def _read_age_us(message: Msg) -> int:
    server_us = int(message.metadata.timestamp.timestamp() * 1e6)
    return min(int((message.headers or {}).get(RECEIVED, server_us)), server_us)
