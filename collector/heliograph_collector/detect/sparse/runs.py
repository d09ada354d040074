"""Detect blocks from runs of failing rows in a network, before five have failed.

Theory of operation. A row's voter never returns, so the rows of the hours before an onset stand
against a block for as long as they count. A run begins with a failing row, and each row that
follows adds its evidence in nats (CUSUM): of a block against the usual failures of the service in
this network. Further failures count against how often another one followed in the last month, one
of six before anything is known: a host with a bad line fails again, and no row names its host. A
run ends where its sum is used up, or after half a day without a failing row; where rows are few,
after the time in which four come, two days at most.

It shows a block where all of these hold:

- The odds are a thousand to one, shared among all services and networks that have a past.
- At least three voters failed, and two more than in any run of the last month: what failed in a
  row before, such as the rows of one host with a bad line, will do so again.
- They lie two hours apart, what is over sooner is a fault of an hour, and six at most; and in the
  six hours before at least three rows worked: the network is tested by more than one host. Or they
  are five, an hour apart.
- They are no chance by the rows of the month (`past_rows.py`), each of which may begin a run:
  where six of a hundred of many rows fail, five of six do so in some hours of some service.
- At most a fifth of the rows of other services here, and of this one in other countries, fails
  meanwhile: an evening on which half of all fails by chance has such runs. Services of which nearly
  all rows fail may be blocked too, and do not count where others work.

The rows of all networks of a country have runs too; these are in two of its networks at least.

Uganda, January 2026, rows of one network and one page: the third row fails after 3.3 h, the fifth
after 6.6 h.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.blocking.evidence import dominant_cause
from heliograph_collector.detect.sparse.other_rows import Cell, OtherRows
from heliograph_collector.detect.sparse.past_rows import PastRows, is_no_chance, shows_service
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentState,
    hint_on_the_hour,
    incident_id,
)
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_NEEDED_NATS = math.log(1_000)
_FOLLOWED = (1.0, 6.0)  # failures that were followed by another, of how many: the prior
_LEAST_VOTERS = 3
_MANY_VOTERS = 5  # that need not lie in a few hours …
_MANY_SPAN_US = HOUR_US  # … nor two hours apart
_MANY_CHANCE = 1e-4  # by the past, shared among all services and networks
_QUICK_CHANCE = 1e-3  # the same of runs of a few hours, where …
_QUICK_ROWS = 100  # … no more rows than these came in the month: each may begin such a run
_LEAST_PAST = 60  # rows of the month before, without which nothing is usual …
_LEAST_PAST_US = 14 * DAY_US  # … and the time over which they lie
_SPAN_US = 2 * HOUR_US
_RECENT_US = 6 * HOUR_US
_LEAST_GOOD = 3  # rows in that time before the run
_GAP_US = 12 * HOUR_US  # without a failing row: what follows is another run …
_GAP_ROWS = 4  # … unless fewer rows than these come in that time …
_MAX_GAP_US = 2 * DAY_US  # … up to this
_PAST_US = 30 * DAY_US
_TICK_US = HOUR_US // 4  # a row is judged at the end of its quarter of an hour
_JOIN_US = DAY_US  # a later block of the same cell by hours is the same block
_CONFIDENCE = 0.4  # less than with five voters


@dataclass(frozen=True, slots=True)
class FailingRun:
    """A run that shows a block, with the evidence at that time."""

    scope: Scope
    failures: tuple[ServiceVote, ...]
    last_good_us: int
    confirmed_us: int
    ended_us: int | None  # the row by which it was over

    def to_incident(self) -> Incident:
        first = self.failures[0]
        kind, layer, method = dominant_cause(self.failures)
        started = Bracket(self.last_good_us or first.at_us, first.at_us)
        voters = [vote.witness.nym for vote in self.failures]
        return Incident(
            id=incident_id("reach", first.service, self.scope, started, voters),
            kind=kind,
            state=IncidentState.CONFIRMED if self.ended_us is None else IncidentState.CLOSED,
            parts=(AffectedCell(self.scope, float(len(voters)), 1.0, 1),),
            started=started,
            suspected_us=self.confirmed_us,
            confidence=_CONFIDENCE,
            confirmed_us=self.confirmed_us,
            ended=None
            if self.ended_us is None
            else Bracket(self.failures[-1].at_us, self.ended_us),
            closed_us=self.ended_us,
            service=first.service,
            layer=layer,
            method=method,
            hints=hint_on_the_hour(started),
        )


def find_runs(votes: Iterable[ServiceVote]) -> dict[str, list[FailingRun]]:
    """Find the runs of each service that show a block.

    Args:
        votes: The votes on all services, which compare with each other.
    """
    judged = sorted(filter(shows_service, votes), key=attrgetter("at_us", "witness.nym"))
    cells: defaultdict[Cell, list[ServiceVote]] = defaultdict(list)
    for vote in judged:
        cells[_cell(vote)].append(vote)
    cells |= _join_networks(cells)
    tested = {cell: own for cell, own in cells.items() if len(own) > _LEAST_PAST}
    needed = _NEEDED_NATS + math.log(max(1, len(tested)))
    runs: defaultdict[str, list[FailingRun]] = defaultdict(list)
    for cell, own in tested.items():
        runs[cell[0]] += _CellRuns(cell, needed, OtherRows(cell, judged), PastRows(own)).list_runs()
    return runs


def _join_networks(cells: Mapping[Cell, Sequence[ServiceVote]]) -> dict[Cell, list[ServiceVote]]:
    """Return the rows of all networks of a country, where there are several."""
    joined: defaultdict[Cell, list[ServiceVote]] = defaultdict(list)
    for (service, country, asn), own in cells.items():
        if asn:
            joined[service, country, 0] += own
    return {
        cell: sorted(votes, key=attrgetter("at_us", "witness.nym"))
        for cell, votes in joined.items()
        if cell not in cells and len({_cell(vote) for vote in votes}) > 1
    }


def add_runs(incidents: Iterable[Incident], runs: Iterable[FailingRun]) -> list[Incident]:
    """Add a service's runs to its incidents; merge those of the same block."""
    merged = list(incidents)
    for run in runs:
        same = next((i for i, other in enumerate(merged) if _is_same(run, other)), None)
        if same is None:
            merged.append(run.to_incident())
        else:
            merged[same] = _confirm_earlier(merged[same], run)
    return merged


