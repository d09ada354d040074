"""Disco: bursts of disconnects by Kleinberg's automaton, per country, ASN and region.

Shah, Fontugne, Aben, Pelsser, Bush, "Disco: Fast, Good, and Cheap Outage Detection", TMA 2017; the
parameters are those of its published configuration: level 11, at least 5 disconnects of a stream
of at least 5 probes, gamma 0.5, s 2, events fetched every 600 s, 1800 s of them looked at together,
and a usual rate of one disconnect a probe in 100 days, with ln of the number of probes for the
climb. Times of a disconnect are whole seconds, and equal ones are spread over their second.

In its favour: it speaks at the fetch that shows the burst, where the published code waits until
half of its probes are back.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import DAY_US, SECOND_US, Arrival, Lost, Witness
from heliograph_collector.sources.replay import Alarm, Replay
from heliograph_lab.evaluate.baselines.live import entities

_MOST_STATES = 48


@dataclass(frozen=True, slots=True)
class Automaton:
    """`rate`: usual events a second; `climb`: what each step up costs, in nats."""

    rate: float
    climb: float
    s: float = 2.0
    states: int = 2

    def gap(self, state: int, seconds: float) -> float:
        """What a gap costs in a state."""
        rate = self.rate * self.s**state
        return rate * seconds - math.log(rate)

    def move(self, before: int, after: int) -> float:
        return max(0, after - before) * self.climb


@dataclass(frozen=True, slots=True)
class Burst:
    """Events `first` to `last`, both in it, at this state or above."""

    level: int
    first: int
    last: int


def states_for(span_s: float, least_gap_s: float, s: float) -> int:
    """As many as can ever pay: ceil(1 + log_s T + log_s (1 / shortest gap))."""
    wanted = math.ceil(1 + math.log(span_s, s) + math.log(1 / least_gap_s, s))
    return min(_MOST_STATES, max(1, wanted))


def cheapest(gaps: Sequence[float], automaton: Automaton) -> list[int]:
    """One state per gap, of the least cost in all (Viterbi); it begins in state 0."""
    costs = [0.0] + [math.inf] * (automaton.states - 1)
    ways: list[list[int]] = []
    for seconds in gaps:
        came, moved = _moves(costs, automaton)
        costs = [cost + automaton.gap(state, seconds) for state, cost in enumerate(moved)]
        ways.append(came)
    path: list[int] = []
    state = min(range(len(costs)), key=costs.__getitem__)
    for came in reversed(ways):
        path.append(state)
        state = came[state]
    return path[::-1]


def _moves(costs: Sequence[float], automaton: Automaton) -> tuple[list[int], list[float]]:
    """For each state the one to come from, and what it has cost: in one pass up, one down."""
    came, moved = list(range(len(costs))), list(costs)
    for state in range(1, len(costs)):
        if moved[state - 1] + automaton.climb < moved[state]:
            came[state], moved[state] = came[state - 1], moved[state - 1] + automaton.climb
    for state in range(len(costs) - 2, -1, -1):
        if moved[state + 1] < moved[state]:
            came[state], moved[state] = came[state + 1], moved[state + 1]
    return came, moved


def total(gaps: Sequence[float], path: Sequence[int], automaton: Automaton) -> float:
    """What a way through the states costs."""
    moves = sum(automaton.move(before, after) for before, after in pairwise([0, *path]))
    return moves + sum(automaton.gap(state, gap) for state, gap in zip(path, gaps, strict=True))


def bursts(path: Sequence[int], level: int) -> list[Burst]:
    """Stretches of gaps in this state or above; gap i lies between events i and i + 1."""
    found: list[Burst] = []
    first: int | None = None
    for gap, state in enumerate([*path, -1]):
        if state >= level and first is None:
            first = gap
        elif state < level and first is not None:
            found.append(Burst(level, first, gap))
            first = None
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    level: int = 11
    disconnects: int = 5
    probes: int = 5
    gamma: float = 0.5
    s: float = 2.0
    poll_s: float = 600.0
    window_s: float = 1_800.0
    usual_days: float = 100.0  # between two disconnects of a probe


PUBLISHED = Config()
# Atlas probes hang on a cable; people's machines come and go four times a day, which the published
# rate takes for a burst. Level 6 is 64 times that: five within a minute, in a country of 36.
FITTED = Config(usual_days=0.25, level=6)


def disco(replay: Replay) -> Sequence[Alarm]:
    """With the published numbers."""
    return find(replay, PUBLISHED)


def disco_fitted(replay: Replay) -> Sequence[Alarm]:
    """The usual rate set to that of people's machines; not published by anybody."""
    return find(replay, FITTED)


