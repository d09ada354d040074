"""From votes to cells: distinct vantages vote, networks besides, and nobody twice. Pure.

A cell is (country, region, ASN, access, service) in one time bin. Every cell seen in the window has
a row in every bin of it, also where nobody measured. `merge_small` is the k-anonymity of the feed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from heliograph_collector.model.records import Cell, Count, Silence, State, Vote

INSUFFICIENT = "insufficient"  # the method of a cell that hides a number below k


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What it takes for a cell to have a state."""

    blocked: float = 0.66  # share of the networks that know anything
    down: float = 0.66
    reachable: float = 0.66
    vantages: int = 2  # with fewer the confidence is capped …
    low: float = 0.5  # … at this
    most: float = 0.99


THRESHOLDS = Thresholds()


class Key(NamedTuple):
    """What tells one cell from another in the same bin."""

    country: str
    region: str
    asn: int
    access: str
    service: str

    @property
    def place(self) -> "Place":
        return self[:4]


Place = tuple[str, str, int, str]
Ballot = Counter[State]


@dataclass(slots=True)
class _Voter:
    """One vantage: its counts, what it gave as cause, its network, which is that of its last."""

    counts: Ballot
    causes: Counter[tuple[str, str]]
    last: tuple[int, str] = (0, "")

    def add(self, vote: Vote) -> None:
        self.last = max(self.last, (vote.start_us, vote.prefix))
        self.counts[State.REACHABLE] += vote.reachable
        self.counts[State.BLOCKED] += vote.blocked
        self.counts[State.DOWN] += vote.down
        self.counts[State.UNKNOWN] += vote.unknown
        if vote.blocked + vote.down:
            self.causes[vote.layer, vote.method] += vote.blocked + vote.down

    @property
    def cause(self) -> tuple[str, str]:
        return _commonest(self.causes)


def cells(
    votes: Iterable[Vote], silences: Iterable[Silence], since_us: int, until_us: int, bin_s: int
) -> list[Cell]:
    """A row for every cell key seen in [since, until) and every bin, in order."""
    counts = counted(votes, since_us, until_us, bin_s)
    return _cells(counts, silences, since_us, until_us, bin_s)


