"""Replay: signals, votes and levels through the detectors that a collector runs.

Time advances as in a collector: minutes close `CLOSE_US` after their end, blocks are checked for
their end in between, and votes that come too late to count reopen their past.

Votes of a service in a country that are too sparse for minutes, such as OONI's, are detected in
bins of an hour (sparse/detector.py): with minutes, hourly runs would never meet.

A block that lasts is detected again from its beginning whenever votes came late, so that hours are
computed again for votes minutes late. The state of a run is stored each quarter of an hour.
The next run of the same window resumes at the last state that has all votes of its time; each vote
that is read later drops the states that lack it. So only the time since the oldest new late vote is
computed again, and only its votes are looked up: they are kept in order of time, since a file is
hundreds of such runs.

What is usual is learned from a series itself, so a drop in which it begins is its habit. That is
not found, but can be said: its first values are far below those of its best day at the same hours.
"""

import heapq
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from statistics import median

import msgspec

from heliograph.timestamps import format_timestamp
from heliograph.units import DAY_US, MINUTE_US, SECOND_US
from heliograph_collector.detect.amendments import apply_amendments, list_failing
from heliograph_collector.detect.blocking.detector import (
    BlockingDetector,
    BlockingDetectorState,
    JudgedCell,
)
from heliograph_collector.detect.engine import CLOSE_US, RECOVERY_CHECK_US, DetectorEngine
from heliograph_collector.detect.late_data import LateVotes, find_amendments
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.detect.level.habit import LEAST_VALUES
from heliograph_collector.detect.silence.detector import CoverageGap
from heliograph_collector.detect.sparse.density import TimedVote, find_group, split_sparse
from heliograph_collector.detect.sparse.detector import detect_sparse
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import DetectorSignal, ServiceVote, sort_signals

LOW_SHARE = 0.5  # of the best day, below which a beginning may be a drop; assumed

_STEP_US = 15 * MINUTE_US  # between two states; most late votes are later by less; assumed

# After the last signal of a file that names no end, so that what is pending is decided; assumed.
_AFTER_US = 1_800 * SECOND_US
_UNNAMED_NETWORKS = 4_250_000_000  # of the numbers for private use (RFC 6996)


