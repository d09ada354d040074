"""Decide whether a collector fault may explain networks that are still silent.

A collector that moves to another address loses all sessions at once, and resolvers learn the new
address one by one: each network is back at one time, some after a day. A route that each operator
repairs by itself has the same effect. A cut that begins in the minute of such a fault looks the
same, but takes more of a country than a few of its networks. So these stay suspected until one of
their agents reports what it measured.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.ranks import MEMBERS, compute_rank_chance
from heliograph_collector.incidents.incident import HoldReason

_FOUND_US = 120 * SECOND_US  # from a fault's first loss until it is found; assumed
_DARK_SHARE = 0.9  # of a network's members that are silent still; assumed
_CHANCE = 0.01  # that agents which return each by itself do so network by network; assumed


@dataclass(slots=True)
class _NetworkMembers:
    """Members of one network that are live, or fell silent in the fault."""

    members: list[VantagePresence] = field(default_factory=list)

    @property
    def is_dark(self) -> bool:
        silent = sum(vantage.is_silent for vantage in self.members)
        return silent >= _DARK_SHARE * len(self.members)


def may_be_late(presence: PresenceTracker, country: str, since_us: int) -> bool:
    """Return whether the silent since a fault may wait for their networks alone.

    Most networks of the country must be back. Of the other countries, one has a network that is
    dark still, or all came back network by network.
    """
    own = _list_networks(presence, country, since_us)
    dark = sum(network.is_dark for network in own)
    if not 0 < dark < len(own) - dark:
        return False
    others: list[_NetworkMembers] = []
    for other in presence.countries:
        networks = _list_networks(presence, other, since_us) if other != country else []
        others += [network for network in networks if len(network.members) >= MEMBERS]
        if any(network.is_dark for network in networks if len(network.members) >= MEMBERS):
            return True  # the rest need not be read, each of which is a whole country
    return compute_rank_chance(_list_returns(others, since_us)) <= _CHANCE


def fell_in_fault(
    presence: PresenceTracker, country: str, silent: Sequence[VantagePresence]
) -> bool:
    """Return whether most of the silent fell in a fault of ours, which few networks still have.

    A country that is cut in such a fault is dark in most of its networks.
    """
    for gap in presence.gaps:
        if gap.why is not HoldReason.COMMON or gap.country not in ("", country):
            continue
        since_us = gap.since_us - _FOUND_US
        inside = sum(since_us <= vantage.lost_us <= gap.until_us for vantage in silent)
        if 2 * inside > len(silent):
            own = _list_networks(presence, country, since_us)
            return 2 * sum(network.is_dark for network in own) < len(own)
    return False


def _list_networks(presence: PresenceTracker, country: str, since_us: int) -> list[_NetworkMembers]:
    networks: defaultdict[int, _NetworkMembers] = defaultdict(_NetworkMembers)
    for vantage in presence.list_recent(country, since_us):
        networks[vantage.place.asn].members.append(vantage)
    return list(networks.values())


def _list_returns(networks: Sequence[_NetworkMembers], since_us: int) -> Iterator[tuple[int, int]]:
    """Yield the network and return time of each vantage back from the fault."""
    for number, network in enumerate(networks):
        for vantage in network.members:
            if vantage.is_live and vantage.lost_us >= since_us:
                yield number, vantage.back_us