def bin_by_bin(
    counts: Iterable[Count], silences: Iterable[Silence], since_us: int, until_us: int, bin_s: int
) -> list[Cell]:
    """Cells as they are stored: what a bin holds depends on nothing outside of it.

    So they are the same whatever is rolled up together; `in_every_bin` adds the rows of nobody.
    """
    by_start: defaultdict[int, tuple[list[Count], list[Silence]]] = defaultdict(lambda: ([], []))
    bin_us = bin_s * 1_000_000
    for count in counts:
        by_start[count.start_us // bin_us * bin_us][0].append(count)
    for silence in silences:
        by_start[silence.start_us // bin_us * bin_us][1].append(silence)
    return [
        cell
        for start_us, (some, gone) in sorted(by_start.items())
        if since_us <= start_us < until_us
        for cell in _cells(some, gone, start_us, start_us + bin_us, bin_s)
    ]


def in_every_bin(
    stored: Iterable[Cell], since_us: int, until_us: int, bin_s: int, *, empty: bool = True
) -> list[Cell]:
    """Stored cells of a window as `cells` would give them: each key in every bin; without those of
    nobody, who neither measured nor fell silent, unless `empty`."""
    bin_us = bin_s * 1_000_000
    there = {(_key(c), c.start_us): c for c in stored if since_us <= c.start_us < until_us}
    silent: Counter[tuple[Place, int]] = Counter()
    for (key, start_us), cell in there.items():
        if cell.silent:
            silent[key.place, start_us] = max(silent[key.place, start_us], cell.silent)
    voted = {at: cell for at, cell in there.items() if cell.vantages}
    return [
        voted.get((key, start_us)) or _cell(key, start_us, bin_s, None, silent[key.place, start_us])
        for key in sorted(_keys(voted, silent))
        for start_us in range(since_us // bin_us * bin_us, until_us, bin_us)
        if empty or (key, start_us) in voted or (key.place, start_us) in silent
    ]


def outdated(stored: Iterable[Cell], found: Iterable[Cell]) -> list[Cell]:
    """What to write so that `stored` becomes `found`: what differs, and what is there no more."""
    before = {(_key(c), c.start_us): c for c in stored}
    after = {(_key(c), c.start_us): c for c in found}
    gone = [_emptied(c, "") for at, c in before.items() if at not in after and _people(c)]
    return [c for at, c in after.items() if before.get(at) != c] + gone


def merge_small(cells: Sequence[Cell], k: int) -> list[Cell]:
    """Cells of fewer than `k` vantages become their country's other networks: ASN 0, no access.

    Those are never under `k` either, or a reader could subtract: then the smallest of the cells
    that could have been shown joins them. A country under `k` says insufficient. An empty row
    stays where its cell is shown in another bin. Where enough fell silent, and fewer than `k` still
    measure, the silence is told and no verdict: it would be theirs. Confidence is told in tenths:
    exactly it would tell the number of networks, and of two nested cells their difference.
    """
    shown = {_key(c) for c in cells if _people(c) >= k}
    ordered = sorted(cells, key=lambda c: (c.country, c.service, c.start_us, c.bin_s))
    merged = [
        cell
        for _, group in groupby(ordered, key=lambda c: (c.country, c.service, c.start_us, c.bin_s))
        for cell in _merge_bin(list(group), k, shown)
    ]
    return merged if k <= 1 else [_told(c, k) for c in merged]


def own_vote(ballot: Ballot) -> State:
    """What most of the counts say; a tie says nothing, and so does doubt in the lead."""
    ranked = ballot.most_common(2)
    if not ranked or ranked[0][1] == 0:
        return State.UNKNOWN
    tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
    return State.UNKNOWN if tied else ranked[0][0]


def state_of(ballot: Ballot) -> State:
    """The state that enough of those hold who know anything."""
    known = ballot.total() - ballot[State.UNKNOWN]
    needed = {
        State.BLOCKED: THRESHOLDS.blocked,
        State.DOWN: THRESHOLDS.down,
        State.REACHABLE: THRESHOLDS.reachable,
    }
    held = (s for s, share in needed.items() if known and ballot[s] / known >= share)
    return next(held, State.UNKNOWN)


def confidence_of(state: State, ballot: Ballot, vantages: int) -> float:
    """Agreeing networks over all that voted and one imagined dissenter; 0 for unknown.

    An agreeing vantage never lowers it: (a + 1) / (n + 2) is at least a / (n + 1).
    """
    if state is State.UNKNOWN:
        return 0.0
    sure = ballot[state] / (ballot.total() + 1)
    cap = THRESHOLDS.low if vantages < THRESHOLDS.vantages else THRESHOLDS.most
    return round(min(cap, sure), 3)


def counted(votes: Iterable[Vote], since_us: int, until_us: int, bin_s: int) -> list[Count]:
    """The votes of each cell in each bin of [since, until), by vantage and by network."""
    bin_us = bin_s * 1_000_000
    booths: defaultdict[tuple[Key, int], dict[str, _Voter]] = defaultdict(dict)
    for vote in votes:
        if since_us <= vote.start_us < until_us:
            key = Key(vote.country, vote.region, vote.asn, vote.access, vote.service)
            voters = booths[key, vote.start_us // bin_us * bin_us]
            voters.setdefault(vote.nym, _Voter(Counter(), Counter())).add(vote)
    return [_count(key, start_us, list(v.values())) for (key, start_us), v in booths.items()]


def _count(key: Key, start_us: int, voters: Sequence[_Voter]) -> Count:
    own = [own_vote(v.counts) for v in voters]
    causes = zip(own, (v.cause for v in voters), strict=True)
    return Count(
        **key._asdict(),
        start_us=start_us,
        vantages=Counter(own),
        networks=_networks(voters, own),
        causes=Counter((s, *cause) for s, cause in causes if s in (State.BLOCKED, State.DOWN)),
    )


def _cells(
    counts: Iterable[Count], silences: Iterable[Silence], since_us: int, until_us: int, bin_s: int
) -> list[Cell]:
    bin_us = bin_s * 1_000_000
    voted = {(_key(count), count.start_us): count for count in counts}
    silent = _silent(silences, since_us, until_us, bin_us)
    return [
        _cell(key, start_us, bin_s, voted.get((key, start_us)), silent[key.place, start_us])
        for key in sorted(_keys(voted, silent))
        for start_us in range(since_us // bin_us * bin_us, until_us, bin_us)
    ]


def _silent(
    silences: Iterable[Silence], since_us: int, until_us: int, bin_us: int
) -> Counter[tuple[Place, int]]:
    """Of a bin made of finer ones the worst counts: the same vantage is silent in each."""
    gone: Counter[tuple[Place, int]] = Counter()
    fine: Counter[tuple[Place, int]] = Counter()
    for silence in silences:
        if since_us <= silence.start_us < until_us:
            fine[_place(silence), silence.start_us] += silence.vantages
    for (place, start_us), vantages in fine.items():
        at = (place, start_us // bin_us * bin_us)
        gone[at] = max(gone[at], vantages)
    return gone


def _keys(ballots: Iterable[tuple[Key, int]], silent: Iterable[tuple[Place, int]]) -> set[Key]:
    """Those voted for, and the service "" of places from which nothing but silence came."""
    keys = {key for key, _ in ballots}
    places = {key.place for key in keys}
    return keys | {Key(*place, "") for place, _ in silent if place not in places}


def _cell(key: Key, start_us: int, bin_s: int, count: Count | None, silent: int) -> Cell:
    vantages = Counter({} if count is None else count.vantages)
    networks = Counter({} if count is None else count.networks)
    causes = {} if count is None else count.causes
    state = state_of(networks)
    said = Counter({(layer, method): n for (s, layer, method), n in causes.items() if s is state})
    layer, method = _commonest(said)
    return Cell(
        **key._asdict(),
        start_us=start_us,
        bin_s=bin_s,
        vantages=vantages.total(),
        reachable=vantages[State.REACHABLE],
        blocked=vantages[State.BLOCKED],
        down=vantages[State.DOWN],
        unknown=vantages[State.UNKNOWN],
        silent=silent,
        state=state,
        confidence=confidence_of(state, networks, vantages.total()),
        layer=layer,
        method=method,
        prefixes=networks.total(),
        layers=_layers((layer, n) for (_, layer, _), n in causes.items()),
    )


def _layers(counts: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    layers: Counter[str] = Counter()
    for layer, n in counts:
        layers[layer] += n
    return tuple(sorted(layers.items()))


def _networks(voters: Sequence[_Voter], own: Sequence[State]) -> Ballot:
    """One vote per network prefix; vantages whose network is not known are one network."""
    inside: defaultdict[str, Ballot] = defaultdict(Counter)
    for voter, vote in zip(voters, own, strict=True):
        inside[voter.last[1]][vote] += 1
    return Counter(own_vote(ballot) for ballot in inside.values())


def _commonest(causes: Counter[tuple[str, str]]) -> tuple[str, str]:
    return max(sorted(causes), key=lambda cause: causes[cause], default=("", ""))


def _merge_bin(group: Sequence[Cell], k: int, shown: set[Key]) -> list[Cell]:
    """One country, service and bin."""
    others = Key(group[0].country, "", 0, "", group[0].service)
    stays: list[Cell] = []
    small: list[Cell] = []
    for cell in group:
        kept = _key(cell) != others and _stays(cell, k, shown)
        (stays if kept else small).append(cell)
    spare = sorted((c for c in stays if _people(c)), key=lambda c: (_people(c), _key(c)))
    while small and 0 < sum(map(_people, small)) < k and spare:
        small.append(spare.pop(0))
        stays.remove(small[-1])
    if not small:
        return list(group)
    if len(small) == 1 and _key(small[0]) == others and _people(small[0]) >= k:
        return [*small, *stays]
    return [_merged(others, small, k), *stays]


def _stays(cell: Cell, k: int, shown: set[Key]) -> bool:
    people = _people(cell)
    return people >= k or (people == 0 and _key(cell) in shown)


def _merged(key: Key, small: Sequence[Cell], k: int) -> Cell:
    first = replace(small[0], **key._asdict())
    people = sum(map(_people, small))
    if people < max(k, 1):
        return _emptied(first, INSUFFICIENT if people else "")
    ballot = Counter({state: sum(getattr(c, state.value) for c in small) for state in State})
    vantages, prefixes = sum(c.vantages for c in small), sum(c.prefixes for c in small)
    state = state_of(ballot)
    causes = [(c.layer, c.method) for c in small if c.state is state for _ in range(c.vantages)]
    blamed = state in (State.BLOCKED, State.DOWN)
    layer, method = _commonest(Counter(causes)) if blamed else ("", "")
    return replace(
        first,
        reachable=ballot[State.REACHABLE],
        blocked=ballot[State.BLOCKED],
        down=ballot[State.DOWN],
        unknown=ballot[State.UNKNOWN],
        vantages=vantages,
        silent=sum(c.silent for c in small),
        state=state,
        confidence=min(confidence_of(state, ballot, vantages), _in_networks(prefixes)),
        layer=layer,
        method=method,
        prefixes=prefixes,
        layers=_layers(pair for c in small for pair in c.layers),
    )


def _told(cell: Cell, k: int) -> Cell:
    if 0 < cell.vantages < k:
        silence = replace(_emptied(cell, INSUFFICIENT), silent=cell.silent)
        return replace(silence, vantages=cell.vantages, unknown=cell.vantages)
    return replace(cell, confidence=_tenths(cell.confidence))


def _emptied(cell: Cell, method: str) -> Cell:
    """The row without its numbers."""
    return Cell(
        **_key(cell)._asdict(),
        start_us=cell.start_us,
        bin_s=cell.bin_s,
        vantages=0,
        reachable=0,
        blocked=0,
        down=0,
        unknown=0,
        silent=0,
        state=State.UNKNOWN,
        confidence=0.0,
        method=method,
    )


def _tenths(confidence: float) -> float:
    """Rounded down: nobody is to be surer than the votes are."""
    return round(confidence * 1_000) // 100 / 10


def _in_networks(prefixes: int) -> float:
    """The most that so many networks can make sure of, all agreeing."""
    return round(prefixes / (prefixes + 1), 3)


def _people(cell: Cell) -> int:
    """At least so many persons are in it: who fell silent may have measured before."""
    return max(cell.vantages, cell.silent)


def _key(cell: Cell | Count) -> Key:
    return Key(cell.country, cell.region, cell.asn, cell.access, cell.service)


def _place(silence: Silence) -> Place:
    return (silence.country, silence.region, silence.asn, silence.access)
