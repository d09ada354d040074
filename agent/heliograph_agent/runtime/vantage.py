"""Where this agent stands: the state of its link, told by its anchors, and its epochs.

Doubt is `unknown`. A wrong "online" would turn a dead link into a hundred blocked services.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from heliograph.clock import Clock
from heliograph.failure import Failure, Operation
from heliograph.observation import Access, Epoch, Link, Observation

LOOK_S = 5.0
SETTLED_US = 6_000_000  # a network that stays as long as this is a network


class Sight(Enum):
    """What can be said of one anchor, or of all of its kind."""

    ALIVE = "alive"
    DEAD = "dead"
    UNSEEN = "unseen"  # nothing was asked, or the asking was interrupted


# No packet left this machine, or none could: there is no way out at all.
NO_WAY = frozenset(
    {
        Failure.ADDRESS_FAMILY_NOT_SUPPORTED,
        Failure.ADDRESS_NOT_AVAILABLE,
        Failure.NETWORK_DOWN,
        Failure.NETWORK_UNREACHABLE,
    }
)
SILENCE = NO_WAY | {
    Failure.DNS_NO_RESOLVER,
    Failure.GENERIC_TIMEOUT_ERROR,
    Failure.HOST_UNREACHABLE,
}


ANCHORS = ("foreign", "domestic", "resolver")  # an anchor's id begins with its kind


def link_of(observations: Iterable[Observation]) -> Link:
    """The link as a `connectivity` measurement shows it."""
    seen = tuple(observations)
    foreign, domestic, resolver = (kind_of(seen, kind) for kind in ANCHORS)
    if _portal(seen):
        return Link.CAPTIVE
    if foreign is Sight.ALIVE:
        return _named(resolver, seen)
    if foreign is Sight.UNSEEN:
        return Link.UNKNOWN
    if domestic is Sight.ALIVE:
        return Link.DOMESTIC_ONLY
    return Link.OFFLINE if _nothing(seen, domestic, resolver) else Link.UNKNOWN


def _named(resolver: Sight, seen: Sequence[Observation]) -> Link:
    """Anchors abroad are alive; are they by name?"""
    if resolver is Sight.ALIVE or _proven(seen):
        return Link.ONLINE
    return Link.NO_RESOLVER if resolver is Sight.DEAD else Link.UNKNOWN


def _nothing(seen: Sequence[Observation], domestic: Sight, resolver: Sight) -> bool:
    """Nothing abroad is alive, and nothing at home is known to be: is it that nobody is there?

    Either this machine has no way out at all, or of everything asked, and that was more than what
    lies abroad, nobody answered anything.
    """
    if resolver is Sight.ALIVE or any(x.failure is Failure.INTERRUPTED for x in seen):
        return False
    connects = [x for x in seen if x.operation is Operation.CONNECT]
    if connects and all(x.failure in NO_WAY for x in connects):
        return True
    asked_near = Sight.DEAD in (domestic, resolver)
    return asked_near and all(x.failure in SILENCE for x in seen)


def _portal(seen: Sequence[Observation]) -> bool:
    """Pages that are always empty came back otherwise, and no anchor proved itself over TLS."""
    pages = [
        x.http.status == 204
        for x in seen
        if x.endpoint.startswith("captive")
        and x.operation is Operation.HTTP_ROUND_TRIP
        and x.failure is None
        and x.http is not None
    ]
    return bool(pages) and not any(pages) and not _proven(seen)


def _proven(seen: Sequence[Observation]) -> bool:
    """An anchor abroad showed its own certificate for its own name."""
    return any(
        x.endpoint.startswith("foreign")
        and x.operation is Operation.TLS_HANDSHAKE
        and x.failure is None
        for x in seen
    )


def kind_of(seen: Sequence[Observation], kind: str) -> Sight:
    """Of ANCHORS: one alive is enough; dead only when every one of them is."""
    anchors = {x.endpoint for x in seen if x.endpoint.startswith(kind)}
    sights = {sight_of(seen, anchor) for anchor in anchors}
    if Sight.ALIVE in sights:
        return Sight.ALIVE
    return Sight.DEAD if sights == {Sight.DEAD} else Sight.UNSEEN


def sight_of(seen: Sequence[Observation], endpoint: str) -> Sight:
    """Of an anchor or any other endpoint: told by where its chains of steps ended."""
    parents = {x.parent for x in seen if x.parent is not None}
    ends = [x for index, x in enumerate(seen) if x.endpoint == endpoint and index not in parents]
    sights = {_end(x) for x in ends}
    if Sight.ALIVE in sights:
        return Sight.ALIVE
    return Sight.DEAD if sights == {Sight.DEAD} else Sight.UNSEEN


def _end(x: Observation) -> Sight:
    if x.failure is Failure.INTERRUPTED:
        return Sight.UNSEEN
    if x.operation is Operation.READ_BODY:
        return Sight.ALIVE  # a body that breaks off has come from somewhere
    if x.failure is not None:
        return Sight.DEAD
    if x.operation is Operation.RESOLVE and not x.endpoint.startswith("resolver"):
        return Sight.UNSEEN  # a name is no visit
    return Sight.ALIVE


class View(Protocol):
    """net.local.LocalView."""

    @property
    def ipv4(self) -> bool: ...
    @property
    def ipv6(self) -> bool: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the volunteer says of the place; nothing of it is looked up."""

    country: str = ""
    region: str = ""
    access: Access = Access.UNKNOWN


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Another network, seen first at these times."""

    fingerprint: str
    monotonic_us: int
    wall_us: int


class VantageWatch:
    """Begins an epoch for every network that stays.

    A network that is merely gone ends nothing: when it comes back it is the same vantage. Ids are
    random, so that two epochs on one network cannot be told to be that.
    """

    def __init__(
        self, look: Callable[[], View], clock: Clock, declared: Declared | None = None
    ) -> None:
        self._look = look
        self._clock = clock
        self._declared = declared or Declared()
        view = look()
        self._fingerprint = view.fingerprint
        self._candidate: _Candidate | None = None
        self.epoch = self._begin(view, clock.wall_us())

    def check(self) -> bool:
        """Look once; whether a new epoch has begun, then in `epoch`."""
        view = self._look()
        known = view.fingerprint == self._fingerprint
        if known or not (view.ipv4 or view.ipv6):
            self._candidate = None
            return False
        now_us = self._clock.monotonic_us()
        if self._candidate is None or self._candidate.fingerprint != view.fingerprint:
            self._candidate = _Candidate(view.fingerprint, now_us, self._clock.wall_us())
        if now_us - self._candidate.monotonic_us < SETTLED_US:
            return False
        self.epoch = self._begin(view, self._candidate.wall_us)
        self._fingerprint, self._candidate = view.fingerprint, None
        return True

    async def changes(self, every_s: float = LOOK_S) -> AsyncIterator[Epoch]:
        """Each new epoch as it begins; never ends by itself."""
        while True:
            await asyncio.sleep(every_s)
            if self.check():
                yield self.epoch

    def _begin(self, view: View, wall_us: int) -> Epoch:
        return Epoch(
            id=secrets.token_hex(8),
            started_us=wall_us,
            country=self._declared.country,
            region=self._declared.region,
            access=self._declared.access,
            ipv4=view.ipv4,
            ipv6=view.ipv6,
        )