@dataclass(frozen=True, slots=True)
class DoubtfulBeginning:
    """A series of which nothing, or not the beginning, can be judged."""

    source: str
    scope: Scope
    since_us: int
    values: int
    share: float  # of its best day, at which it begins

    @property
    def is_short(self) -> bool:
        return self.values <= LEAST_VALUES

    def describe(self) -> str:
        """Describe what cannot be judged, and the remedy."""
        scope = self.scope
        place = (scope.country, scope.region, f"AS{scope.asn}" * bool(scope.asn))
        name = f"{'/'.join(filter(None, place))} ({self.source})"
        if self.is_short:
            return f"{name}: {self.values} values are too few to judge any."
        return (
            f"{name}: begins on {format_timestamp(self.since_us)[:16]} at {self.share:.0%} of its "
            "best day. It may begin within a drop, which would be taken for usual: give a series "
            "that begins two weeks earlier."
        )


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Incidents and coverage gaps that the detectors found; a gap that lasts ends with the replay.

    `late_votes` came too late for the minute of their measurement. `doubtful` are series of levels
    of which nothing, or not the beginning, can be judged.
    """

    incidents: tuple[Incident, ...]
    coverage_gaps: tuple[CoverageGap, ...]
    late_votes: int
    doubtful: tuple[DoubtfulBeginning, ...] = ()


def replay_signals(
    signals: Iterable[DetectorSignal],
    votes: Sequence[TimedVote] = (),
    levels: Sequence[LevelReading] = (),
    end_us: int = 0,
) -> ReplayResult:
    """Run the detectors over signals, in whatever order they are.

    Args:
        end_us: Until when the collector watched; 0: half an hour after the last signal.
    """
    sparse, dense = split_sparse(votes)
    sparse_groups = {find_group(vote) for vote in sparse}
    ordered = sort_signals(signals)
    late_votes = 0
    incidents: list[Incident] = []
    coverage_gaps: tuple[CoverageGap, ...] = ()
    if ordered or dense:
        # A service that fails in countries of few votes too is down, so theirs are compared.
        services = {vote.service for _, vote in dense}
        compared = _name_networks(timed for timed in votes if timed[1].service in services)
        live = _LiveReplay(ordered, sorted(compared, key=_vote_key), end_us)
        incidents += [i for i in live.run() if (i.scope.country, i.service) not in sparse_groups]
        coverage_gaps = live.list_coverage_gaps()
        late_votes = live.late_count
    incidents += detect_sparse(sparse, (vote for _, vote in dense))
    until_us = max((reading.until_us for reading in levels), default=0)
    incidents += _fold_levels(incidents, detect_levels(levels, until_us))
    ordered_incidents = tuple(sorted(incidents, key=_onset_key))
    doubtful = find_doubtful_beginnings(levels)
    return ReplayResult(ordered_incidents, coverage_gaps, late_votes, doubtful)


class _LiveReplay:
    """The engine of a collector, and a runner's clock over it."""

    def __init__(
        self, signals: Sequence[DetectorSignal], votes: Sequence[TimedVote], end_us: int
    ) -> None:
        self._signals = signals
        self._votes = votes
        times_us = [signal.at_us for signal in signals] + [vote.at_us for _, vote in votes]
        last_us = max([*(s.at_us for s in signals), *(at for at, _ in votes)])
        self._until_us = max(last_us, end_us) if end_us else last_us + _AFTER_US
        self.engine = DetectorEngine.create("replay", b"", min(times_us))
        self.late_count = 0
        self._now_us = min(times_us) // RECOVERY_CHECK_US * RECOVERY_CHECK_US
        self._late = LateVotes()
        self._past = PastRuns()
        self._amendments: dict[str, Incident] = {}
        self._read_votes = ReadVotes()

    def run(self) -> list[Incident]:
        timed_signals = ((signal.at_us, signal) for signal in self._signals)
        for at_us, item in heapq.merge(timed_signals, self._votes, key=itemgetter(0)):
            self._advance_to(at_us)
            if isinstance(item, ServiceVote):
                self._add_vote(item, at_us)
            else:
                self.engine.on_signal(item)
        self._advance_to(self._until_us)
        return self._list_incidents()

    def list_coverage_gaps(self) -> tuple[CoverageGap, ...]:
        lasting = [
            CoverageGap(since_us, self._until_us, why, country)
            for since_us, why, country in self.engine.open_coverage_gaps()
            if since_us < self._until_us
        ]
        return (*self.engine.coverage_gaps(), *lasting)

    def _add_vote(self, vote: ServiceVote, now_us: int) -> None:
        self._read_votes.add(vote)
        self._past.note(vote)
        if not self.engine.add_vote(vote):
            self.late_count += 1
            self._late.add(vote, now_us)

    def _advance_to(self, now_us: int) -> None:
        """Advance in steps of a check; where nothing is pending, at once."""
        while self._now_us + RECOVERY_CHECK_US <= now_us:
            if self.engine.blocking.is_idle and not self._late.has_votes:
                whole_us = now_us // RECOVERY_CHECK_US * RECOVERY_CHECK_US
                self._now_us = max(self._now_us + RECOVERY_CHECK_US, whole_us)
            else:
                self._now_us += RECOVERY_CHECK_US
            self.engine.advance_to(self._now_us)
            self.engine.close_bins(self._now_us - CLOSE_US)
            self.engine.check_recovery(self._now_us)
            self.engine.pending_votes.clear()
            self._reopen_past()

    def _reopen_past(self) -> None:
        """Detect the past again for late votes, as the runner does from the store."""
        if not self._late.may_be_due(self._now_us):
            return
        incidents = self._list_incidents()
        window = self._late.pop_due(self._now_us, incidents)
        if window is None:
            return
        closed_us = self.engine.blocking.since_us
        since_us, until_us = window.bounds(closed_us, incidents)
        judged = window.service, window.country
        resumed_us = self._past.find_resumption(since_us, until_us, judged)
        votes = self._read_votes.select(resumed_us, until_us, judged)
        reevaluated = self._past.detect(votes, since_us, until_us, judged)
        self._amendments |= find_amendments(
            incidents,
            reevaluated,
            window,
            since_us,
            until_us,
            is_current=until_us >= closed_us // MINUTE_US * MINUTE_US,
        )

    def _list_incidents(self) -> list[Incident]:
        failing = list_failing(self.engine.blocking, self._amendments)
        return apply_amendments(self.engine.incidents(), self._amendments, failing)


def _name_networks(votes: Iterable[TimedVote]) -> list[TimedVote]:
    """Give votes of an unknown AS the network of their prefix.

    With one unknown network, no country would ever fail in two.
    """
    networks: dict[str, int] = {}
    named: list[TimedVote] = []
    for at_us, vote in votes:
        witness = vote.witness
        if not witness.place.asn:
            asn = networks.setdefault(witness.prefix, _UNNAMED_NETWORKS + len(networks))
            witness = replace(witness, place=witness.place._replace(asn=asn))
            vote = replace(vote, witness=witness)
        named.append((at_us, vote))
    return named


def _fold_levels(incidents: Sequence[Incident], levels: Iterable[Incident]) -> list[Incident]:
    """Return the drops that no silence of vantages already covers."""
    standing = [incident for incident in incidents if incident.state is not IncidentState.WITHDRAWN]
    return [drop for drop in levels if not any(drop.overlaps(other) for other in standing)]


def _vote_key(timed: TimedVote) -> tuple[int, int, str, str]:
    at_us, vote = timed
    return at_us, vote.at_us, vote.witness.nym, vote.source


_time_key = attrgetter("at_us")
_onset_key = attrgetter("started.earliest_us", "id")


