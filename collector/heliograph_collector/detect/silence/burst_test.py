"""Burst test: compare the new silences of a cell with those expected by chance.

`list_holds` says when a test may decide again although no signal came.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from heliograph.units import SECOND_US
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.renewal import PART_HOLD_S, WAIT_S
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.alarm_budget import tail_limit
from heliograph_collector.detect.stats.churn import blend_rate, silence_chance
from heliograph_collector.detect.stats.tails import chernoff_bound, upper_tail
from heliograph_collector.detect.stats.voting import is_carrier_nat
from heliograph_collector.model.line_names import read_day
from heliograph_collector.model.scope import AffectedCell, Scope, scopes_of
from heliograph_collector.model.signals import VantageLocation
from heliograph_collector.model.thresholds import THRESHOLDS, Thresholds

# Share of the lowest pool's rate: the screening must keep the steadiest cell. Assumed.
_SCREENING_FACTOR = 0.25
_HOLDS_S = (35.0, 45.0, 90.0, 120.0, 150.0)  # assumed
_ENDED_WAITS = (1.0, 1.2)  # for agents that may have ended; assumed

_Behind = tuple[float, bool, VantageLocation]  # a vantage's chance, whether it is newly silent


class SilenceBurst(NamedTuple):
    """New silences of a country that chance does not explain."""

    first_us: int
    window_s: float


def find_burst(
    presence: PresenceTracker, country: str, silences: Sequence[VantagePresence], now_us: int
) -> SilenceBurst | None:
    """Find the shortest window with a burst ending now; None if chance explains it."""
    if len(silences) < presence.limits.burst:
        return None
    for window_s in presence.limits.windows_s:
        since_us = now_us - int(window_s * SECOND_US)
        recent = [s for s in silences if s.lost_us >= since_us]
        if _has_burst(presence, country, recent, window_s):
            return SilenceBurst(min(s.lost_us for s in recent), window_s)
    return None


def _has_burst(
    presence: PresenceTracker,
    country: str,
    new_silences: Sequence[VantagePresence],
    window_s: float,
) -> bool:
    """Return whether any cell has more new silences than chance allows.

    The widest cells come first.
    """
    limits = presence.limits
    silences_by_cell = Counter(scope for s in new_silences for scope in scopes_of(s.place))
    cells = presence.live_cell_counts[country]
    base_chance = presence.min_pool_chance(country, window_s) * _SCREENING_FACTOR
    return any(
        k >= limits.burst
        and chernoff_bound(base_chance * (presence.live_counts[scope] + k), k)
        <= tail_limit(scope, cells, limits)
        and burst_tail(presence, scope, new_silences, window_s) <= tail_limit(scope, cells, limits)
        for scope, k in silences_by_cell.items()
    )


def burst_tail(
    presence: PresenceTracker,
    scope: Scope,
    new_silences: Sequence[VantagePresence],
    window_s: float,
) -> float:
    """Return P(at least the observed number of networks are newly silent).

    A network is newly silent if more than half of its vantages are. Its chance is the highest
    chance of its vantages. A carrier's NAT stands for up to `nat_votes`, each for as many vantages
    in the order of their chances: by the same share of them, rounded, as one phone that is left
    does not make four fifths of five.
    """
    limits = presence.limits
    lines = _group_by_line(presence, scope, new_silences, window_s)
    chances: list[float] = []
    silent_by_day: Counter[str] = Counter()  # the day with most is a lower bound (`line_names`)
    for name, behind in lines.items():
        n = len(behind)
        if n == 1:  # as most
            chances.append(behind[0][0])
            silent_by_day[read_day(name)] += behind[0][1]
            continue
        k = sum(is_new for _, is_new, _ in behind)
        units = min(limits.nat_votes, n) if name and _is_carrier_nat(behind) else 1
        chances += _split_chances([chance for chance, _, _ in behind], units)
        silent_by_day[read_day(name)] += round(units * k / n) if units > 1 else 2 * k > n
    silent = max(silent_by_day.values(), default=0)
    return upper_tail(chances, silent) if silent >= limits.burst else 1.0


def _group_by_line(
    presence: PresenceTracker,
    scope: Scope,
    new_silences: Sequence[VantagePresence],
    window_s: float,
) -> dict[str, list[_Behind]]:
    """Group the vantages of a cell that are live or newly silent by their prefix."""
    silence_ids = {id(vantage) for vantage in new_silences}
    lines: defaultdict[str, list[_Behind]] = defaultdict(list)
    for place, members in presence.places[scope.country].items():
        if not scope.includes(place):
            continue
        pool_rate = presence.pool_rate(scope.country, place.access)
        for vantage in members.values():
            is_new = id(vantage) in silence_ids
            if is_new or vantage.is_live:
                rate = blend_rate(vantage.own, pool_rate, presence.limits)
                chance = max(vantage.floor, silence_chance(rate, window_s))
                lines[vantage.witness.prefix].append((chance, is_new, place))
    return lines


def _is_carrier_nat(behind: Sequence[_Behind]) -> bool:
    regions = Counter(place.region for _, _, place in behind)
    return is_carrier_nat(behind[0][2].access, [*regions.items()])


def _split_chances(chances: Sequence[float], units: int) -> list[float]:
    """Return the highest chance in each of `units` parts of the members.

    One restless phone spoils only its own part.
    """
    ordered = sorted(chances, reverse=True)
    return [ordered[part * len(ordered) // units] for part in range(units)]


def is_too_new(silences: Sequence[VantagePresence], now_us: int) -> bool:
    """Return whether a burst of silences is too recent for any candidate's hold.

    A candidate that is given up may have been of earlier silences, which are over.
    """
    since_us = now_us - int(THRESHOLDS.hold_low_s * SECOND_US)
    return sum(s.is_silent and s.lost_us >= since_us for s in silences) >= THRESHOLDS.burst


def select_significant(
    cells: Sequence[AffectedCell],
    presence: PresenceTracker,
    new_silences: Sequence[VantagePresence],
    window_s: float,
) -> tuple[AffectedCell, ...]:
    """Return the cells whose new silences chance does not explain."""
    return tuple(
        cell
        for cell in cells
        if burst_tail(presence, cell.scope, new_silences, window_s)
        <= tail_limit(cell.scope, presence.live_cell_counts[cell.scope.country], presence.limits)
    )


def list_holds(limits: Thresholds, *, may_have_ended: bool) -> list[float]:
    """List the seconds after a burst's first silence at which tests may decide again.

    Args:
        may_have_ended: A connection was closed, and no fault of the collector explains it.
    """
    tests = {limits.hold_s, limits.hold_low_s, PART_HOLD_S, limits.transit_s + limits.tick_s}
    tests |= {limits.transit_told_s + limits.tick_s}
    if may_have_ended:
        tests |= {length * WAIT_S + limits.tick_s for length in _ENDED_WAITS}
    return sorted(tests | set(_HOLDS_S))
