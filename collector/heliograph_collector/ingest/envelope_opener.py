"""Decrypt and check envelopes.

A single envelope is opened at once. Those that follow within PAUSE_S are opened together, GROUP at
most, and so they share a commit of the journal too. Small ones are opened in the event loop: to
send a group to a thread and back costs as much as to open one or two of them. A group with a large
one is opened in one of a few threads, and so is one that is small and turns out large when it is
unsealed: no agent can block the loop by its envelopes.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from heliograph import envelope
from heliograph.keys import SealingKey
from heliograph.units import DAY_US, SECOND_US
from heliograph.v1 import envelope_pb2 as pb
from heliograph.v1.observation_pb2 import Measurement
from heliograph_collector.fleet.keyring import SealingKeys
from heliograph_collector.ingest import rate_limits
from heliograph_collector.ingest.agent_directory import AgentDirectory
from heliograph_collector.model.records import MAX_AHEAD_US, is_possible_time
from heliograph_collector.store.journal.journal import MAX_SEQUENCE

THREADS = 2
GROUP = 16  # assumed; the first waits for the others, some 3 ms on an idle core
# From one group to the next, unless a whole one waits. Assumed: a receipt may take 250 ms. With 450
# envelopes a second they came each 2 ms, and each went alone to the disk.
PAUSE_S = 0.015
SMALL_BYTES = 24_576  # sealed; some ten results, which take 0.3 ms
SMALL_BATCH = 131_072  # bytes of it once decompressed; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEnvelope:
    """Opened envelope, whose measurements are not yet decoded.

    The judge finds out whether they are in the vocabulary.
    """

    contents: envelope.VerifiedBatch
    count: int  # of measurements
    time_bad_count: int
    days: frozenset[int]  # since 1970, of its arrival and of its measurements


@dataclass(slots=True, eq=False)
class _OpenRequest:
    """A waiting envelope, and after its turn its content or the refusal."""

    message: pb.Envelope
    received_us: int
    future: asyncio.Future[OpenedEnvelope]
    opened: OpenedEnvelope | None = None
    error: Exception | None = None

    def resolve(self) -> None:
        """Tell the caller, in its event loop."""
        if self.future.done():  # nobody waits any more
            return
        if self.opened is not None:
            self.future.set_result(self.opened)
        elif self.error is not None:
            self.future.set_exception(self.error)


class EnvelopeOpener:
    """Open envelopes: unseal, check the signature, count measurements.

    One event loop uses it.
    """

    def __init__(self, sealing_keys: SealingKeys, directory: AgentDirectory) -> None:
        self._sealing_keys = sealing_keys
        self._directory = directory
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="open")
        self._waiting: deque[_OpenRequest] = deque()
        self._busy_count = 0  # threads that have a group
        self._pause: asyncio.TimerHandle | None = None  # while one runs, a small group waits for it
        self._is_scheduled = False  # what waits is looked at in the loop's next turn

    async def open(self, message: pb.Envelope, received_us: int) -> OpenedEnvelope:
        """Open an envelope. Raises EnvelopeError. The caller limits how many may wait."""
        loop = asyncio.get_running_loop()
        request = _OpenRequest(message, received_us, loop.create_future())
        self._waiting.append(request)
        self._start_groups(loop)
        return await request.future

    def close(self) -> None:
        for request in self._waiting:
            request.future.cancel()
        self._waiting.clear()
        if self._pause is not None:
            self._pause.cancel()
        self._threads.shutdown(wait=False)

    def _start_groups(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._busy_count < THREADS:
            count = min(GROUP, len(self._waiting))
            if count < GROUP and self._pause is not None:
                return
            if self._pause is None:
                self._pause = loop.call_later(PAUSE_S, self._end_pause, loop)
            group = [self._waiting.popleft() for _ in range(count)]
            if all(len(request.message.sealed) <= SMALL_BYTES for request in group):
                self._open_here(group, loop)
                return
            self._open_apart(group, loop)

    def _open_here(self, group: list[_OpenRequest], loop: asyncio.AbstractEventLoop) -> None:
        """Open a group of small ones; what else waits comes after the loop's other work."""
        large: list[_OpenRequest] = []
        for request in group:
            if self._open_small(request):
                request.resolve()
            else:
                large.append(request)
        if large:
            self._open_apart(large, loop)
        self._start_later(loop)

    def _start_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start groups in the next turn, only one of small ones by all that ask for it."""
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._start_scheduled, loop)

    def _start_scheduled(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = False
        self._start_groups(loop)

    def _end_pause(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pause = None
        self._start_later(loop)

    def _open_apart(self, group: list[_OpenRequest], loop: asyncio.AbstractEventLoop) -> None:
        self._busy_count += 1
        self._threads.submit(self._open_in_thread, group, loop)

    def _open_in_thread(self, group: list[_OpenRequest], loop: asyncio.AbstractEventLoop) -> None:
        """Open a group, in a thread."""
        for request in group:
            self._open_request(request, envelope.MAX_BATCH)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._finish_group, group, loop)

    def _open_small(self, request: _OpenRequest) -> bool:
        """Open a request in the event loop; return False if it is large inside."""
        self._open_request(request, SMALL_BATCH)
        error = request.error
        if not isinstance(error, envelope.EnvelopeError) or error.reason != "too_large":
            return True
        request.error = None
        return False

    def _open_request(self, request: _OpenRequest, max_batch: int) -> None:
        try:
            request.opened = self._open(request.message, request.received_us, max_batch)
        except Exception as error:  # noqa: BLE001 whatever it is, the caller gets it, or it would wait for ever
            request.error = error

    def _finish_group(self, group: list[_OpenRequest], loop: asyncio.AbstractEventLoop) -> None:
        self._busy_count -= 1
        self._start_later(loop)
        for request in group:
            request.resolve()

    def _open(self, message: pb.Envelope, received_us: int, max_batch: int) -> OpenedEnvelope:
        envelope.find_info(message)  # an unknown version is refused before any file is read
        key = self._sealing_keys.find(message.key_id)
        if key is None:
            raise envelope.EnvelopeError("unknown_key")
        return check_batch(self._unseal(message, key, max_batch), received_us)

    def _unseal(
        self, message: pb.Envelope, key: SealingKey, max_batch: int
    ) -> envelope.VerifiedBatch:
        """Unseal and verify by the agent's present key, then by each earlier one."""
        agent_keys: Sequence[bytes] = ()

        def find_key(agent: bytes) -> bytes | None:
            nonlocal agent_keys
            agent_keys = agent_keys or self._directory.list_keys(agent)
            return agent_keys[key_index] if key_index < len(agent_keys) else None

        key_index = 0
        while True:
            try:
                return envelope.open_envelope(message, key, find_key, max_batch=max_batch)
            except envelope.EnvelopeError as error:
                key_index += 1
                if error.reason != "bad_signature" or key_index >= len(agent_keys):
                    raise


