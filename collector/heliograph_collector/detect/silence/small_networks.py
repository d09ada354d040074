"""Confirm a network of several countries that has too few votes in each.

Theory. Fewer than five votes confirm nothing, because few people may be silent by chance, or agree
to be. Where they are all of a network that fell silent in other countries in the same minutes,
their votes are of one event: five votes, wherever they are, of a network that is dead by itself
(dead_networks.py). It is confirmed at low confidence in each country in which two lines or more are
silent, since one may be a box.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.silence.brackets import bracket_onset
from heliograph_collector.detect.silence.cell_members import build_part
from heliograph_collector.detect.silence.dead_networks import (
    APART_US,
    SharedNetwork,
    has_fallen,
    is_dead_by_itself,
    list_members,
)
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.shared_networks import list_countries
from heliograph_collector.detect.silence.silent_carriers import list_silent_carrier_votes
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import sum_silent
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import is_established, sum_votes
from heliograph_collector.incidents.incident import incident_id
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.scope import Scope

SmallFall = tuple[Scope, list[VantagePresence]]
_RECENT_US = 30 * MINUTE_US  # since it fell, at most; assumed


def find_dead(
    falls: Sequence[SmallFall],
    presence: PresenceTracker,
    outages: Sequence[OutageEpisode],
    now_us: int,
) -> list[OutageEpisode]:
    """Find networks of a country that are dead in others too, and not confirmed yet.

    Args:
        falls: Its networks of few votes that fell silent.
        presence: The vantages of all countries.
        outages: The country's open outages.
        now_us: The time of the evaluation.
    """
    confirmed = [outage for outage in outages if outage.confirmed_us]
    found: list[OutageEpisode] = []
    for scope, silent in falls:
        if any(outage.holds(v.place) for outage in confirmed for v in silent):
            continue
        fell_us = quantile([v.lost_us for v in silent], 0.5)
        is_held = now_us - fell_us >= presence.limits.hold_low_s * SECOND_US
        if is_held and _is_dead(scope, silent, presence, now_us):
            found.append(_open_outage(scope, silent, presence, now_us))
    return found


def find_pending(falls: Iterable[SmallFall], now_us: int) -> set[str]:
    """Return the countries of falls that are so new that others may follow."""
    return {
        scope.country
        for scope, silent in falls
        if now_us - max(v.lost_us for v in silent) < APART_US
    }


def list_falls(presence: PresenceTracker, country: str, now_us: int) -> list[SmallFall]:
    """List the country's networks of few votes that fell silent, with their silent vantages."""
    limits = presence.limits
    by_network: defaultdict[int, list[VantagePresence]] = defaultdict(list)
    for v in presence.list_silent(country, now_us - _RECENT_US):
        if v.place.asn and not v.deferred and is_established(v.witness, now_us, limits):
            by_network[v.place.asn].append(v)
    return [
        (Scope(country, asn=asn), silent)
        for asn, silent in sorted(by_network.items())
        if sum_silent(silent).hits < limits.votes
        and count_lines(v.witness.prefix for v in silent) >= limits.lines
    ]


def _is_dead(
    scope: Scope, silent: Sequence[VantagePresence], presence: PresenceTracker, now_us: int
) -> bool:
    """Return whether a network fell silent with that of other countries, by itself."""
    limits = presence.limits
    fell_us = quantile([v.lost_us for v in silent], 0.5)
    own = sum_silent(list_members(scope, presence, fell_us, now_us))
    if own.share < limits.confirm_share or own.hits < limits.lines:
        return False
    abroad = list_countries(scope.asn, scope.country, presence, fell_us, now_us)
    if not abroad or own.hits + sum_votes(abroad).hits < limits.votes:
        return False
    network = SharedNetwork(scope.asn, (scope.country, *abroad), fell_us)
    return is_dead_by_itself(network, presence, now_us)


def _open_outage(
    scope: Scope, silent: Sequence[VantagePresence], presence: PresenceTracker, now_us: int
) -> OutageEpisode:
    fell_us = quantile([v.lost_us for v in silent], 0.5)
    fallen = [v for v in silent if has_fallen(v, fell_us)]
    started = bracket_onset(fallen, presence.limits)
    members = list_members(scope, presence, fell_us, now_us)
    outage = OutageEpisode(
        id=incident_id("silence", "", scope, started, (v.witness.nym for v in fallen)),
        country=scope.country,
        parts=(build_part(scope, members),),
        started=started,
        from_us=min(v.lost_us for v in fallen),
        suspected_us=now_us,
        certainty=presence.limits.low,
        limits=presence.limits,
        ways=len(list_silent_carrier_votes(members)),
        is_joint=True,
    )
    outage.confirm(now_us)
    presence.exclude_from_churn(fallen)
    return outage
