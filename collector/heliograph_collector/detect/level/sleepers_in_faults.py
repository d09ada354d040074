"""Find who is missing after a long fault of the collector beyond those who may sleep.

Theory of operation. Who is missing after a fault was not seen to fall silent, so nothing tells
whether all of them went at once, which is what a burst shows. A fault of a few minutes leaves
hardly anybody time to go to bed. In a longer one people went as on any day: by as many as were
absent at this time on the days before (nights.py), and until one such day is known by nearly all,
at any hour but a busy one. A cell whose missing are no chance by that was cut off, and its missing
are tested as a burst; the others are absent, and the level decides.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from heliograph.units import MINUTE_US
from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.level.local_time import is_busy_hour
from heliograph_collector.detect.level.nights import NIGHT_CHANCE, compute_chance
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.stats.tails import upper_tail
from heliograph_collector.model.scope import Scope, scopes_of

# Assumed, both of them:
_LONG_US = 15 * MINUTE_US  # the longest time that a burst takes
_UNKNOWN_ABSENT = 0.8  # of a country in a night, as nearly all phones may sleep


def drop_sleepers(
    missing: Sequence[VantagePresence],
    presence: PresenceTracker,
    cells: Mapping[Scope, CellLevel],
    since_us: int,
    now_us: int,
) -> list[VantagePresence]:
    """Return the missing who are in a cell of which more are missing than may sleep.

    Args:
        missing: Those who are not back from a fault.
        presence: The vantages of all countries.
        cells: The levels of all cells.
        since_us: When the fault began.
        now_us: When they are known to be missing.
    """
    if now_us - since_us < _LONG_US:
        return list(missing)
    by_country: defaultdict[str, list[VantagePresence]] = defaultdict(list)
    for vantage in missing:
        by_country[vantage.place.country].append(vantage)
    awake: list[VantagePresence] = []
    for country, own in by_country.items():
        unusual = _find_unusual(country, presence, cells, since_us, now_us)
        awake += [v for v in own if not unusual.isdisjoint(scopes_of(v.place))]
    return awake


def _find_unusual(
    country: str,
    presence: PresenceTracker,
    cells: Mapping[Scope, CellLevel],
    since_us: int,
    now_us: int,
) -> set[Scope]:
    """Find the cells of a country that more are missing from than may sleep."""
    live: Counter[Scope] = Counter()
    silent: Counter[Scope] = Counter()
    for place, members in presence.places[country].items():
        scopes = [scope for scope in scopes_of(place) if scope in cells or scope.is_national]
        away = sum(v.is_silent and v.heard_us >= since_us for v in members.values())
        silent.update(dict.fromkeys(scopes, away))
        live.update(dict.fromkeys(scopes, sum(v.is_live for v in members.values())))
    tested = [scope for scope, count in silent.items() if count >= presence.limits.burst]
    return {
        scope
        for scope in tested
        if _compute_chance(scope, cells.get(scope), silent[scope], live[scope], now_us)
        <= NIGHT_CHANCE / len(tested)
    }


def _compute_chance(
    scope: Scope, cell: CellLevel | None, silent: int, live: int, now_us: int
) -> float:
    """Return the chance that people who sleep make so many of a cell's missing."""
    size = silent + live
    nights = [] if cell is None else cell.list_absent(now_us)
    if nights:
        return compute_chance(nights, silent, size)
    if is_busy_hour(scope.country, now_us):
        return 0.0
    return upper_tail([_UNKNOWN_ABSENT] * size, silent)
