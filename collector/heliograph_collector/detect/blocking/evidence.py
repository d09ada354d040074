"""Sum log-likelihood ratios of a block for each cell, and name its likely cause."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heliograph_collector.detect.stats.alarm_budget import alarm_threshold
from heliograph_collector.detect.stats.tails import log_beta_binomial, upper_tail
from heliograph_collector.detect.stats.voting import VoteCount, established_votes, sum_votes
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import AffectedCell, Scope, scopes_of
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    ServiceVote,
    VantageRef,
    VoteValue,
)
from heliograph_collector.model.thresholds import Thresholds

_FEW_LINES_SHARE = 0.9  # of the votes, where a NAT's make them enough; assumed
_MOST_NATS = 60.0  # of a sum, so that the evidence of a long block can fall again; assumed
_RECENT_TESTS = 40.0  # after so many more, an earlier one counts half; assumed
_DOUBT_NATS = 3.0  # of a sum, from which other services are asked: chance seldom has more; assumed
_SPREAD = 0.4  # of the failing rates of services, in deviations of one test; assumed
_NOISE = 0.05  # failing rate of other services, which a calm network has less than; assumed
_BLOCK_CHANCE = 0.01  # that a partial makes so many failures of its fresh votes; assumed
_KINDS = {
    VoteValue.BLOCKED: IncidentKind.BLOCKING,
    VoteValue.THROTTLED: IncidentKind.THROTTLING,
    VoteValue.PARTIAL: IncidentKind.PARTIAL,
    VoteValue.ISOLATED: IncidentKind.ISOLATION,
}


class UsualFailures(Protocol):
    """Usual failing rates of all services in a country. Implemented by OtherServices."""

    def usual_rate(self, scope: Scope) -> float:
        """Return the failing rate of other services in a cell."""
        ...


def log_likelihood_ratio(votes: VoteCount, rate: float, limits: Thresholds) -> float:
    """Return the evidence for a block in one bin, in nats.

    It is ln BB(k|n, p1) - ln BB(k|n, p0), with p1 = `p_bad` and p0 = `rate`.
    """
    blocked = log_beta_binomial(votes.hits, votes.votes, limits.p_bad, limits.spread)
    return blocked - log_beta_binomial(
        votes.hits, votes.votes, min(rate, limits.p_bad), limits.spread
    )


def _bound_usual(usual: UsualFailures, scope: Scope, limits: Thresholds) -> float:
    """Return an upper bound of the failing rate that other services explain.

    The rates of other services differ, and are measured from a sample.
    """
    rate = usual.usual_rate(scope)
    if rate < _NOISE:
        return rate
    bound = rate + _SPREAD * math.sqrt(rate * (1 - rate))
    return min(bound, (rate + limits.p_bad) / 2)


def list_hits(votes: Iterable[ServiceVote]) -> list[tuple[VantageRef, bool]]:
    """List the voters, and whether the service fails for each."""
    return [(o.witness, o.standing in FAILING_VALUES) for o in votes]


def has_lines(cell: AffectedCell, limits: Thresholds) -> bool:
    """Return whether enough prefixes fail to confirm a block.

    Where a carrier's NAT makes the votes enough, three prefixes must fail, and nearly all: half of
    the phones behind it may have no credit.
    """
    if cell.lines >= min(cell.votes, limits.votes):
        return True
    return cell.lines > limits.lines and cell.share >= _FEW_LINES_SHARE


def compute_working_nats(votes: VoteCount, limits: Thresholds) -> float:
    """Return the evidence that a service works, in nats.

    It fails one time in 25 (the prior) then, against one that fails every other time.
    """
    rate = limits.prior_bad / (limits.prior_bad + limits.prior_good)
    successes = (votes.votes - votes.hits) * math.log((1 - rate) / 0.5)
    return successes + votes.hits * math.log(rate / 0.5)


def count_ending_votes(
    hits: Iterable[tuple[VantageRef, bool]], now_us: int, limits: Thresholds
) -> VoteCount:
    """Count votes, by the established vantages if they suffice to end an episode."""
    return sum_votes(established_votes(hits, now_us, limits, limits.witnesses)[0])


def count_failures(votes: Iterable[ServiceVote], now_us: int, limits: Thresholds) -> VoteCount:
    """Count failing votes so, without those of services that are down."""
    tested = (o for o in votes if o.standing is not VoteValue.DOWN)
    hits = ((o.witness, o.standing in FAILING_VALUES) for o in tested)
    return count_ending_votes(hits, now_us, limits)


@dataclass(slots=True)
class CellEvidence:
    """Page's CUSUM of each cell in nats, never below 0, and the tests since it was 0.

    Where tests are rare the fresh votes are a sample of the vantages, and a third that always fails
    is most of it by chance, again and again. The tests since then are no such sample.
    """

    sums: dict[Scope, float] = field(default_factory=dict)
    tested: dict[Scope, VoteCount] = field(default_factory=dict)

    def add_bin(
        self,
        cells: Mapping[Scope, VoteCount],
        rate: float,
        usual: UsualFailures,
        limits: Thresholds,
    ) -> None:
        """Add the votes of a bin; without votes a sum stays.

        Args:
            cells: The votes by cell.
            rate: The failing rate of the service in other countries.
            usual: That of other services here. What fails no more than these is no evidence.
            limits: The thresholds.
        """
        for scope, vote_count in cells.items():
            before = self.sums.setdefault(scope, 0.0)
            if before == 0.0:
                self.tested.pop(scope, None)
            if before >= _MOST_NATS and vote_count.hits >= vote_count.votes:
                # Where nothing works no rate explains more than p_bad, so that a sum cannot fall.
                # A block is hours of such bins, in which asking other services took longest.
                self._count_tests(scope, vote_count)
                continue
            # A sum of 0 cannot fall, and a bin without a hit cannot raise it.
            if before > 0.0 or vote_count.hits:
                step = log_likelihood_ratio(vote_count, rate, limits)
                if (
                    before + step > _DOUBT_NATS
                    and (other := _bound_usual(usual, scope, limits)) > rate
                ):
                    step = min(step, log_likelihood_ratio(vote_count, other, limits))
                self.sums[scope] = min(_MOST_NATS, max(0.0, before + step))
                self._count_tests(scope, vote_count)

    def is_calm(self, votes: Sequence[ServiceVote]) -> bool:
        """Return whether no vote of a bin fails and all sums are 0, as in most bins."""
        return not any(self.sums.values()) and not any(o.standing in FAILING_VALUES for o in votes)

    def add_calm_bin(self, votes: Sequence[ServiceVote]) -> None:
        """Add the votes of a calm bin: no sum changes, so that no cell needs a count."""
        locations = dict.fromkeys(o.witness.place for o in votes)
        tested = [scope for location in locations for scope in scopes_of(location)]
        self.sums |= dict.fromkeys(tested, 0.0)
        for scope in self.tested.keys() & tested:
            del self.tested[scope]

    def _count_tests(self, scope: Scope, vote_count: VoteCount) -> None:
        tested = self.tested.setdefault(scope, VoteCount())
        left = 0.5 ** (vote_count.votes / _RECENT_TESTS)
        tested.votes = tested.votes * left + vote_count.votes
        tested.hits = tested.hits * left + vote_count.hits

    def count_tests(self, cells: Mapping[Scope, VoteCount]) -> None:
        """Count tests that carry little evidence, so that the failing share covers all."""
        for scope, vote_count in cells.items():
            if self.sums.get(scope, 0.0) > 0.0:
                self._count_tests(scope, vote_count)

    def add_repeats(
        self, cells: Mapping[Scope, VoteCount], usual: UsualFailures, limits: Thresholds
    ) -> None:
        """Add the evidence of repeated tests that failed too: the first was no accident.

        A repeat counts less than another test: `repeat_share` of what fails at a vantage by itself
        fails again, and more where more fails of any service.
        """
        for scope, vote_count in cells.items():
            if 0.0 < self.sums.get(scope, 0.0) < _MOST_NATS and vote_count.hits:
                repeat_rate = max(limits.repeat_share, _bound_usual(usual, scope, limits))
                nats = math.log(limits.p_bad / min(repeat_rate, limits.p_bad))
                self.sums[scope] = min(_MOST_NATS, self.sums[scope] + nats * vote_count.hits)

    def count_needed_nats(self, limits: Thresholds) -> float:
        """Return the evidence that an alarm of a cell needs."""
        return alarm_threshold(len(self.sums) - 1, limits.reach_alarms_per_year, limits.bin_s)

    def find_alarmed(self, limits: Thresholds) -> frozenset[Scope]:
        """Return cells whose sums exceed their threshold and in which most tests failed.

        The country has one budget of false alarms, as for silences, and all other cells share
        another: a country of few vantages does not pay for its many cells.
        """
        national = alarm_threshold(1, limits.reach_alarms_per_year, limits.bin_s)
        other = self.count_needed_nats(limits)
        return frozenset(
            scope
            for scope, total in self.sums.items()
            if total >= national  # the lowest: it pays for one cell
            and (scope.is_national or total >= other)
            and self.tested[scope].share >= limits.confirm_share
        )

    def forget(self, has_ended: Callable[[Scope], bool]) -> None:
        """Forget the evidence of these cells."""
        self.sums.update(dict.fromkeys(filter(has_ended, self.sums), 0.0))

    def clear(self) -> None:
        self.sums.clear()
        self.tested.clear()


def exceeds_partial(cells: Sequence[AffectedCell], count: VoteCount, limits: Thresholds) -> bool:
    """Return whether more votes fail than a partial of these cells makes by chance.

    The fresh votes of some minutes are a sample: five of eight fail where five of fourteen do. One
    of which most votes fail is of functions that are blocked, and not of a share of people.
    """
    share = max(cell.share for cell in cells)
    chance = upper_tail([share] * round(count.votes), round(count.hits))
    return share >= limits.confirm_share or chance <= _BLOCK_CHANCE


def dominant_cause(failures: Iterable[ServiceVote]) -> tuple[IncidentKind, str, str]:
    """Return the commonest (kind, layer, method); a tie goes to the worse kind.

    Without any failure it is a block, which claims less than an isolation.
    """
    value_counts = Counter(o.standing for o in failures)
    order = (VoteValue.ISOLATED, VoteValue.BLOCKED, VoteValue.PARTIAL, VoteValue.THROTTLED)
    present = (value for value in order if value_counts[value])
    worst = max(present, key=value_counts.__getitem__, default=VoteValue.BLOCKED)
    cause_counts = Counter((o.layer, o.method) for o in failures if o.standing is worst)
    layer, method = max(sorted(cause_counts), key=cause_counts.__getitem__, default=("", ""))
    return _KINDS[worst], layer, method


def hint_functions(kind: IncidentKind, failures: Sequence[ServiceVote]) -> tuple[str, ...]:
    """Return a hint for each function that most votes of a partial blocking name."""
    if kind is not IncidentKind.PARTIAL:
        return ()
    partial_votes = [o for o in failures if o.standing is VoteValue.PARTIAL]
    names = Counter(name for o in partial_votes for name in o.function.split(",") if name)
    return tuple(
        f"blocked_{name}" for name in sorted(names) if 2 * names[name] > len(partial_votes)
    )


def has_recovered(tests: Sequence[ServiceVote], now_us: int, limits: Thresholds) -> bool:
    """Return whether the newest tests alone show recovery.

    Their likelihood ratio must reach `clear_nats`: a service that fails one time in 25 against one
    that fails every other time. One failure marks its vantage as failing.
    """
    failing = {o.witness.nym for o in tests if o.standing in FAILING_VALUES}
    hits = ((o.witness, o.witness.nym in failing) for o in tests)
    recent_count = count_ending_votes(hits, now_us, limits)
    return compute_working_nats(recent_count, limits) >= limits.clear_nats
