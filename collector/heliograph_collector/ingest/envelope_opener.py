"""Opens envelopes and looks through what is in them, in a few threads."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import codec, envelope
from heliograph.keys import SealingKey
from heliograph.v1 import envelope_pb2 as pb
from heliograph_collector.ingest import rate_limits
from heliograph_collector.model.records import time_is_sane
from heliograph_collector.store.journal.journal import MAX_SEQUENCE

THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """An opened envelope; `bad` measurements are passed over by whoever decodes it later too."""

    opened: envelope.Opened
    good: int
    bad: int
    time_bad: int


class Opener:
    """`sealer` finds the key that an envelope is sealed to; `keys_of` the keys of an agent, the
    present one first, then those that it signed by before."""

    def __init__(
        self,
        sealer: Callable[[bytes], SealingKey | None],
        keys_of: Callable[[bytes], Sequence[bytes]],
    ) -> None:
        self._sealer = sealer
        self._keys_of = keys_of
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="open")

    async def open(self, message: pb.Envelope, received_us: int) -> Sifted:
        """Raises EnvelopeError. How many may wait is the door's to bound."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._open, message, received_us
        )

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _open(self, message: pb.Envelope, received_us: int) -> Sifted:
        if message.version != envelope.VERSION:
            raise envelope.EnvelopeError("unknown_version")
        key = self._sealer(message.key_id)
        if key is None:
            raise envelope.EnvelopeError("unknown_key")
        return sift(self._unsealed(message, key), received_us)

    def _unsealed(self, message: pb.Envelope, key: SealingKey) -> envelope.Opened:
        """By the agent's present key; where that did not sign, by each that it had before."""
        known: Sequence[bytes] = ()

        def nth(agent: bytes) -> bytes | None:
            nonlocal known
            known = known or self._keys_of(agent)
            return known[turn] if turn < len(known) else None

        turn = 0
        while True:
            try:
                return envelope.open_envelope(message, key, nth)
            except envelope.EnvelopeError as error:
                turn += 1
                if error.reason != "bad_signature" or turn >= len(known):
                    raise


def parse(message: bytes) -> pb.Envelope:
    """Raises EnvelopeError: too_large or bad_envelope."""
    if len(message) > rate_limits.MESSAGE_BYTES:
        raise envelope.EnvelopeError("too_large")
    try:
        return pb.Envelope.FromString(message)
    except DecodeError as error:
        raise envelope.EnvelopeError("bad_envelope") from error


def sift(opened: envelope.Opened, received_us: int) -> Sifted:
    """Each measurement is judged by itself: a bad one never takes its batch along."""
    batch = opened.batch
    if (
        len(batch.measurements) > rate_limits.MAX_MEASUREMENTS
        or len(batch.epochs) > rate_limits.MAX_EPOCHS
    ):
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
