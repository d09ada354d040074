"""Disco: bursts of disconnects by country, ASN and region.

Bursts are found by Kleinberg's automaton: Shah, Fontugne, Aben, Pelsser, Bush, "Disco: Fast, Good,
and Cheap Outage Detection", TMA 2017. The parameters are those of its published configuration:
level 11; at least 5 disconnects of a stream of at least 5 probes; gamma 0.5; s 2; a fetch of events
every 600 s; a window of 1800 s; a usual rate of one disconnect per probe in 100 days. The cost of a
step up has the factor ln(number of probes). Disconnect times are whole seconds, and equal ones are
spread over their second.

One deviation favors Disco: it alarms at the fetch that shows the burst. The published code waits
until half of the probes are back.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageArrival, VantageLoss, VantageRef
from heliograph_collector.sources.replay import Alarm, Replay
from heliograph_lab.evaluate.baselines.live import scopes_at

_MOST_STATES = 48  # bounds the time of a path; assumed


@dataclass(frozen=True, slots=True)
class Automaton:
    """Kleinberg's automaton; costs are in nats."""

    rate: float  # usual events per second
    climb: float  # cost of each step up
    s: float = 2.0
    states: int = 2

    def gap_cost(self, state: int, seconds: float) -> float:
        """Return the cost of a gap in a state."""
        rate = self.rate * self.s**state
        return rate * seconds - math.log(rate)


@dataclass(frozen=True, slots=True)
class Burst:
    """Events `first` to `last`, inclusive, at this state or above."""

    level: int
    first: int
    last: int


def state_count(span_s: float, least_gap_s: float, s: float) -> int:
    """Return the number of useful states.

    It is ceil(1 + log_s T + log_s (1 / shortest gap)).
    """
    needed = math.ceil(1 + math.log(span_s, s) + math.log(1 / least_gap_s, s))
    return min(_MOST_STATES, max(1, needed))


def cheapest_path(gaps: Sequence[float], automaton: Automaton) -> list[int]:
    """Return the states of the gaps at the lowest cost (Viterbi), from state 0."""
    costs = [0.0] + [math.inf] * (automaton.states - 1)
    ways: list[list[int]] = []
    for seconds in gaps:
        came, moved = _moves(costs, automaton)
        costs = [cost + automaton.gap_cost(state, seconds) for state, cost in enumerate(moved)]
        ways.append(came)
    path: list[int] = []
    state = min(range(len(costs)), key=costs.__getitem__)
    for came in reversed(ways):
        path.append(state)
        state = came[state]
    return path[::-1]


def _moves(costs: Sequence[float], automaton: Automaton) -> tuple[list[int], list[float]]:
    came = list(range(len(costs)))
    moved = list(costs)
    for state in range(1, len(costs)):
        if moved[state - 1] + automaton.climb < moved[state]:
            came[state] = came[state - 1]
            moved[state] = moved[state - 1] + automaton.climb
    for state in range(len(costs) - 2, -1, -1):
        if moved[state + 1] < moved[state]:
            came[state] = came[state + 1]
            moved[state] = moved[state + 1]
    return came, moved


def bursts_in(path: Sequence[int], level: int) -> list[Burst]:
    """Return runs of gaps in this state or above; gap i is between events i and i + 1."""
    result: list[Burst] = []
    first: int | None = None
    for gap, state in enumerate([*path, -1]):
        if state >= level and first is None:
            first = gap
        elif state < level and first is not None:
            result.append(Burst(level, first, gap))
            first = None
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoConfig:
    level: int = 11
    disconnects: int = 5
    probes: int = 5
    gamma: float = 0.5
    s: float = 2.0
    poll_s: float = 600.0
    window_s: float = 1_800.0
    usual_days: float = 100.0  # between two disconnects of a probe


PUBLISHED = DiscoConfig()
# Atlas probes are wired. Volunteers' machines disconnect four times a day, which exceeds the
# published rate. Level 6 is 64 times their rate: five within a minute in a country of 36.
FITTED = DiscoConfig(usual_days=0.25, level=6)


def disco(replay: Replay) -> Sequence[Alarm]:
    """Detect with the published parameters."""
    return find_alarms(replay, PUBLISHED)


def disco_fitted(replay: Replay) -> Sequence[Alarm]:
    """Detect with the usual rate of volunteers' machines, which is not published."""
    return find_alarms(replay, FITTED)


