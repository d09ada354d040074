"""The world now, as one value: the page, the status and the live events all say the same."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph.observation import Link
from heliograph_collector.http import labels
from heliograph_collector.http.backend import AgentCounts, LinkCount
from heliograph_collector.model.records import Cell, State

BIN_S = 300
HISTORY_S = 6 * 3600
FRESH_BINS = 4  # a reading older than this is no reading


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Vantages of one network that are shown together; (country, 0, "") is "other networks"."""

    country: str
    asn: int
    access: str


@dataclass(frozen=True, slots=True)
class Bracket:
    """A change happened between these moments; `earliest_us` None: before all we looked at."""

    earliest_us: int | None
    latest_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One service from one group. `cell` None: nothing fresh."""

    service: str
    cell: Cell | None
    since: Bracket | None
    strip: tuple[State | None, ...]  # oldest first; None where nobody measured
    counts_us: int = 0  # start of the bin that `cell` is from

    @property
    def state(self) -> State | None:
        return self.cell.state if self.cell else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    group: Group
    link: Link
    vantages: int
    silent: int
    readings: Mapping[str, Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    agents: AgentCounts
    vantages: int  # in the groups shown
    withheld: int  # groups with fewer vantages than k, shown nowhere
    first_us: int | None  # of the first vote in the window
    blind: tuple[tuple[int, int], ...]  # (from, until) after it without one vote from anywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    at_us: int
    since_us: int
    k: int
    services: tuple[tuple[str, str], ...]  # (name, title)
    columns: tuple[Column, ...]
    coverage: Coverage

    @property
    def bins(self) -> range:
        return range(self.since_us, self.at_us, BIN_S * 1_000_000)


def window(at_us: int) -> tuple[int, int]:
    """(since, until) of the history up to the bin in progress, aligned to bins."""
    width = BIN_S * 1_000_000
    until = (at_us // width + 1) * width
    return until - HISTORY_S * 1_000_000, until


def compose(
    at_us: int,
    k: int,
    titles: Mapping[str, str],
    shown: Sequence[Cell],
    measured: Sequence[Cell],
    links: Sequence[LinkCount],
    agents: AgentCounts,
) -> Snapshot:
    """`shown` has passed k-anonymity, `measured` has not and is only counted."""
    since_us, until_us = window(at_us)
    bins = range(since_us, until_us, BIN_S * 1_000_000)
    groups = sorted({_group(c) for c in shown if c.vantages or c.silent})
    people, folded = _fold(links, groups, k)
    groups = sorted({*groups, *people}, key=_others_last)
    by_key = _by_key(shown)
    services = _services(titles, shown)
    columns = tuple(_column(g, services, by_key, bins, people.get(g, Counter()), k) for g in groups)
    busy = [c for c in measured if c.vantages]
    voted = {c.start_us for c in busy}
    coverage = Coverage(
        agents=agents,
        vantages=sum(column.vantages for column in columns),
        withheld=len(({_group(c) for c in busy} | folded) - set(groups)),
        first_us=min(voted, default=None),
        blind=_blind(bins, voted),
    )
    return Snapshot(
        at_us=at_us, since_us=since_us, k=k, services=services, columns=columns, coverage=coverage
    )


def _others_last(group: Group) -> tuple[str, bool, Group]:
    return group.country, not group.asn and not group.access, group


def _group(cell: Cell) -> Group:
    return Group(cell.country, cell.asn, cell.access)


def _by_key(cells: Iterable[Cell]) -> dict[tuple[Group, str], dict[int, Cell]]:
    found: dict[tuple[Group, str], dict[int, Cell]] = {}
    for cell in cells:
        found.setdefault((_group(cell), cell.service), {})[cell.start_us] = cell
    return found


def _services(titles: Mapping[str, str], cells: Iterable[Cell]) -> tuple[tuple[str, str], ...]:
    lone = {c.service for c in cells if c.service} - set(titles)
    return tuple((name, labels.service(name, titles)) for name in (*titles, *sorted(lone)))


def _fold(
    counts: Iterable[LinkCount], shown: Sequence[Group], k: int
) -> tuple[dict[Group, Counter[Link]], set[Group]]:
    """Links per group that may be shown, and the groups that went into others or nowhere."""
    people: dict[Group, Counter[Link]] = {}
    for row in counts:
        group = Group(row.country, row.asn, row.access)
        people.setdefault(group, Counter())[row.link] += row.vantages
    folded: set[Group] = set()
    for group in [g for g in people if g not in shown and people[g].total() < k]:
        links, wider = people.pop(group), Group(group.country, 0, "")
        folded.add(group)
        if wider in shown:
            people.setdefault(wider, Counter()).update(links)
    return people, folded


def _column(
    group: Group,
    services: Sequence[tuple[str, str]],
    by_key: Mapping[tuple[Group, str], Mapping[int, Cell]],
    bins: range,
    links: Counter[Link],
    k: int,
) -> Column:
    readings = {name: _read(name, by_key.get((group, name), {}), bins) for name, _ in services}
    fresh = [r.cell for r in readings.values() if r.cell]
    return Column(
        group=group,
        # Of a group that is shown for its votes, fewer than k may be connected just now.
        link=links.most_common(1)[0][0] if links.total() >= max(k, 1) else Link.UNKNOWN,
        vantages=max([links.total(), *(c.vantages for c in fresh)]),
        silent=max(_recent_silences(group, by_key, bins), default=0),
        readings=readings,
    )


def _recent_silences(
    group: Group, by_key: Mapping[tuple[Group, str], Mapping[int, Cell]], bins: range
) -> list[int]:
    recent = bins[-FRESH_BINS:]
    return [
        cell.silent
        for (where, _), cells in by_key.items()
        if where == group
        for cell in (cells.get(start) for start in recent)
        if cell
    ]


def _read(service: str, cells: Mapping[int, Cell], bins: range) -> Reading:
    row = [cells.get(start) for start in bins]
    strip = tuple(c.state if c and c.vantages else None for c in row)
    cell = _freshest([c for c in row[-FRESH_BINS:] if c and c.vantages], bins[-1])
    since = bracket(strip, bins, cell.state) if cell else None
    return Reading(
        service=service,
        cell=cell,
        since=since,
        strip=strip,
        counts_us=cell.start_us if cell else 0,
    )


def _freshest(cells: Sequence[Cell], in_progress_us: int) -> Cell | None:
    """The newest, unless it is the bin in progress and most vantages are still to vote."""
    if not cells:
        return None
    newest = cells[-1]
    if len(cells) > 1 and newest.start_us == in_progress_us:
        before = cells[-2]
        return before if newest.vantages * 2 < before.vantages else newest
    return newest


def bracket(strip: Sequence[State | None], bins: range, state: State) -> Bracket | None:
    """Between the last bin that said something else and the first of the run that says `state`.

    Doubt and silence neither end a run nor start one, unless it is a run of doubt.
    """
    doubt = () if state is State.UNKNOWN else (State.UNKNOWN,)
    first: int | None = None
    for index in reversed(range(len(strip))):
        seen = strip[index]
        if seen is state:
            first = index
        elif seen is not None and seen not in doubt and first is not None:
            return Bracket(bins[index], bins[first] + bins.step)
    return None if first is None else Bracket(None, bins[first] + bins.step)


def _blind(bins: range, voted: set[int]) -> tuple[tuple[int, int], ...]:
    """Gaps since the first vote; the bin in progress is not yet a gap."""
    gaps: list[tuple[int, int]] = []
    began = False
    for start in bins[:-1]:
        began = began or start in voted
        if start in voted or not began:
            continue
        if gaps and gaps[-1][1] == start:
            gaps[-1] = (gaps[-1][0], start + bins.step)
        else:
            gaps.append((start, start + bins.step))
    return tuple(gaps)
