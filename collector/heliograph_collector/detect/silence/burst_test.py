"""Is it more silence than chance makes? The tail of new silences in every cell they fall in."""

import math
from collections import Counter
from collections.abc import Sequence

from heliograph_collector.detect.silence.presence_tracker import Roster, Seat
from heliograph_collector.detect.stats.tails import chernoff, upper_tail
from heliograph_collector.incidents.scope import Scope, scopes_of
from heliograph_collector.model.thresholds import Thresholds

_YEAR_S = 365.25 * 86_400
_GLANCE = 0.25  # of the pool's rate: the steadiest cell that a first glance must not pass over


def alpha(scope: Scope, cells: int, limits: Thresholds) -> float:
    """The tail that may stand by itself: alarms a year, over looks, windows and cells."""
    looks = _YEAR_S / min(limits.windows_s) * limits.scan_factor * len(limits.windows_s)
    if scope.national:
        return limits.national_alarms_per_year / looks
    return limits.cell_alarms_per_year / looks / max(1, cells)


def alarm_log(cells: int, per_year: float, bin_s: float) -> float:
    """The height of a CUSUM of nats that chance reaches so often a year, at most.

    P(sum >= h from one start) <= exp(-h) (Wald); there is a start in every bin and cell.
    """
    return math.log(_YEAR_S / bin_s * max(1, cells) / per_year)


def standing_out(
    roster: Roster, country: str, fresh: Sequence[Seat], window_s: float, now_us: int
) -> list[Scope]:
    """Cells with more fresh silences than chance allows, of all that `fresh` falls in."""
    limits = roster.limits
    counted = Counter(scope for seat in fresh for scope in scopes_of(seat.witness.place))
    cells = roster.cells[country]
    usual = roster.pool_chance(country, window_s) * _GLANCE
    worth = [
        scope
        for scope, k in counted.items()
        if k >= limits.burst
        and chernoff(usual * (roster.live[scope] + k), k) <= alpha(scope, cells, limits)
    ]
    return [
        scope
        for scope in worth
        if tail(roster, scope, fresh, window_s, now_us) <= alpha(scope, cells, limits)
    ]


def tail(
    roster: Roster, scope: Scope, fresh: Sequence[Seat], window_s: float, now_us: int
) -> float:
    """P(so many networks or more newly silent), each with its own chance.

    A network goes silent as one: it counts when more than half of its vantages did, with the
    chance of its most restless one.
    """
    new = {id(seat) for seat in fresh}
    networks: dict[str, list[float]] = {}
    for seat in roster.countries[scope.country].values():
        is_new = id(seat) in new
        if not scope.holds(seat.witness.place) or not (is_new or seat.status.name == "LIVE"):
            continue
        row = networks.setdefault(seat.witness.prefix, [0.0, 0.0, 0.0])
        row[0] += 1
        row[1] += is_new
        row[2] = max(row[2], roster.chance(seat, window_s, now_us))
    silent = sum(1 for n, k, _ in networks.values() if 2 * k > n)
    if silent < roster.limits.burst:
        return 1.0
    return upper_tail([p for _, _, p in networks.values()], silent)
