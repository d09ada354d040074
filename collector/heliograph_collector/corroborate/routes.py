"""Withdrawn prefixes of the followed networks by minute. Bounded, without I/O.

RIS Live sends changes and no full table: a prefix becomes known by its first announcement or from
the operator's file. A withdrawal names no origin, so only known prefixes can be seen to disappear.
One peer is weak evidence: a prefix counts as withdrawn if most of its peers, and at least three,
withdrew it last.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph.units import MINUTE_US

MIN_PEERS = 3
MAX_PEERS = 48  # peers of one prefix; more would not change the majority
MAX_PREFIXES = 2_048
MAX_MINUTES = 1_500  # 25 hours
_MAX_PEER_NAMES = 4_096


class Update(NamedTuple):
    """One BGP update of one peer; `origin` is 0 if it names none."""

    peer: str
    origin: int
    announced: tuple[str, ...]
    withdrawn: tuple[str, ...]


class Minute(NamedTuple):
    at_us: int
    known_prefixes: int
    withdrawn_prefixes: int


@dataclass(slots=True)
class _Prefix:
    origin: int
    withdrew_by_peer: dict[int, bool] = field(default_factory=dict)  # peer → is withdrawn

    @property
    def is_withdrawn(self) -> bool:
        withdrew = sum(self.withdrew_by_peer.values())
        return withdrew >= MIN_PEERS and withdrew * 2 > len(self.withdrew_by_peer)


class Routes:
    """Routes of the followed networks, from BGP updates, counted by minute."""

    def __init__(self, known_origins: Mapping[str, int] | None = None) -> None:
        self._known_origins = dict(known_origins or {})
        self._followed: frozenset[int] = frozenset()
        self._prefixes: OrderedDict[str, _Prefix] = OrderedDict()
        self._peers: dict[str, int] = {}
        self._minutes: dict[int, deque[Minute]] = {}
        self._live_us: int | None = None
        self._closed_us = 0

    def follow(self, asns: Collection[int]) -> None:
        """Set the followed networks and drop the routes of others."""
        self._followed = frozenset(asns)
        for prefix in [p for p, state in self._prefixes.items() if state.origin not in asns]:
            del self._prefixes[prefix]
        for asn in [asn for asn in self._minutes if asn not in asns]:
            del self._minutes[asn]
        for prefix, origin in self._known_origins.items():
            self._add_prefix(prefix, origin)

    def on_subscribed(self, since_us: int) -> None:
        """Start to count: all updates from now on arrive."""
        self._live_us = since_us
        self._closed_us = since_us // MINUTE_US * MINUTE_US

    def on_disconnect(self) -> None:
        """Stop to count: the last states of the peers may have changed unnoticed."""
        self._live_us = None
        for state in self._prefixes.values():
            state.withdrew_by_peer.clear()

    def apply_update(self, update: Update) -> bool:
        """Apply an update and return whether a new prefix became known."""
        peer = self._assign_peer_number(update.peer)
        new = [self._add_prefix(prefix, update.origin) for prefix in update.announced]
        for prefixes, withdrew in ((update.withdrawn, True), (update.announced, False)):
            for prefix in prefixes:
                self._record_route(prefix, peer, withdrew=withdrew)
        return any(new)

    def tick(self, now_us: int) -> None:
        """Record the minutes that ended; skip those with a gap in the stream."""
        minute_us = now_us // MINUTE_US * MINUTE_US
        if self._live_us is None or minute_us <= self._closed_us:
            return
        last_us = minute_us - MINUTE_US
        if last_us >= self._live_us:
            self._record_minute(last_us)
        self._closed_us = minute_us

    def minutes(self, asns: Iterable[int]) -> list[Minute]:
        """Sum the minutes of these networks in which all known ones were counted."""
        total: dict[int, list[int]] = {}
        histories = [self._minutes[asn] for asn in asns if asn in self._minutes]
        for minute in (m for each in histories for m in each):
            sums = total.setdefault(minute.at_us, [0, 0, 0])
            sums[0] += minute.known_prefixes
            sums[1] += minute.withdrawn_prefixes
            sums[2] += 1
        return [
            Minute(at, known_prefixes, withdrawn_prefixes)
            for at, (known_prefixes, withdrawn_prefixes, n) in sorted(total.items())
            if n == len(histories)
        ]

    @property
    def prefixes(self) -> list[str]:
        return list(self._prefixes)

    def _record_minute(self, at_us: int) -> None:
        counts = {asn: [0, 0] for asn in self._followed}
        for state in self._prefixes.values():
            counts[state.origin][0] += 1
            counts[state.origin][1] += state.is_withdrawn
        for asn, (known_prefixes, withdrawn_prefixes) in counts.items():
            history = self._minutes.setdefault(asn, deque(maxlen=MAX_MINUTES))
            history.append(Minute(at_us, known_prefixes, withdrawn_prefixes))

    def _add_prefix(self, prefix: str, origin: int) -> bool:
        if prefix in self._prefixes or origin not in self._followed:
            return False
        if len(self._prefixes) >= MAX_PREFIXES:
            return False
        self._prefixes[prefix] = _Prefix(origin)
        return True

    def _record_route(self, prefix: str, peer: int, *, withdrew: bool) -> None:
        state = self._prefixes.get(prefix)
        if state is not None and (
            peer in state.withdrew_by_peer or len(state.withdrew_by_peer) < MAX_PEERS
        ):
            state.withdrew_by_peer[peer] = withdrew

    def _assign_peer_number(self, name: str) -> int:
        """Return a small number for a peer; peers beyond the limit share one number."""
        if len(self._peers) >= _MAX_PEER_NAMES:
            return self._peers.get(name, -1)
        return self._peers.setdefault(name, len(self._peers))