def disco_prompt(replay: Replay) -> Sequence[Alarm]:
    """Detect with the fitted rate and a fetch each minute, which delays no alarm."""
    return find_alarms(replay, replace(FITTED, poll_s=60.0))


@dataclass(slots=True)
class _Stream:
    """One cell, with its probes and recent disconnects."""

    scope: Scope
    probes: set[str] = field(default_factory=set)
    recent: list[VantageLoss] = field(default_factory=list)
    reported: set[tuple[str, int]] = field(default_factory=set)


def find_alarms(replay: Replay, config: DiscoConfig) -> Sequence[Alarm]:
    streams: dict[Scope, _Stream] = {}
    vantages: dict[str, VantageRef] = {}
    arrival_times = _arrival_times(replay)
    poll_us = int(config.poll_s * SECOND_US)
    next_us = replay.since_us + poll_us
    alarms: list[Alarm] = []
    for signal in replay.signals:
        while next_us <= signal.at_us:
            alarms += _poll_streams(streams.values(), arrival_times, next_us, replay, config)
            next_us += poll_us
        if isinstance(signal, VantageArrival):
            vantages[signal.witness.nym] = signal.witness
            for scope in scopes_at(signal.witness.place):
                streams.setdefault(scope, _Stream(scope)).probes.add(signal.witness.nym)
        elif isinstance(signal, VantageLoss) and signal.nym in vantages:
            for scope in scopes_at(vantages[signal.nym].place):
                streams[scope].recent.append(signal)
    while next_us <= replay.until_us:
        alarms += _poll_streams(streams.values(), arrival_times, next_us, replay, config)
        next_us += poll_us
    return alarms


def _arrival_times(replay: Replay) -> Mapping[str, Sequence[int]]:
    arrival_times: defaultdict[str, list[int]] = defaultdict(list)
    for signal in replay.signals:
        if isinstance(signal, VantageArrival):
            arrival_times[signal.witness.nym].append(signal.at_us)
    return arrival_times


def _poll_streams(
    streams: Iterable[_Stream],
    arrival_times: Mapping[str, Sequence[int]],
    now_us: int,
    replay: Replay,
    config: DiscoConfig,
) -> Iterator[Alarm]:
    since_us = now_us - int(config.window_s * SECOND_US)
    for stream in streams:
        if not stream.recent:
            continue
        stream.recent = [lost for lost in stream.recent if lost.at_us > since_us]
        is_enough = len(stream.recent) >= config.disconnects and len(stream.probes) >= config.probes
        for members in _bursts(stream, config) if is_enough else ():
            marks = {(lost.nym, lost.at_us) for lost in members}
            if stream.reported.isdisjoint(marks):
                yield _alarm(stream.scope, members, arrival_times, now_us, replay, config)
            stream.reported |= marks


def _bursts(stream: _Stream, config: DiscoConfig) -> Iterator[Sequence[VantageLoss]]:
    """Yield the disconnects of each burst at the level or above."""
    times = _spread_seconds([lost.at_us for lost in stream.recent])
    gaps = [after - before for before, after in pairwise(times)]
    span_s = config.usual_days * DAY_US / SECOND_US
    probes = len(stream.probes)
    automaton = Automaton(
        rate=probes / span_s,
        climb=config.gamma * math.log(probes),
        s=config.s,
        states=state_count(span_s, min(gaps), config.s),
    )
    for burst in bursts_in(cheapest_path(gaps, automaton), config.level):
        yield stream.recent[burst.first : burst.last + 1]


def _spread_seconds(timestamps_us: Sequence[int]) -> list[float]:
    """Round times to whole seconds; spread k equal times 1/k s apart."""
    seconds = [timestamp_us // SECOND_US for timestamp_us in timestamps_us]
    totals = Counter(seconds)
    spread_counts = Counter[int]()
    spread: list[float] = []
    for second in seconds:
        spread.append(second + spread_counts[second] / totals[second])
        spread_counts[second] += 1
    return spread


def _alarm(
    scope: Scope,
    members: Sequence[VantageLoss],
    arrival_times: Mapping[str, Sequence[int]],
    now_us: int,
    replay: Replay,
    config: DiscoConfig,
) -> Alarm:
    """Build an alarm, which ends at the fetch that shows half of the probes back."""
    returns = sorted(
        return_us
        for lost in members
        if (return_us := next((at for at in arrival_times[lost.nym] if at > lost.at_us), None))
        is not None
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