def _is_same(run: FailingRun, incident: Incident) -> bool:
    scope = incident.scope
    closed_us = incident.closed_us or run.confirmed_us
    return (
        (scope.is_within(run.scope) or run.scope.is_within(scope))
        and incident.suspected_us <= run.confirmed_us + _JOIN_US
        and closed_us >= run.confirmed_us
    )


def _confirm_earlier(incident: Incident, run: FailingRun) -> Incident:
    """Return the incident as confirmed by the run, if the run was earlier."""
    if incident.confirmed_us is not None and incident.confirmed_us <= run.confirmed_us:
        return incident
    own = run.to_incident()
    suspected_us = min(incident.suspected_us, run.confirmed_us)
    is_open = incident.state is IncidentState.SUSPECTED
    if incident.confirmed_us is None and not is_open:
        return replace(own, id=incident.id, suspected_us=suspected_us)
    started = incident.started if incident.started.latest_us <= run.confirmed_us else own.started
    return replace(
        incident,
        # The hours never confirmed it, and it lasts by them.
        state=IncidentState.CONFIRMED if is_open else incident.state,
        confidence=own.confidence if is_open else incident.confidence,
        started=started,
        suspected_us=suspected_us,
        confirmed_us=run.confirmed_us,
    )


@dataclass(slots=True)
class _CellRuns:
    """The rows of one service in one network, in order of time."""

    cell: Cell
    needed: float
    context: OtherRows
    past: PastRows
    lengths: deque[tuple[int, int]] = field(default_factory=deque)  # end and voters of past runs
    follows: deque[tuple[int, bool]] = field(default_factory=deque)  # whether it failed after one
    failures: list[ServiceVote] = field(default_factory=list)  # of the run, one of each voter
    voters: set[str] = field(default_factory=set)  # of these failures
    last: ServiceVote | None = None
    nats: float = 0.0
    good_us: int = 0  # the last row that worked
    before_us: int = 0  # … before the run
    confirmed_us: int | None = None
    confirming_failures: tuple[ServiceVote, ...] = ()

    def list_runs(self) -> Iterator[FailingRun]:
        for vote in self.past.votes:
            if self.failures and vote.at_us - self.failures[-1].at_us > self._find_gap(vote.at_us):
                yield from self._end_run(vote.at_us)
            self._record_following(vote)
            self._add(vote)
            if self.failures and self.nats <= 0.0:
                yield from self._end_run(vote.at_us)
            elif self.confirmed_us is None and self._shows_block(vote.at_us):
                is_count = not vote.witness.place.asn  # counts are of whole hours
                tick_us = HOUR_US if is_count else _TICK_US
                self.confirmed_us = (vote.at_us // tick_us + 1) * tick_us
                self.confirming_failures = tuple(self.failures)
            self.last = vote
        yield from self._end_run(None)

    def _add(self, vote: ServiceVote) -> None:
        """Add the evidence of a row; of a voter only its first failure counts."""
        rate = self._usual_rate(vote.at_us)
        if vote.standing is VoteValue.GOOD:
            self.good_us = vote.at_us
            step = math.log((1 - THRESHOLDS.p_bad) / (1 - rate))
            self.nats = max(0.0, self.nats + step)
        elif vote.witness.nym not in self.voters:
            if not self.failures:
                self.before_us = self.good_us
            else:
                rate = max(rate, self._following_rate(vote.at_us))
            self.failures.append(vote)
            self.voters.add(vote.witness.nym)
            step = math.log(THRESHOLDS.p_bad / rate)
            self.nats = min(self.needed + THRESHOLDS.clear_nats, self.nats + step)

    def _find_gap(self, now_us: int) -> int:
        """Return the longest time without a failing row within a run, in µs."""
        rows = self.past.count_between(now_us - _PAST_US, now_us).votes
        return int(min(max(_GAP_US, _GAP_ROWS * _PAST_US / max(1.0, rows)), _MAX_GAP_US))

    def _usual_rate(self, now_us: int) -> float:
        """Return the rate at which the service failed up to yesterday, under the prior."""
        count = self.past.count_between(now_us - _PAST_US, now_us - DAY_US)
        bad = THRESHOLDS.prior_bad
        rate = (bad + count.hits) / (bad + THRESHOLDS.prior_good + count.votes)
        return min(rate, 0.5 * THRESHOLDS.p_bad)

    def _following_rate(self, now_us: int) -> float:
        """Return the rate at which another voter's failure followed one, before this run."""
        while self.follows and self.follows[0][0] < now_us - _PAST_US:
            self.follows.popleft()
        since_us = self.failures[0].at_us
        before = [has_failed for at_us, has_failed in self.follows if at_us < since_us]
        bad, total = _FOLLOWED
        return min((bad + sum(before)) / (total + len(before)), 0.5 * THRESHOLDS.p_bad)

    def _record_following(self, vote: ServiceVote) -> None:
        last = self.last
        if last is None or last.standing is VoteValue.GOOD or last.witness == vote.witness:
            return
        if vote.at_us - last.at_us > _GAP_US:
            return
        self.follows.append((vote.at_us, vote.standing is not VoteValue.GOOD))

    def _shows_block(self, now_us: int) -> bool:
        since_us = self.failures[0].at_us if self.failures else now_us
        while self.lengths and self.lengths[0][0] < now_us - _PAST_US:
            self.lengths.popleft()
        longest = max((voters for _, voters in self.lengths), default=0)
        count = len(self.failures)
        is_likely = self.nats >= self.needed and count >= max(_LEAST_VOTERS, longest + 2)
        if not is_likely or not self._has_its_networks():
            return False
        is_enough = self._is_quick(since_us, now_us) or self._is_many(since_us, now_us)
        return is_enough and self._is_known(since_us) and self.context.works(since_us, now_us)

    def _is_quick(self, since_us: int, now_us: int) -> bool:
        """Return whether the run is a few hours long, well tested, and not by chance."""
        is_in_hours = _SPAN_US <= self.failures[-1].at_us - since_us <= _RECENT_US
        if not is_in_hours or not self._is_tested_lately(since_us):
            return False
        rows = self.past.count_between(since_us - _PAST_US, since_us).votes
        return self._is_no_chance(since_us, now_us, _QUICK_CHANCE * min(1.0, _QUICK_ROWS / rows))

    def _is_many(self, since_us: int, now_us: int) -> bool:
        """Return whether so many failed that no hours count, and not by chance."""
        is_lasting = now_us - since_us >= _MANY_SPAN_US
        is_lasting &= len(self.failures) >= _MANY_VOTERS
        return is_lasting and self._is_no_chance(since_us, now_us, _MANY_CHANCE)

    def _is_no_chance(self, since_us: int, now_us: int, chance: float) -> bool:
        """Return whether the rows of the month before do not explain so many failures."""
        run = self.past.count_between(since_us, now_us + 1)
        past = self.past.count_between(since_us - _PAST_US, since_us)
        return is_no_chance(past, run, chance * math.exp(_NEEDED_NATS - self.needed))

    def _has_its_networks(self) -> bool:
        """Return whether a country's run is in two of its networks, if rows name them."""
        networks = {vote.witness.place.asn for vote in self.failures}
        return bool(self.cell[2]) or networks == {0} or len(networks) > 1

    def _is_known(self, since_us: int) -> bool:
        """Return whether there were enough rows before."""
        before = self.past.count_between(since_us - _PAST_US, since_us)
        early = self.past.count_between(since_us - _PAST_US, since_us - _LEAST_PAST_US)
        return before.votes >= _LEAST_PAST and early.votes > 0

    def _is_tested_lately(self, since_us: int) -> bool:
        """Return whether enough rows worked in the hours before."""
        lately = self.past.count_between(since_us - _RECENT_US, since_us)
        return lately.votes - lately.hits >= _LEAST_GOOD

    def _end_run(self, at_us: int | None) -> Iterator[FailingRun]:
        if self.confirmed_us is not None:
            _, country, asn = self.cell
            yield FailingRun(
                Scope(country, asn=asn),
                self.confirming_failures,
                self.before_us,
                self.confirmed_us,
                at_us,
            )
        elif self.failures and at_us is not None:
            self.lengths.append((at_us, len(self.failures)))
        self.failures = []
        self.voters = set()
        self.nats = 0.0
        self.confirmed_us = None


def _cell(vote: ServiceVote) -> Cell:
    place = vote.witness.place
    return vote.service, place.country, place.asn
