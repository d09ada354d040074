"""Queue envelopes that a relay carries for its peers, with limits and fair turns.

The queue holds no address. It distinguishes peers by a hash that changes with every run and is
never written. Nothing survives the process, because a peer keeps its envelope until the collector
has signed a receipt. Not thread-safe. Pure except for the futures that it resolves.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from heliograph.bundle import digest_envelope
from heliograph.clock import Clock
from heliograph.units import DAY_US
from heliograph.v1 import intake_pb2
from heliograph_agent.uplink.single_post import SinglePost

# bytes that wait: of all peers, and of one peer
BYTES = 4_194_304
PEER_BYTES = 1_048_576
PEERS = 256  # whose daily share is remembered
PEER_SHARE = 4  # one peer may use a quarter of a day's bytes
MAX_RESPONSES = 512  # for peers that ask again; each has receipts and a piece of a plan
BUSY_S = 15
FAILED_S = 60
FULL_S = 600


@dataclass(slots=True)
class QueueEntry:
    """Hold one envelope; `response` is None if the collector was not reached."""

    digest: bytes  # the envelope's digest
    peer: bytes
    post: SinglePost
    response: "asyncio.Future[intake_pb2.SubmitResponse | None]"


@dataclass(slots=True)
class _ByteBucket:
    """Limit bytes by a bucket that fills evenly over a day."""

    remaining: float
    at_us: int

    def spend(self, size: int, per_day: float, now_us: int) -> bool:
        self.remaining = min(
            per_day, self.remaining + per_day * max(0, now_us - self.at_us) / DAY_US
        )
        self.at_us = now_us
        if self.remaining < size:
            return False
        self.remaining -= size
        return True


@dataclass(slots=True)
class RelayQueue:
    """Queue the envelopes of one run of a relay; `salt` is drawn for that run."""

    clock: Clock
    salt: bytes
    bytes_per_day: int
    _queues: "OrderedDict[bytes, deque[QueueEntry]]" = field(default_factory=OrderedDict)
    _entries: dict[bytes, QueueEntry] = field(default_factory=dict)  # waiting or under way
    _responses: "OrderedDict[bytes, intake_pb2.SubmitResponse]" = field(default_factory=OrderedDict)
    _peer_buckets: "OrderedDict[bytes, _ByteBucket]" = field(default_factory=OrderedDict)
    _total_bucket: _ByteBucket | None = None
    _bytes: int = 0
    _work_event: asyncio.Event = field(default_factory=asyncio.Event)

    def hash_peer(self, address: str) -> bytes:
        """Return an identifier of the peer at this address, valid until the process ends."""
        return hashlib.sha256(self.salt + address.encode()).digest()[:8]

    def enqueue(self, peer: bytes, post: SinglePost) -> QueueEntry | int:
        """Queue an envelope; return its entry, or the seconds until a retry.

        For an envelope that already waits the entry is the same, and for an answered one it is
        resolved.
        """
        envelope_digest = digest_envelope(post.envelope)
        if envelope_digest in self._entries:
            return self._entries[envelope_digest]
        entry = QueueEntry(envelope_digest, peer, post, asyncio.get_running_loop().create_future())
        if envelope_digest in self._responses:
            entry.response.set_result(self._responses.pop(envelope_digest))
            return entry
        size = len(post.envelope)
        peer_bytes = sum(len(p.post.envelope) for p in self._entries.values() if p.peer == peer)
        if self._bytes + size > BYTES or peer_bytes + size > PEER_BYTES:
            return BUSY_S
        if not self._spend_allowance(peer, size):
            return FULL_S
        self._bytes += size
        self._entries[envelope_digest] = entry
        self._queues.setdefault(peer, deque()).append(entry)
        self._work_event.set()
        return entry

    async def dequeue(self) -> QueueEntry:
        """Wait for an entry: the oldest of each peer in turn."""
        while not self._queues:
            self._work_event.clear()
            await self._work_event.wait()
        peer, queue = self._queues.popitem(last=False)
        entry = queue.popleft()
        if queue:
            self._queues[peer] = queue
        return entry

    def complete(self, entry: QueueEntry, response: intake_pb2.SubmitResponse | None) -> None:
        """Resolve an entry; a response with receipts is kept until the peer asks."""
        self._entries.pop(entry.digest, None)
        self._bytes -= len(entry.post.envelope)
        if response is not None and response.receipts:
            self._responses[entry.digest] = response
            while len(self._responses) > MAX_RESPONSES:
                self._responses.popitem(last=False)
        if not entry.response.done():
            entry.response.set_result(response)

    def discard_response(self, entry: QueueEntry) -> None:
        """Drop a response that was written to the peer."""
        self._responses.pop(entry.digest, None)

    def _spend_allowance(self, peer: bytes, size: int) -> bool:
        now_us = self.clock.monotonic_us()
        day = float(self.bytes_per_day)
        self._total_bucket = self._total_bucket or _ByteBucket(day, now_us)
        peer_bucket = self._peer_buckets.setdefault(peer, _ByteBucket(day / PEER_SHARE, now_us))
        self._peer_buckets.move_to_end(peer)
        if len(self._peer_buckets) > PEERS:
            self._peer_buckets.popitem(last=False)
        return peer_bucket.spend(size, day / PEER_SHARE, now_us) and self._total_bucket.spend(
            size, day, now_us
        )
