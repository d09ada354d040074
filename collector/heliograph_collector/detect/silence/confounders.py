"""Confounders of an outage: faults of the collector, a carrier or the power grid."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.presence_tracker import (
    PresenceTracker,
    VantagePresence,
    count_silent,
)
from heliograph_collector.detect.stats.voting import VoteCount, is_established, sum_votes
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.thresholds import Thresholds

COMMON = "common_mode"
CARRIER = "carrier"
POWER = "power"
FEW = "few_votes"
YOUNG = "young_vantages"


def has_common_mode(presence: PresenceTracker, country: str, since_us: int) -> bool | None:
    """Return whether other countries fall silent too; None if they have too few votes.

    The median country decides, so that a second country that is cut at the same time does not.
    """
    limits = presence.limits
    shares = []
    world_count = VoteCount()
    others = [
        [s for s in presence.list_country(other) if _is_recent(s, since_us)]
        for other in presence.countries
        if other != country
    ]
    for vantages in _prefer_established(others, since_us, limits):
        country_count = _sum_silent(vantages)
        world_count.add(country_count)
        if country_count.votes >= limits.witnesses:
            shares.append(country_count.share)
    if world_count.votes < limits.witnesses:
        return None
    share = median(shares) if len(shares) > 1 else world_count.share
    return share >= limits.witness_share


def is_spreading(presence: PresenceTracker, country: str, burst_us: int) -> bool:
    """Return whether two other countries began to fall silent within `spread_s`.

    A fault of the collector may reach country after country, so the candidate waits for the others.
    """
    limits = presence.limits
    apart_us = int(limits.spread_s * SECOND_US)
    begun_countries = 0
    for other in presence.countries:
        participants = [
            s
            for s in presence.list_country(other)
            if s.is_live or (s.is_silent and abs(s.lost_us - burst_us) <= apart_us)
        ]
        if other != country and sum(s.is_silent for s in participants) >= limits.burst:
            begun_countries += _sum_silent(participants).share >= limits.witness_share / 2
    return begun_countries >= 2


def is_one_carrier(vantages: Sequence[VantagePresence], limits: Thresholds) -> bool:
    """Return whether one carrier is silent while every other carrier is live."""
    by_carrier: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for vantage in vantages:
        by_carrier[vantage.witness.carrier].append(vantage)
    counts = [_sum_silent(carrier_vantages) for carrier_vantages in by_carrier.values()]
    silent_carriers = [count for count in counts if count.share >= limits.confirm_share]
    live_carriers = [count for count in counts if _is_alive(count, limits)]
    return len(silent_carriers) == 1 and len(live_carriers) == len(counts) - 1 > 0


def is_power_failure(
    cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence], limits: Thresholds
) -> bool:
    """Return whether one region's fixed lines fail while its mobiles live.

    Phones have batteries, and a cut of a city's network begins with the mobiles. The fixed lines
    must be of several operators.
    """
    regions = {cell.scope.region for cell in cells}
    if len(regions) != 1 or regions == {""}:
        return False
    regional = [s for s in vantages if s.place.region in regions]
    mobile = _sum_silent([s for s in regional if s.place.access == "mobile"])
    silent_fixed = {s.place.asn for s in regional if s.is_silent and s.place.access != "mobile"}
    return _is_alive(mobile, limits) and len(silent_fixed) > 1


def _is_alive(count: VoteCount, limits: Thresholds) -> bool:
    return count.votes >= limits.witnesses and count.share <= limits.alive_share


def _is_recent(vantage: VantagePresence, since_us: int) -> bool:
    return vantage.is_live or (
        vantage.is_silent and (vantage.lost_us >= since_us or vantage.deferred)
    )


def _prefer_established(
    groups: Sequence[Sequence[VantagePresence]], at_us: int, limits: Thresholds
) -> Sequence[Sequence[VantagePresence]]:
    """Leave out young vantages if the established ones of all groups suffice for a comparison."""
    established = [[v for v in g if is_established(v.witness, at_us, limits)] for g in groups]
    is_enough = sum(_sum_silent(group).votes for group in established) >= limits.witnesses
    return established if is_enough else groups


def _sum_silent(vantages: Sequence[VantagePresence]) -> VoteCount:
    return sum_votes(count_silent(vantages))
