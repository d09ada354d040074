"""What others gave to a relay to hand on: bounded, and fair between those who gave it.

Nobody's address is in it: who gave what is told apart by a hash that changes with every run and is
written nowhere. Nothing outlives the process, for whoever gave an envelope keeps it until the
collector has signed for it. One task at a time; pure but for the futures it resolves.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from heliograph.bundle import digest
from heliograph.clock import Clock
from heliograph.v1 import intake_pb2
from heliograph_agent.uplink.single_post import Lone

BYTES, PEER_BYTES = 4_194_304, 1_048_576  # of envelopes that wait: of all peers, of one
PEERS = 256  # whose share of the day is remembered
PEER_SHARE = 4  # one peer gets a fourth of a day's bytes
ANSWERS = 512  # that wait to be asked for again; each is a receipt and perhaps a piece of a plan
BUSY_S, FAILED_S, FULL_S = 15, 60, 600
_DAY_US = 86_400_000_000


@dataclass(slots=True)
class Parcel:
    """One envelope. `answered` becomes what the collector said, None when it was not reached."""

    name: bytes  # the envelope's digest
    peer: bytes
    lone: Lone
    answered: "asyncio.Future[intake_pb2.SubmitResponse | None]"


@dataclass(slots=True)
class _Share:
    """A leaking bucket of bytes."""

    left: float
    at_us: int

    def take(self, size: int, per_day: float, now_us: int) -> bool:
        self.left = min(per_day, self.left + per_day * max(0, now_us - self.at_us) / _DAY_US)
        self.at_us = now_us
        if self.left < size:
            return False
        self.left -= size
        return True


@dataclass(slots=True)
class Cargo:
    """`salt` is of this run alone."""

    clock: Clock
    salt: bytes
    bytes_per_day: int
    _queues: "OrderedDict[bytes, deque[Parcel]]" = field(default_factory=OrderedDict)
    _known: dict[bytes, Parcel] = field(default_factory=dict)  # waiting or under way
    _answers: "OrderedDict[bytes, intake_pb2.SubmitResponse]" = field(default_factory=OrderedDict)
    _shares: "OrderedDict[bytes, _Share]" = field(default_factory=OrderedDict)
    _all: _Share | None = None
    _bytes: int = 0
    _work: asyncio.Event = field(default_factory=asyncio.Event)

    def peer(self, address: str) -> bytes:
        """What stands for whoever is at this address, until the process ends."""
        return hashlib.sha256(self.salt + address.encode()).digest()[:8]

    def offer(self, peer: bytes, lone: Lone) -> Parcel | int:
        """The parcel, also one that waits or is answered; or in how many seconds to come back."""
        name = digest(lone.envelope)
        if name in self._known:
            return self._known[name]
        parcel = Parcel(name, peer, lone, asyncio.get_running_loop().create_future())
        if name in self._answers:
            parcel.answered.set_result(self._answers.pop(name))
            return parcel
        size = len(lone.envelope)
        mine = sum(len(p.lone.envelope) for p in self._known.values() if p.peer == peer)
        if self._bytes + size > BYTES or mine + size > PEER_BYTES:
            return BUSY_S
        if not self._granted(peer, size):
            return FULL_S
        self._bytes += size
        self._known[name] = parcel
        self._queues.setdefault(peer, deque()).append(parcel)
        self._work.set()
        return parcel

    async def next(self) -> Parcel:
        """Of each peer in turn, its oldest."""
        while not self._queues:
            self._work.clear()
            await self._work.wait()
        peer, queue = self._queues.popitem(last=False)
        parcel = queue.popleft()
        if queue:
            self._queues[peer] = queue
        return parcel

    def done(self, parcel: Parcel, response: intake_pb2.SubmitResponse | None) -> None:
        """It may be given again; what settles it is kept until it was asked for."""
        self._known.pop(parcel.name, None)
        self._bytes -= len(parcel.lone.envelope)
        if response is not None and response.receipts:
            self._answers[parcel.name] = response
            while len(self._answers) > ANSWERS:
                self._answers.popitem(last=False)
        if not parcel.answered.done():
            parcel.answered.set_result(response)

    def told(self, parcel: Parcel) -> None:
        """Whoever gave it has the answer, as far as can be known from here."""
        self._answers.pop(parcel.name, None)

    def _granted(self, peer: bytes, size: int) -> bool:
        now_us, day = self.clock.monotonic_us(), float(self.bytes_per_day)
        self._all = self._all or _Share(day, now_us)
        share = self._shares.setdefault(peer, _Share(day / PEER_SHARE, now_us))
        self._shares.move_to_end(peer)
        if len(self._shares) > PEERS:
            self._shares.popitem(last=False)
        return share.take(size, day / PEER_SHARE, now_us) and self._all.take(size, day, now_us)