@dataclass(slots=True)
class _Stream:
    """One cell: its probes so far, and its disconnects that are still looked at."""

    scope: Scope
    probes: set[str] = field(default_factory=set)
    recent: list[Lost] = field(default_factory=list)
    told: set[tuple[str, int]] = field(default_factory=set)


def find(replay: Replay, config: Config) -> Sequence[Alarm]:
    streams: dict[Scope, _Stream] = {}
    known: dict[str, Witness] = {}
    backs = _arrivals(replay)
    poll_us = int(config.poll_s * SECOND_US)
    next_us = replay.since_us + poll_us
    found: list[Alarm] = []
    for signal in replay.signals:
        while next_us <= signal.at_us:
            found += _poll(streams.values(), backs, next_us, replay, config)
            next_us += poll_us
        if isinstance(signal, Arrival):
            known[signal.witness.nym] = signal.witness
            for scope in entities(signal.witness.place):
                streams.setdefault(scope, _Stream(scope)).probes.add(signal.witness.nym)
        elif isinstance(signal, Lost) and signal.nym in known:
            for scope in entities(known[signal.nym].place):
                streams[scope].recent.append(signal)
    while next_us <= replay.until_us:
        found += _poll(streams.values(), backs, next_us, replay, config)
        next_us += poll_us
    return found


def _arrivals(replay: Replay) -> Mapping[str, Sequence[int]]:
    backs: defaultdict[str, list[int]] = defaultdict(list)
    for signal in replay.signals:
        if isinstance(signal, Arrival):
            backs[signal.witness.nym].append(signal.at_us)
    return backs


def _poll(
    streams: Iterable[_Stream],
    backs: Mapping[str, Sequence[int]],
    now_us: int,
    replay: Replay,
    config: Config,
) -> Iterator[Alarm]:
    since_us = now_us - int(config.window_s * SECOND_US)
    for stream in streams:
        if not stream.recent:
            continue
        stream.recent = [lost for lost in stream.recent if lost.at_us > since_us]
        enough = len(stream.recent) >= config.disconnects and len(stream.probes) >= config.probes
        for members in _bursts(stream, config) if enough else ():
            marks = {(lost.nym, lost.at_us) for lost in members}
            if stream.told.isdisjoint(marks):
                yield _alarm(stream.scope, members, backs, now_us, replay, config)
            stream.told |= marks


def _bursts(stream: _Stream, config: Config) -> Iterator[Sequence[Lost]]:
    """The disconnects of each burst of the level or above."""
    times = _spread([lost.at_us for lost in stream.recent])
    gaps = [after - before for before, after in pairwise(times)]
    span_s = config.usual_days * DAY_US / SECOND_US
    probes = len(stream.probes)
    automaton = Automaton(
        rate=probes / span_s,
        climb=config.gamma * math.log(probes),
        s=config.s,
        states=states_for(span_s, min(gaps), config.s),
    )
    for burst in bursts(cheapest(gaps, automaton), config.level):
        yield stream.recent[burst.first : burst.last + 1]


def _spread(moments: Sequence[int]) -> list[float]:
    """Whole seconds; k of the same one lie 1/k s apart. The order is that of time."""
    seconds = [moment // SECOND_US for moment in moments]
    counted, seen = Counter(seconds), Counter[int]()
    spread: list[float] = []
    for second in seconds:
        spread.append(second + seen[second] / counted[second])
        seen[second] += 1
    return spread


def _alarm(
    scope: Scope,
    members: Sequence[Lost],
    backs: Mapping[str, Sequence[int]],
    now_us: int,
    replay: Replay,
    config: Config,
) -> Alarm:
    """It is over at the fetch that shows half of them back."""
    returns = sorted(
        back
        for lost in members
        if (back := next((at for at in backs[lost.nym] if at > lost.at_us), None)) is not None
    )
    half = (len(members) + 1) // 2
    over_us: int | None = None
    if len(returns) >= half:
        poll_us = int(config.poll_s * SECOND_US)
        late_us = max(now_us, returns[half - 1])
        over_us = replay.since_us - (replay.since_us - late_us) // poll_us * poll_us
    ended = over_us if over_us is not None and over_us <= replay.until_us else None
    return Alarm(
        at_us=now_us,
        scope=scope,
        service="",
        kind="cut",
        started=(min(lost.heard_us for lost in members), members[-1].at_us),
        ended_at_us=ended,
        ended=(returns[0], returns[half - 1]) if ended is not None else None,
    )
