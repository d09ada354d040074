"""Recognize failures of a network provider that serves several countries.

A satellite's provider serves dozens of countries by one network number, and hosts do so too. When
such a network fails (Starlink for 2.5 h on 24 July 2025, OVH for an hour on 13 October 2021), it
falls silent in each country beside other networks that live, as by an order to this one operator;
and its people tell, when they are back, that no anchor answered. Two governments do not cut one
operator in the same minutes, so that one other country shows it.

Where the network is back elsewhere for half an hour, and here it is not, it was cut off here.

A country that is dark as a whole shows nothing: where a cable is cut, or two countries are, what
they share falls with all the rest. A cell of several networks is not held either.
"""

from collections.abc import Iterable, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import VoteCount, is_established
from heliograph_collector.model.scope import AffectedCell, Scope

# Assumed, both of them:
APART_US = 300 * SECOND_US  # in which a provider fails everywhere
_RETURNING_US = 1_800 * SECOND_US  # in which its people are back everywhere, or are cut off


def has_network_failed(
    cells: Sequence[AffectedCell],
    silent: Sequence[VantagePresence],
    presence: PresenceTracker,
    now_us: int,
) -> bool:
    """Return whether the cells' only network fell silent in another country too.

    Args:
        cells: The cells of one country that fell silent.
        silent: Their silent vantages, one at least.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    networks = {cell.scope.asn for cell in cells}
    if len(networks) != 1 or 0 in networks:
        return False
    (asn,) = networks
    fell_us = quantile([v.lost_us for v in silent], 0.5)
    home = cells[0].scope.country
    return any(
        _has_failed_alone(Scope(other, asn=asn), presence, fell_us, now_us)
        for other in presence.countries
        if other != home
    )


def _has_failed_alone(network: Scope, presence: PresenceTracker, fell_us: int, now_us: int) -> bool:
    """Return whether a network fell in a country then, while most others did not."""
    limits = presence.limits
    own = _count_fallen(presence.list_inside(network), presence, fell_us, now_us)
    if own.votes < limits.witnesses or own.share < limits.confirm_share:
        return False
    others = (v for v in presence.list_country(network.country) if v.place.asn != network.asn)
    rest = _count_fallen(others, presence, fell_us, now_us)
    return rest.votes > 0 and rest.share < limits.suspect_share


def _count_fallen(
    vantages: Iterable[VantagePresence], presence: PresenceTracker, fell_us: int, now_us: int
) -> VoteCount:
    """Count the established vantages that were here, and those that fell silent then."""
    fallen = [(v, fell_then(v, fell_us, now_us)) for v in vantages]
    counted = [
        (v, has_fallen)
        for v, has_fallen in fallen
        if (v.is_live or has_fallen) and is_established(v.witness, now_us, presence.limits)
    ]
    return count_hits((v for v, _ in counted), (has_fallen for _, has_fallen in counted))


def fell_then(vantage: VantagePresence, fell_us: int, now_us: int) -> bool:
    """Return whether a vantage fell silent in these minutes, and is not back for long."""
    is_then = abs(vantage.lost_us - fell_us) <= APART_US
    return is_then and (vantage.is_silent or now_us - vantage.back_us < _RETURNING_US)