def parse_envelope(message: bytes) -> pb.Envelope:
    """Parse an envelope. Raises EnvelopeError: too_large or bad_envelope."""
    if len(message) > rate_limits.MAX_MESSAGE_BYTES:
        raise envelope.EnvelopeError("too_large")
    try:
        return pb.Envelope.FromString(message)
    except DecodeError as error:
        raise envelope.EnvelopeError("bad_envelope") from error


def check_batch(contents: envelope.VerifiedBatch, received_us: int) -> OpenedEnvelope:
    """Count measurements and find their days, without decoding them.

    Decoding costs 0.6 ms of CPU for each result of the default plan, and the judge does it anyway.
    """
    batch = contents.batch
    if (
        sum(max(1, len(m.parts)) for m in batch.measurements) > rate_limits.MAX_MEASUREMENTS
        or len(batch.epochs) > rate_limits.MAX_EPOCHS
    ):
        raise envelope.EnvelopeError("too_large")
    if not 0 < batch.sequence <= MAX_SEQUENCE:
        raise envelope.EnvelopeError("bad_batch")
    time_bad_count = 0
    days = {received_us // DAY_US}
    for message in batch.measurements:
        offset_us = message.clock_offset_us  # 0 where the agent does not know it; parts share it
        for part in message.parts or (message,):
            days.update(_list_days(part, part.started_us + offset_us, received_us))
        time_bad_count += not is_possible_time(message.started_us + offset_us, received_us)
    return OpenedEnvelope(
        contents=contents,
        count=len(batch.measurements),
        time_bad_count=time_bad_count,
        days=frozenset(days),
    )


def _list_days(message: Measurement, corrected_us: int, received_us: int) -> range:
    """List the days on which it was made: more than one for a digest of many steps.

    The digest is unchecked here, so nothing bounds its last step but the arrival.
    """
    first_us = corrected_us if is_possible_time(corrected_us, received_us) else received_us
    digest = message.digest
    step_count = len(digest.lives) // max(1, len(digest.classes))
    last_us = first_us + step_count * digest.step_s * SECOND_US
    # A report beyond this has an impossible time, and counts when it arrived.
    last_us = min(last_us, received_us + MAX_AHEAD_US)
    return range(first_us // DAY_US, last_us // DAY_US + 1)
