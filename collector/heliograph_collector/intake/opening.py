"""Opens envelopes and looks through what is in them, in a few threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import codec, envelope
from heliograph.keys import SealingKey
from heliograph.v1 import envelope_pb2 as pb
from heliograph_collector.intake import limits
from heliograph_collector.store.journal import MAX_SEQUENCE
from heliograph_collector.store.rows import time_is_sane

THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """An opened envelope; `bad` measurements are passed over by whoever decodes it later too."""

    opened: envelope.Opened
    good: int
    bad: int
    time_bad: int


class Opener:
    def __init__(self, key: SealingKey, public_key_of: Callable[[bytes], bytes | None]) -> None:
        self._key = key
        self._public_key_of = public_key_of
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="open")

    async def open(self, message: pb.Envelope, received_us: int) -> Sifted:
        """Raises EnvelopeError. How many may wait is the door's to bound."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._open, message, received_us
        )

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _open(self, message: pb.Envelope, received_us: int) -> Sifted:
        return sift(envelope.open_envelope(message, self._key, self._public_key_of), received_us)


def parse(message: bytes) -> pb.Envelope:
    """Raises EnvelopeError: too_large or bad_envelope."""
    if len(message) > limits.MESSAGE_BYTES:
        raise envelope.EnvelopeError("too_large")
    try:
        return pb.Envelope.FromString(message)
    except DecodeError as error:
        raise envelope.EnvelopeError("bad_envelope") from error


def sift(opened: envelope.Opened, received_us: int) -> Sifted:
    """Each measurement is judged by itself: a bad one never takes its batch along."""
    batch = opened.batch
    if len(batch.measurements) > limits.MAX_MEASUREMENTS or len(batch.epochs) > limits.MAX_EPOCHS:
        raise envelope.EnvelopeError("too_large")
    if not 0 < batch.sequence <= MAX_SEQUENCE:
        raise envelope.EnvelopeError("bad_batch")
    good = time_bad = 0
    for message in batch.measurements:
        try:
            measurement = codec.measurement_from_pb(message)
        except codec.CodecError:
            continue
        good += 1
        time_bad += not time_is_sane(measurement, received_us)
    bad = len(batch.measurements) - good
    return Sifted(opened=opened, good=good, bad=bad, time_bad=time_bad)
