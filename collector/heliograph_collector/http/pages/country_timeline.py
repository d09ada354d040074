"""A country over time, in three looks at the same cells: its services, networks and regions. Pure.

Each look is rolled up and passes k-anonymity for itself, as the timeline of each would, and none
tells more than the timeline does: a state for each bin, silence, and that too few looked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from heliograph_collector.http.snapshot import Group
from heliograph_collector.model.records import Cell, State


class Mark(StrEnum):
    """What a bin shows; None: nobody looked."""

    REACHABLE = "reachable"
    BLOCKED = "blocked"
    DOWN = "down"
    UNKNOWN = "unknown"
    SILENT = "silent"  # enough fell silent, and nobody is left to say anything
    FEW = "few"  # somebody looked, and too few to be shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """So many bins of so many seconds, up to the one in progress."""

    bin_s: int
    bins: int

    def starts(self, at_us: int) -> range:
        width = self.bin_s * 1_000_000
        until_us = (at_us // width + 1) * width
        return range(until_us - self.bins * width, until_us, width)


WINDOWS = {
    "day": Span(bin_s=900, bins=96),
    "week": Span(bin_s=3_600, bins=168),
    "month": Span(bin_s=21_600, bins=120),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One row of the picture."""

    marks: tuple[Mark | None, ...]  # oldest first
    shares: tuple[float, ...]  # of the services judged there, how many are as the mark says, if bad
    newest: Cell | None = None  # the freshest cell of a last bin, one that is blocked before others
    blocked: int = 0  # services in that bin …
    judged: int = 0  # … of so many that are judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Panorama:
    starts: range
    services: Mapping[str, Track]
    networks: Mapping[Group, Track]
    regions: Mapping[str, Track]
    young: bool = False  # whether the last bin has only begun


MergeSmall = Callable[[Sequence[Cell], int], Sequence[Cell]]
_FRESH = 2  # bins
LOOKS: Sequence[Mapping[str, Any]] = (  # what each is not told apart by
    {"region": "", "asn": 0, "access": ""},
    {"region": ""},
    {"asn": 0, "access": ""},
)


def empty(starts: range) -> Panorama:
    return Panorama(starts=starts, services={}, networks={}, regions={})


def compose(
    merge_small: MergeSmall,
    k: int,
    measured: Sequence[Sequence[Cell]],
    starts: range,
    names: Iterable[str],
) -> Panorama:
    """`measured`: cells of one country for each of `LOOKS`, in bins that begin at `starts`.

    The services that have `names` come first.
    """
    whole, networks, regions = ((cells, merge_small(cells, k)) for cells in measured)
    return Panorama(
        starts=starts,
        services=_services(*whole, starts, names, k),
        networks={
            Group(c.country, c.asn, c.access): track for c, track in _places(*networks, starts, k)
        },
        regions={c.region: track for c, track in _places(*regions, starts, k) if c.region},
    )


def _services(
    measured: Sequence[Cell], shown: Sequence[Cell], starts: range, names: Iterable[str], k: int
) -> dict[str, Track]:
    told = {c.service for c in shown if c.service and c.vantages >= max(k, 1)}
    silent = _silent(shown, k)
    order = [*names, *sorted(told - set(names))]
    return {
        name: _track(
            [c for c in measured if c.service == name],
            [c for c in shown if c.service == name],
            silent,
            starts,
            k,
        )
        for name in order
    }


def _places(
    measured: Sequence[Cell], shown: Sequence[Cell], starts: range, k: int
) -> list[tuple[Cell, Track]]:
    """For each place that is shown: one of its cells, and its row."""
    by_place: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in shown:
        by_place.setdefault((cell.region, cell.asn, cell.access), []).append(cell)
    seen: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in measured:
        seen.setdefault((cell.region, cell.asn, cell.access), []).append(cell)
    return [
        (mine[0], _track(seen.get(place, []), mine, _silent(mine, k), starts, k))
        for place, mine in sorted(by_place.items())
        if any(c.vantages or c.silent >= max(k, 1) for c in mine)
    ]


def _silent(shown: Iterable[Cell], k: int) -> set[int]:
    """Bins in which enough fell silent to be told."""
    return {c.start_us for c in shown if c.silent >= max(k, 1)}


def _track(
    measured: Iterable[Cell], shown: Iterable[Cell], silent: set[int], starts: range, k: int
) -> Track:
    by_start: dict[int, list[Cell]] = {}
    for cell in shown:  # what is shown for its silence alone has no verdict
        if cell.vantages >= max(k, 1) and cell.service:
            by_start.setdefault(cell.start_us, []).append(cell)
    # Where nothing is ever shown, nobody is told apart from too few.
    busy = {c.start_us for c in measured if c.vantages} if by_start else set()
    bins = [_bin(by_start.get(start, ()), start in silent, start in busy) for start in starts]
    fresh = next((by_start[at] for at in reversed(starts[-_FRESH:]) if at in by_start), [])
    states = [cell.state for cell in fresh if cell.state is not State.UNKNOWN]
    return Track(
        marks=tuple(mark for mark, _ in bins),
        shares=tuple(share for _, share in bins),
        newest=max(fresh, key=lambda c: (c.state is State.BLOCKED, c.service), default=None),
        blocked=states.count(State.BLOCKED),
        judged=len(states),
    )


def _bin(cells: Sequence[Cell], silent: bool, busy: bool) -> tuple[Mark | None, float]:
    states = [cell.state for cell in cells]
    judged = [state for state in states if state is not State.UNKNOWN]
    for bad in (State.BLOCKED, State.DOWN):  # in the order of the map
        if bad in states:
            return Mark(bad.value), states.count(bad) / len(judged)
    for state in (State.REACHABLE, State.UNKNOWN):
        if state in states:
            return Mark(state.value), 1.0
    if silent:
        return Mark.SILENT, 1.0
    return (Mark.FEW, 1.0) if busy else (None, 1.0)
