"""Queue envelopes that a relay carries for its peers, with limits and fair turns.

The queue holds no address. It distinguishes peers by a hash of their networks, which changes with
every run and is never written. Nothing survives the process, because a peer keeps its envelope
until the collector has signed a receipt. Not thread-safe. Pure except for the futures that it
resolves.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from heliograph.address import enclosing_network
from heliograph.bundle import digest_envelope
from heliograph.clock import Clock
from heliograph.token_bucket import TokenBucket, TokenBuckets
from heliograph.units import DAY_S
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
class RelayQueue:
    """Queue the envelopes of one run of a relay; `salt` is drawn for that run."""

    clock: Clock
    salt: bytes
    bytes_per_day: int
    _queues: "OrderedDict[bytes, deque[QueueEntry]]" = field(default_factory=OrderedDict)
    _entries: dict[bytes, QueueEntry] = field(default_factory=dict)  # waiting or under way
    _responses: "OrderedDict[bytes, intake_pb2.SubmitResponse]" = field(default_factory=OrderedDict)
    _peer_buckets: TokenBuckets[bytes] = field(init=False)
    _total_bucket: TokenBucket = field(init=False)
    _bytes: int = 0
    _work_event: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        now_us = self.clock.monotonic_us()
        day = float(self.bytes_per_day)
        share = day / PEER_SHARE
        self._peer_buckets = TokenBuckets(per_s=share / DAY_S, capacity=share, max_keys=PEERS)
        self._total_bucket = TokenBucket(day / DAY_S, day, level=day, at_us=now_us)

    def hash_peer(self, address: str) -> bytes:
        """Return an identifier of the peer's /24 or /48, valid until the process ends.

        One machine has a whole /64, and often a /48: by single addresses it would be as many peers.
        """
        network = enclosing_network(address) or address
        return hashlib.sha256(self.salt + network.encode()).digest()[:8]

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
        return not self._peer_buckets.take(peer, now_us, size) and not self._total_bucket.take(
            size, now_us
        )
