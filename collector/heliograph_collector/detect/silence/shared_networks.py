"""Recognize failures of a network provider that serves several countries.

A satellite's provider serves dozens of countries by one network number, and hosts do so too. When
such a network fails (Starlink for 2.5 h on 24 July 2025, OVH for an hour on 13 October 2021), it
falls silent in each country beside other networks that live. That is an outage of this network,
where our ways to it work for others (dead_networks.py). Otherwise a fault of ours may explain it,
and it is held.

Where the network is back elsewhere for half an hour, and here it is not, it was cut off here.

A country that is dark as a whole shows nothing: where a cable is cut, or two countries are, what
they share falls with all the rest. A cell of several networks is not held either.
"""

from collections.abc import Iterable, Sequence
from enum import Enum

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.dead_networks import (
    SharedNetwork,
    has_fallen,
    is_dead_by_itself,
)
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_hits
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import VoteCount, is_established
from heliograph_collector.model.scope import AffectedCell, Scope

_RETURNING_US = 1_800 * SECOND_US  # in which its people are back, or are cut off; assumed


class NetworkView(Enum):
    """What other countries show of a network that fell silent in one."""

    OWN = 1  # it fell silent here alone
    DEAD = 2  # it fell silent there too, and our ways to it live
    HELD = 3  # it fell silent there too, and a fault of ours may explain it


def view_network(
    cells: Sequence[AffectedCell],
    silent: Sequence[VantagePresence],
    presence: PresenceTracker,
    now_us: int,
) -> NetworkView:
    """Return what other countries show of the only network of the cells.

    Args:
        cells: The cells of one country that fell silent.
        silent: Their silent vantages, one at least.
        presence: The vantages of all countries.
        now_us: The time of the evaluation.
    """
    networks = {cell.scope.asn for cell in cells}
    if len(networks) != 1 or 0 in networks:
        return NetworkView.OWN
    (asn,) = networks
    fell_us = quantile([v.lost_us for v in silent], 0.5)
    home = cells[0].scope.country
    abroad = list_countries(asn, home, presence, fell_us, now_us)
    if not abroad:
        return NetworkView.OWN
    network = SharedNetwork(asn, (home, *abroad), fell_us)
    return NetworkView.DEAD if is_dead_by_itself(network, presence, now_us) else NetworkView.HELD


def list_countries(
    asn: int, home: str, presence: PresenceTracker, fell_us: int, now_us: int
) -> dict[str, VoteCount]:
    """Return the other countries in which a network fell alone then, with its votes there."""
    fallen = {
        other: _count_alone(Scope(other, asn=asn), presence, fell_us, now_us)
        for other in presence.countries
        if other != home
    }
    return {country: votes for country, votes in fallen.items() if votes is not None}


def _count_alone(
    network: Scope, presence: PresenceTracker, fell_us: int, now_us: int
) -> VoteCount | None:
    """Count the votes of a network that fell in a country then; None if most others did."""
    limits = presence.limits
    own = count_fallen(presence.list_inside(network), presence, fell_us, now_us)
    if own.votes < limits.witnesses or own.share < limits.confirm_share:
        return None
    others = (v for v in presence.list_country(network.country) if v.place.asn != network.asn)
    rest = count_fallen(others, presence, fell_us, now_us)
    return own if rest.votes > 0 and rest.share < limits.suspect_share else None


def count_fallen(
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
    is_back = not vantage.is_silent and now_us - vantage.back_us >= _RETURNING_US
    return has_fallen(vantage, fell_us) and not is_back