class ReadVotes:
    """The votes that have been read, in order of time, by service and country."""

    def __init__(self) -> None:
        self._votes: defaultdict[str, defaultdict[str, list[ServiceVote]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def add(self, vote: ServiceVote) -> None:
        insort(self._votes[vote.service][vote.witness.place.country], vote, key=_time_key)

    def select(self, since_us: int, until_us: int, judged: JudgedCell) -> list[ServiceVote]:
        """Select the votes on a window's service, and of its country on other services."""
        service, country = judged
        selected: list[ServiceVote] = []
        for name, by_country in self._votes.items():
            wanted = by_country if name == service else by_country.keys() & {country}
            for place in wanted:
                votes = by_country[place]
                first = bisect_left(votes, since_us, key=_time_key)
                selected += votes[first : bisect_left(votes, until_us, key=_time_key)]
        return selected


@dataclass(slots=True)
class _PastRun:
    """The states of the last run of one window, in order of time, as which they are added."""

    since_us: int
    states: dict[int, bytes] = field(default_factory=dict)

    def drop_states(self, after_us: int) -> None:
        while self.states and next(reversed(self.states)) > after_us:
            self.states.popitem()


class PastRuns:
    """The last run of each window, by its service and country."""

    def __init__(self) -> None:
        self._runs: dict[JudgedCell, _PastRun] = {}

    def note(self, vote: ServiceVote) -> None:
        """Drop the states that lack a vote which is read only now."""
        for (service, country), run in self._runs.items():
            if vote.service == service or vote.witness.place.country == country:
                run.drop_states(vote.at_us)

    def detect(
        self, votes: Iterable[ServiceVote], since_us: int, until_us: int, judged: JudgedCell
    ) -> tuple[Incident, ...]:
        """Detect blocking in a window like `detect_blocking`, from the last valid state.

        Args:
            votes: The votes of the window, of its service and of its country; those before
                `find_resumption` may be left out.
            since_us: The window.
            until_us: Its end.
            judged: Its service and country.
        """
        run = self._find_run(since_us, until_us, judged)
        detector = _resume(run, judged)
        width_us = detector.width_us
        bins: defaultdict[int, list[ServiceVote]] = defaultdict(list)
        for vote in votes:
            if vote.at_us >= detector.since_us:
                bins[(vote.at_us - since_us) // width_us].append(vote)
        first = (detector.since_us - since_us) // width_us
        for index in range(first, max(0, (until_us - since_us) // width_us)):
            for vote in bins.get(index, ()):
                detector.add_vote(vote)
            end_us = since_us + (index + 1) * width_us
            detector.close_bins(end_us)
            if end_us % _STEP_US == 0:
                run.states[end_us] = msgspec.msgpack.encode(detector.state())
        return detector.incidents()

    def find_resumption(self, since_us: int, until_us: int, judged: JudgedCell) -> int:
        """Return from when `detect` needs the votes of a window."""
        return max(self._find_run(since_us, until_us, judged).states, default=since_us)

    def _find_run(self, since_us: int, until_us: int, judged: JudgedCell) -> _PastRun:
        """Return the last run of a window, without states after its end; a new one if it moved."""
        run = self._runs.get(judged)
        if run is None or run.since_us != since_us:
            run = self._runs[judged] = _PastRun(since_us)
        run.drop_states(until_us)
        return run


def _resume(run: _PastRun, judged: JudgedCell) -> BlockingDetector:
    if not run.states:
        return BlockingDetector(run.since_us, judged=judged)
    state = msgspec.msgpack.decode(run.states[max(run.states)], type=BlockingDetectorState)
    return BlockingDetector.from_state(state, judged)


def find_doubtful_beginnings(readings: Iterable[LevelReading]) -> tuple[DoubtfulBeginning, ...]:
    """Find the series that are too short, or begin low; the order of readings is free."""
    series: defaultdict[tuple[str, Scope], list[LevelReading]] = defaultdict(list)
    for reading in readings:
        series[reading.source, reading.scope].append(reading)
    beginnings = (_build_beginning(*key, own) for key, own in sorted(series.items()))
    return tuple(b for b in beginnings if b.is_short or b.share < LOW_SHARE)


def _build_beginning(source: str, scope: Scope, own: list[LevelReading]) -> DoubtfulBeginning:
    measured = sorted((r.at_us, r.value) for r in own if r.value is not None)
    since_us = min(reading.at_us for reading in own)
    by_day: defaultdict[int, list[float]] = defaultdict(list)
    beginning = measured[:LEAST_VALUES]
    for at_us, value in measured:
        day, clock_us = divmod(at_us - beginning[0][0], DAY_US)
        if clock_us <= beginning[-1][0] - beginning[0][0]:
            by_day[day].append(value)
    best = max((median(values) for values in by_day.values()), default=0.0)
    first = median([value for _, value in beginning]) if beginning else 0.0
    return DoubtfulBeginning(source, scope, since_us, len(measured), first / best if best else 1.0)
