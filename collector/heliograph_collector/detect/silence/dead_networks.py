"""Tell a network of several countries that is dead by itself from a fault of ours.

Theory. An operator of several countries, as of satellites, fails in all of them in the same
minutes. So does a route of ours to it, an entrance that fails for some networks, a release of the
agent that fails, or a cable. These differ in who else falls:

- An entrance, and a route from it, is one way. The network is silent by two of ours, and by each of
  these other networks of the same countries live.
- A release fails in other networks too, where its agents run.
- A fault of ours lasts for the networks whose resolvers keep our old address.
- A cable, a data center and a provider of ours take several networks, somewhere in the world.

A host's network, or that of a VPN, serves programs in many countries, and is left suspected.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.cohorts import MOST_SHARE
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.silent_carriers import (
    list_lost_carriers,
    list_silent_carrier_votes,
)
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.stats.voting import VoteCount, is_established
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import THRESHOLDS

APART_US = 300 * SECOND_US  # in which a provider fails everywhere; assumed


@dataclass(frozen=True, slots=True)
class SharedNetwork:
    """A network, and the countries in which it fell silent in the same minutes."""

    asn: int
    countries: Collection[str]
    fell_us: int


def is_dead_by_itself(network: SharedNetwork, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether no fault of ours, and no wider one, explains that a network is silent.

    Args:
        network: The network, with every country in which it fell silent.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    people = [
        v
        for country in network.countries
        for v in list_members(Scope(country), presence, network.fell_us, now_us)
    ]
    own = [v for v in people if v.place.asn == network.asn]
    others = [v for v in people if v.place.asn != network.asn]
    silent = [v for v in own if v.is_silent]
    is_of_people = any(v.place.access != "hosting" for v in silent)
    was_seen = not any(v.floor for v in silent)  # nobody watched those missing after a fault
    return (
        is_of_people
        and was_seen
        and len(list_silent_carrier_votes(own)) >= presence.limits.ways
        and _do_ways_live(silent, others, network.fell_us)
        and _runs_elsewhere(silent, others, network.fell_us)
        and not _do_others_fall(network, presence, now_us)
    )


def list_members(
    scope: Scope, presence: PresenceTracker, fell_us: int, now_us: int
) -> list[VantagePresence]:
    """List the established vantages of a cell that are here, or fell silent in these minutes."""
    return [
        v
        for v in presence.list_inside(scope)
        if is_established(v.witness, now_us, presence.limits)
        and (v.is_live or (v.is_silent and has_fallen(v, fell_us)))
    ]


def has_fallen(vantage: VantagePresence, fell_us: int) -> bool:
    """Return whether a vantage was lost in these minutes, by whatever way it is back."""
    return abs(vantage.lost_us - fell_us) <= APART_US


def _do_ways_live(
    silent: Sequence[VantagePresence], others: Iterable[VantagePresence], fell_us: int
) -> bool:
    """Return whether other networks live by every way that these lost."""
    by_way: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for v in others:
        by_way[v.lost_by if has_fallen(v, fell_us) else v.witness.carrier].append(v)
    ways = list_lost_carriers(v.lost_by for v in silent)
    return all(_lives(by_way[way], fell_us) for way in ways)


def _runs_elsewhere(
    silent: Sequence[VantagePresence], others: Iterable[VantagePresence], fell_us: int
) -> bool:
    """Return whether agents of the same edition live in other networks; True if unknown."""
    ((edition, count),) = Counter(v.edition for v in silent).most_common(1)
    if not edition or count < MOST_SHARE * len(silent):
        return True
    return _lives([v for v in others if v.edition == edition], fell_us)


def _lives(vantages: Sequence[VantagePresence], fell_us: int) -> bool:
    votes = _count_fallen(vantages, fell_us)
    return votes.votes >= THRESHOLDS.witnesses and votes.share <= THRESHOLDS.alive_share


def _do_others_fall(network: SharedNetwork, presence: PresenceTracker, now_us: int) -> bool:
    """Return whether another network fell silent anywhere in the same minutes."""
    least = presence.limits.witnesses
    return any(
        asn != network.asn
        and count >= least
        and _is_down(Scope(country, asn=asn), presence, network.fell_us, now_us)
        for country in presence.countries
        for asn, count in _count_by_network(country, presence, network.fell_us).items()
    )


def _count_by_network(country: str, presence: PresenceTracker, fell_us: int) -> Counter[int]:
    lost = presence.list_silent(country, fell_us - APART_US)
    return Counter(v.place.asn for v in lost if has_fallen(v, fell_us))


def _is_down(scope: Scope, presence: PresenceTracker, fell_us: int, now_us: int) -> bool:
    inside = [
        v
        for v in presence.list_inside(scope)
        if (v.is_live or v.is_silent) and is_established(v.witness, now_us, presence.limits)
    ]
    votes = _count_fallen(inside, fell_us)
    limits = presence.limits
    return votes.hits >= limits.witnesses and votes.share >= limits.suspect_share


def _count_fallen(vantages: Sequence[VantagePresence], fell_us: int) -> VoteCount:
    return count_hits(vantages, [has_fallen(v, fell_us) for v in vantages])
