"""Replay: signals, votes and levels through the detectors that a collector runs.

Time advances as in a collector: minutes close `CLOSE_US` after their end, blocks are checked for
their end in between, and votes that come too late to count reopen their past.

Votes of a service in a country that are too sparse for minutes, such as OONI's, are detected in
bins of an hour (sparse_votes.py): with minutes, hourly runs would never meet.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.amendments import apply_amendments, list_failing
from heliograph_collector.detect.engine import CLOSE_US, RECOVERY_CHECK_US, DetectorEngine
from heliograph_collector.detect.late_data import LateVotes, ReopenedWindow, find_amendments
from heliograph_collector.detect.level.beginnings import (
    DoubtfulBeginning,
    find_doubtful_beginnings,
)
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.detect.past_runs import PastRuns
from heliograph_collector.detect.silence.detector import CoverageGap
from heliograph_collector.detect.sparse_votes import count_median, detect_sparse
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.signals import ServiceVote, VantageSignal, sort_signals
from heliograph_collector.model.thresholds import THRESHOLDS

# After the last signal of a file that names no end, so that what is pending is decided; assumed.
_AFTER_US = 1_800 * SECOND_US
_UNNAMED_NETWORKS = 4_250_000_000  # of the numbers for private use (RFC 6996)

TimedVote = tuple[int, ServiceVote]  # with the time at which the collector has judged it


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What the detectors found; `late_votes` came too late for the minute of their measurement.

    `doubtful` are series of levels of which nothing, or not the beginning, can be judged.
    """

    incidents: tuple[Incident, ...]
    coverage_gaps: tuple[CoverageGap, ...]
    late_votes: int
    doubtful: tuple[DoubtfulBeginning, ...] = ()


def replay_signals(
    signals: Iterable[VantageSignal],
    votes: Sequence[TimedVote] = (),
    levels: Sequence[LevelReading] = (),
    end_us: int = 0,
) -> ReplayResult:
    """Run the detectors over signals, in whatever order they are.

    Args:
        end_us: Until when the collector watched; 0: half an hour after the last signal.
    """
    sparse, dense = _split_sparse(votes)
    sparse_groups = {_group_of(vote) for vote in sparse}
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
        coverage_gaps = tuple(live.engine.coverage_gaps())
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
        self, signals: Sequence[VantageSignal], votes: Sequence[TimedVote], end_us: int
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
        self._read_votes: defaultdict[str, list[ServiceVote]] = defaultdict(list)

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

    def _add_vote(self, vote: ServiceVote, now_us: int) -> None:
        self._read_votes[vote.service].append(vote)
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
        if not self._late.has_votes:
            return
        incidents = self._list_incidents()
        window = self._late.pop_due(self._now_us, incidents)
        if window is None:
            return
        closed_us = self.engine.blocking.since_us
        since_us, until_us = window.bounds(closed_us, incidents)
        votes = self._select_votes(window, since_us, until_us)
        judged = window.service, window.country
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

    def _select_votes(
        self, window: ReopenedWindow, since_us: int, until_us: int
    ) -> list[ServiceVote]:
        """Select the votes on a window's service, and of its country on other services."""
        return [
            vote
            for service, votes in self._read_votes.items()
            for vote in votes
            if since_us <= vote.at_us < until_us
            and (service == window.service or vote.witness.place.country == window.country)
        ]


def _split_sparse(votes: Sequence[TimedVote]) -> tuple[list[ServiceVote], list[TimedVote]]:
    """Split off the votes that are too few for minutes, by country and service.

    They are if half of them have fewer than the votes of a confirmation in the minutes before.
    """
    groups: defaultdict[tuple[str, str], list[TimedVote]] = defaultdict(list)
    for timed in votes:
        groups[_group_of(timed[1])].append(timed)
    sparse: list[ServiceVote] = []
    dense: list[TimedVote] = []
    for group in groups.values():
        own = [vote for _, vote in group]
        if count_median(own, int(THRESHOLDS.fresh_s * SECOND_US)) < THRESHOLDS.votes:
            sparse += own
        else:
            dense += group
    return sparse, dense


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


def _group_of(vote: ServiceVote) -> tuple[str, str]:
    return vote.witness.place.country, vote.service


def _fold_levels(incidents: Sequence[Incident], levels: Iterable[Incident]) -> list[Incident]:
    """Return the drops that no silence of vantages tells already."""
    standing = [incident for incident in incidents if incident.state is not IncidentState.WITHDRAWN]
    return [drop for drop in levels if not any(drop.overlaps(other) for other in standing)]


def _vote_key(timed: TimedVote) -> tuple[int, int, str, str]:
    at_us, vote = timed
    return at_us, vote.at_us, vote.witness.nym, vote.source


_onset_key = attrgetter("started.earliest_us", "id")
