"""Close batches every 30 s, after 200 results, and at once when something changed.

Until then this process alone can read a result in the spool; afterwards only the collector can. If
the process is killed before, each result's own sealed copy is sent. Batches are small enough for
every transport, also on a network that freezes a flow after two dozen packets.
While the agent is offline, batches are merged, summaries are kept in case room runs short, and
every ten minutes a digest of the whole offline time is sealed. The digest is sent first.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from heliograph import __version__
from heliograph.clock import Clock
from heliograph.codec.measurement import MAX_SPANS
from heliograph.observation import Digest, Epoch, Link, Measurement
from heliograph.units import HOUR_S
from heliograph.voice_code import CLASSES, ServiceState
from heliograph_agent.runtime.service_status import ServiceStates
from heliograph_agent.spool import Spool, SpoolError
from heliograph_agent.state import Collector, State, StateError
from heliograph_agent.uplink.transports import SMALL_ENVELOPE_BYTES

EXPERIMENT = "digest"
VERSION = 1
MAX_DOUBLINGS = 6  # doublings of the span to fit a small envelope
_STATE_CODE = {ServiceState.ANSWERS: 1, ServiceState.FAILS: 2, ServiceState.UNKNOWN: 0}
PERIOD_S = 30.0
BATCH_RESULTS = 200
DIGEST_US = 600_000_000
log = logging.getLogger("heliograph.agent")
OfflineDigests = tuple[Sequence[Measurement], Epoch]  # the finest first


class BatchHost(Protocol):
    """Declare what the batcher needs. Implemented by runtime.agent.Agent."""

    @property
    def is_offline(self) -> bool:
        """Return whether no transport works now."""

    def note_batch_closed(self) -> None:
        """Send the batch that is ready."""

    def note_all_delivered(self) -> None:
        """Note that no envelope waits for a receipt."""

    def build_offline_digest(self) -> OfflineDigests | None:
        """Build a digest of the offline time so far, None if it is too short."""


@dataclass(slots=True)
class CollectorSealer:
    """Seal results with the agent's key to `collector`, whose keys may be replaced."""

    state: State
    collector: Collector
    clock: Clock

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        """Seal a batch in the spool's thread, and load cryptography for the first one."""
        from heliograph import codec, envelope
        from heliograph.v1 import envelope_pb2, observation_pb2

        batch = envelope_pb2.Batch(
            agent=self.collector.agent,
            sequence=sequence,
            sealed_us=self.clock.wall_us(),
            agent_version=__version__,
            epochs=[codec.epoch_to_pb(epoch) for epoch in epochs],
            measurements=[observation_pb2.Measurement.FromString(m) for m in measurements],
        )
        return envelope.seal_batch(batch, self.state.signer(), self.collector.sealing_key)


class Batcher:
    """Close the spool's open measurements into sealed batches."""

    def __init__(self, spool: Spool, clock: Clock, host: BatchHost) -> None:
        self._spool = spool
        self._clock = clock
        self._host = host
        self._digested_us: int | None = None  # monotonic
        self._open_count = 0
        self._urgent = asyncio.Event()
        self._has_warned = False

    def note_measurement(self, *, urgent: bool) -> None:
        """Count an appended measurement, and close its batch at once if `urgent`."""
        self._open_count += 1
        if urgent or self._open_count >= BATCH_RESULTS:
            self._urgent.set()

    async def run(self) -> None:
        """Close batches until cancelled, beginning with results of an earlier run."""
        while True:
            await self.close_batches()
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_S):
                    await self._urgent.wait()

    async def close_batches(self) -> None:
        self._urgent.clear()
        self._open_count = 0
        try:
            is_offline = self._host.is_offline
            if not is_offline and not (await self._spool.read_counts()).waiting:
                self._host.note_all_delivered()
            while await close_next_batch(self._spool, is_offline=is_offline):
                self._host.note_batch_closed()
            if is_offline:
                await self._seal_digest()
            self._has_warned = False
        except (SpoolError, StateError) as error:  # a failing disk is tried again forever
            if not self._has_warned:
                log.warning("%s", error)
            self._has_warned = True

    async def _seal_digest(self) -> None:
        now_us = self._clock.monotonic_us()
        if self._digested_us is not None and now_us - self._digested_us < DIGEST_US:
            return
        offline_digests = self._host.build_offline_digest()
        if offline_digests is not None:
            self._digested_us = now_us
            await self._spool.write_digest(*offline_digests, SMALL_ENVELOPE_BYTES)


async def close_next_batch(spool: Spool, *, is_offline: bool) -> bool:
    """Close one batch; return False without open results. Raises SpoolError, StateError."""
    number = await spool.close_batch(SMALL_ENVELOPE_BYTES, is_offline=is_offline)
    return number is not None


@dataclass(slots=True)
class OfflineDigest:
    """Record hourly which kinds of service answered since the last delivery. Pure.

    The digest is sent first when a transport opens, in one small envelope, long before the results
    themselves are delivered. It is kept in memory alone, and on the disk only sealed.
    """

    clock: Clock
    boot: str
    _began_us: int | None = None  # monotonic
    _step_s: int = HOUR_S
    _spans: list[bytearray] = field(default_factory=list)

    def add_states(self, service_states: ServiceStates) -> None:
        """Add the states of some classes from a new measurement."""
        now_us = self.clock.monotonic_us()
        if self._began_us is None:
            self._began_us = now_us
        while (now_us - self._began_us) // (self._step_s * 1_000_000) >= MAX_SPANS:
            self._spans = _merge_pairs(self._spans)
            self._step_s = self._step_s * 2
        index = max(0, now_us - self._began_us) // (self._step_s * 1_000_000)
        while len(self._spans) <= index:
            self._spans.append(bytearray(len(CLASSES)))
        for name, (state, _) in service_states.items():
            self._spans[index][CLASSES.index(name)] |= _STATE_CODE[ServiceState(state)]

    def reset(self) -> None:
        """Start a new offline period, because everything was delivered."""
        self._began_us = None
        self._step_s = HOUR_S
        self._spans = []

    @property
    def is_worth_sending(self) -> bool:
        """Return whether the digest covers more than the present hour."""
        return len(self._spans) > 1

    def build_digests(self, epoch: Epoch, link: Link) -> Iterator[Measurement]:
        """Yield digests of the whole time, each with spans twice as long as the last."""
        step_s = self._step_s
        spans = self._spans
        for _ in range(MAX_DOUBLINGS if spans else 0):
            yield self._build_digest(step_s, spans, epoch, link)
            step_s = step_s * 2
            spans = _merge_pairs(spans)

    def _build_digest(
        self, step_s: int, spans: list[bytearray], epoch: Epoch, link: Link
    ) -> Measurement:
        now_us = self.clock.monotonic_us()
        began_us = now_us if self._began_us is None else self._began_us
        return Measurement(
            experiment=EXPERIMENT,
            experiment_version=VERSION,
            target="",
            started_us=self.clock.wall_us() - (now_us - began_us),  # as the clock is set now
            monotonic_us=began_us,
            boot=self.boot,
            runtime_us=now_us - began_us,
            epoch=epoch.id,
            link=link,
            digest=Digest(step_s=step_s, classes=CLASSES, lives=b"".join(spans)),
        )


def _merge_pairs(spans: list[bytearray]) -> list[bytearray]:
    pairs = (spans[index : index + 2] for index in range(0, len(spans), 2))
    return [bytearray(a | b for a, b in zip(pair[0], pair[-1], strict=True)) for pair in pairs]
