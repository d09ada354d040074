"""Spools to test: measurements, a seal that leaves envelopes readable, deliveries."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heliograph.clock import Clock
from heliograph.codec import epoch_to_pb
from heliograph.observation import Epoch, Measurement
from heliograph.v1 import envelope_pb2, observation_pb2
from heliograph_agent.spool import LIMIT_BYTES, Priority, Spool
from heliograph_agent.spool.sealing import BatchSealer
from support.hand_clock import HandClock

EPOCH = Epoch(id="epoch-1", started_us=1_641_380_400_000_000, country="KZ")


MEASUREMENT = Measurement(
    experiment="tcp", experiment_version=1, target="", started_us=1_641_380_400_000_000,
    monotonic_us=1_000_000, boot="boot", runtime_us=20_000, epoch=EPOCH.id,
)  # fmt: skip


def measurement(target: str = "www.example.test", **facts: Any) -> Measurement:
    """Return a measurement; a long `not_measured` makes it as long as wanted."""
    return replace(MEASUREMENT, target=target, **facts)


class PlainSealer:
    """A Batch in clear; `before` runs first."""

    def __init__(self, before: Callable[[int, Sequence[Epoch]], None] = lambda *_: None) -> None:
        self._before = before

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        self._before(sequence, epochs)
        return envelope_pb2.Batch(
            sequence=sequence,
            epochs=[epoch_to_pb(epoch) for epoch in epochs],
            measurements=[observation_pb2.Measurement.FromString(m) for m in measurements],
        ).SerializeToString()


@dataclass
class ConstantSealer:
    """A sealer that returns the same bytes for everything."""

    envelope: bytes

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        return self.envelope


@dataclass
class ReplaceableSealer:
    """Seals as another does, which a test replaces."""

    current: BatchSealer

    def seal_batch(
        self, sequence: int, measurements: Sequence[bytes], epochs: Sequence[Epoch]
    ) -> bytes:
        return self.current.seal_batch(sequence, measurements, epochs)


PLAIN = PlainSealer()


def contents(envelope: bytes) -> dict[int, str]:
    """Return number → target of the measurements in an envelope sealed by PLAIN."""
    batch = envelope_pb2.Batch.FromString(envelope)
    return {m.sequence: m.target for m in batch.measurements}


@asynccontextmanager
async def open_spool(
    path: Path,
    clock: Clock | None = None,
    limit_bytes: int = LIMIT_BYTES,
    sealer: BatchSealer = PLAIN,
) -> AsyncIterator[Spool]:
    """Open a spool; close it with the block."""
    spool = Spool(path, sealer, limit_bytes=limit_bytes, clock=clock or HandClock())
    try:
        yield spool
    finally:
        await spool.close()


async def append(
    spool: Spool, *targets: str, priority: Priority = Priority.P3, not_measured: str = ""
) -> list[int]:
    """Append one measurement per target; return their sequences."""
    results = [measurement(target, not_measured=not_measured) for target in targets]
    return [await spool.append(result, EPOCH, priority) for result in results]


async def close_all(spool: Spool) -> list[int]:
    """Close batches until nothing is open; return the envelopes' numbers."""
    numbers = []
    while (number := await spool.close_batch()) is not None:
        numbers.append(number)
    return numbers


async def deliver_all(spool: Spool) -> list[envelope_pb2.Batch]:
    """Acknowledge everything, envelope by envelope, in the order of sending."""
    batches = []
    await close_all(spool)
    while waiting := await spool.list_waiting(1):
        ((number, envelope),) = waiting
        await spool.mark_offered([number])
        batches.append(envelope_pb2.Batch.FromString(envelope))
        await spool.record_receipt(number, "stored")
    return batches
