"""Measure how much the other services of a country fail.

Theory of operation. Congestion, or a failing resolver, fails tests of all services alike, each by
chance. A block fails one service, and leaves the rest as it was, at the same vantages in the same
minutes. So a cell's failures of one service are evidence only as far as they exceed those of the
median other service there. A service whose tests fail from some moment on, or always, is left out
of that: it may be blocked itself, and a state may block most of what is tested. A vantage whose
tests of a service all fail is left out too, as is a test with an answer in the service's place: a
congested line does not fail each time, and makes up no answer.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median_low
from typing import NamedTuple

from heliograph_collector.detect.blocking.flapping import FlappingVantages
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    ServiceVote,
    VantageLocation,
    VoteValue,
)
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_MIN_TESTS = 3  # of a service in a cell
_MIN_VOTES = 8  # of all other services in a cell
_ALWAYS = 0.85  # failing share of what is blocked
_WORKS = 0.04  # failing rate before a block, as the prior has it
_FAILS = 0.9  # … and during it, as `Thresholds.p_bad`
_MIDDLE = 0.5  # rank of the service that others are compared with …
_LEAST = 0.25  # … and of one than which hardly any fails less
# What a full line or a tired resolver does not do: an answer that is not the service's.
ANSWERED = frozenset(
    {
        "block_address",
        "block_page",
        "bogon",
        "certificate",
        "certificate_substitution",
        "hijack",
        "injected",
        "no_answer",
        "nxdomain",
        "tls_interception",
    }
)
TestsByPlace = Mapping[VantageLocation, Sequence[tuple[int, bool]]]  # (time, whether it failed)


class FailedTests(NamedTuple):
    """The tests of a service in a cell."""

    total: int
    rate: float  # of failures since the likeliest change; 0.0 for fewer than `_MIN_TESTS`


@dataclass(frozen=True, slots=True)
class CountryTests:
    """The fresh votes of one country on all services, in one bin."""

    votes_by_service: Mapping[str, Sequence[ServiceVote]]
    flapping_by_service: Mapping[str, FlappingVantages]
    now_us: int
    limits: Thresholds
    is_of_a_day: bool = False  # tests of a day, which show little about the present bin
    _failing: set[str] = field(default_factory=set)
    _shares: dict[Scope, dict[str, float]] = field(default_factory=dict)
    _places: dict[str, TestsByPlace] = field(default_factory=dict)
    _locations: set[VantageLocation] = field(default_factory=set)
    _cells: dict[tuple[Scope, Scope | None], dict[str, FailedTests]] = field(default_factory=dict)

    def list_failing(self) -> AbstractSet[str]:
        """List the services of which a test failed."""
        if not self._failing:
            self._failing.update(
                service
                for service, votes in self.votes_by_service.items()
                if any(vote.standing in FAILING_VALUES for vote in votes)
            )
        return self._failing

    def count_tests(self, scope: Scope, without: Scope | None = None) -> Mapping[str, FailedTests]:
        """Return by service how many tests there are in a cell, and their failing rate."""
        tests = self._cells.get((scope, without))
        if tests is None:
            inside = self._list_inside(scope, without)
            tests = self._cells[scope, without] = {
                service: self._count_failed(service, inside) for service in self.votes_by_service
            }
        return tests

    def flapping_shares(self, scope: Scope) -> Mapping[str, float]:
        """Return by service which share of the latest tests failed by chance."""
        if scope in self._shares:
            return self._shares[scope]
        shares = self._shares[scope] = {}
        locations = self._list_inside(scope, None)
        for service, votes in self.votes_by_service.items():
            inside = [o for o in votes if o.witness.place in locations and self._counts(o)]
            flapping = self.flapping_by_service.get(service)
            if len(inside) >= _MIN_TESTS and flapping is not None:
                shares[service] = flapping.mean_share(inside)
        return shares

    def _list_inside(self, scope: Scope, without: Scope | None) -> AbstractSet[VantageLocation]:
        """List the locations of all votes that are in a cell, and not in another."""
        if not self._locations:
            for votes in self.votes_by_service.values():
                self._locations.update(vote.witness.place for vote in votes)
        return {
            location
            for location in self._locations
            if scope.includes(location) and (without is None or not without.includes(location))
        }

    def _count_failed(self, service: str, locations: AbstractSet[VantageLocation]) -> FailedTests:
        if service not in self._places:
            self._places[service] = self._group_by_place(self.votes_by_service[service])
        inside = [
            test
            for place, tests in self._places[service].items()
            if place in locations
            for test in tests
        ]
        if any(has_failed for _, has_failed in inside):
            inside.sort()  # without a failure the order does not matter
        failed = [has_failed for _, has_failed in inside]
        return FailedTests(len(failed), _find_rate(failed) if len(failed) >= _MIN_TESTS else 0.0)

    def _group_by_place(self, votes: Sequence[ServiceVote]) -> TestsByPlace:
        tests: defaultdict[VantageLocation, list[tuple[int, bool]]] = defaultdict(list)
        for vote in votes:
            if self._counts(vote):
                tests[vote.witness.place].append((vote.at_us, vote.standing in FAILING_VALUES))
        return tests

    def _counts(self, vote: ServiceVote) -> bool:
        if vote.standing is VoteValue.DOWN or vote.method in ANSWERED:
            return False
        flapping = self.flapping_by_service.get(vote.service)
        if flapping is not None and flapping.always_fails(vote.witness.nym):
            return False
        return is_established(vote.witness, self.now_us, self.limits)


@dataclass(frozen=True, slots=True)
class OtherServices:
    """Failing rates of a country's services other than the judged one."""

    service: str
    tests: CountryTests

    def failing_rate(self, scope: Scope) -> float:
        """Return the failing rate of the median other service, in a cell or around it.

        A small cell has few tests, so that what fails in the rest of its network, region or kind of
        access counts as well. Where a block is of this cell alone, the rest works.
        """
        return self._rate_around(scope, _MIDDLE)

    def usual_rate(self, scope: Scope) -> float:
        """Return that rate, or the one of a cell's latest tests, which swings less.

        Where few vantages are, the median service fails none of the few fresh tests now and then.
        """
        if not self._do_many_fail():
            return 0.0
        return max(self.failing_rate(scope), self.flapping_share(scope))

    def clearing_rate(self, scope: Scope, *, has_stayed: bool) -> float:
        """Return the failing rate at which a block is over; 0.0 for tests of a day.

        Args:
            scope: The cell.
            has_stayed: As much fails there as was told of the block, so that nearly all other
                services must fail as well.
        """
        rank = _LEAST if has_stayed else _MIDDLE
        return 0.0 if self.tests.is_of_a_day else self._rate_around(scope, rank)

    def _rate_around(self, scope: Scope, rank: float) -> float:
        if not self._do_many_fail():
            return 0.0  # as on nearly all calm days
        around = [self._find_typical_rate(wider, scope, rank) for wider in _list_wider(scope)]
        return max([self._find_typical_rate(scope, None, rank), *around])

    def _do_many_fail(self) -> bool:
        failing = self.tests.list_failing() - {self.service}
        return 2 * len(failing) >= len(self.tests.votes_by_service) - 1

    def _find_typical_rate(self, scope: Scope, without: Scope | None, rank: float) -> float:
        """Return the rate of the other service of this rank, in ascending order."""
        tests = self.tests.count_tests(scope, without)
        others = [own for service, own in tests.items() if service != self.service]
        if sum(own.total for own in others) < _MIN_VOTES:
            return 0.0
        rates = [own.rate for own in others if own.total >= _MIN_TESTS]
        chance = sorted(rate for rate in rates if rate < _ALWAYS)
        return chance[int(rank * (len(chance) - 1))] if chance else 0.0

    def flapping_share(self, scope: Scope) -> float:
        """Return the share of recent tests that the median other service fails by chance."""
        shares = self.tests.flapping_shares(scope)
        others = [share for service, share in shares.items() if service != self.service]
        return median_low(others) if others else 0.0


def group_tests(
    votes_by_service: Mapping[str, Mapping[str, Sequence[ServiceVote]]],
    flapping: Mapping[str, Mapping[str, FlappingVantages]],
    now_us: int,
    limits: Thresholds,
    context: Mapping[str, Mapping[str, Sequence[ServiceVote]]],
) -> dict[str, CountryTests]:
    """Group the fresh votes of each service and country by country.

    Args:
        votes_by_service: The votes by service and country.
        flapping: The flapping vantages by country and service, of every country.
        now_us: The end of the bin.
        limits: The thresholds.
        context: Votes on services that are not judged, by country and service.
    """
    by_country: defaultdict[str, dict[str, Sequence[ServiceVote]]] = defaultdict(dict)
    for service, own_votes in votes_by_service.items():
        for country, votes in own_votes.items():
            by_country[country][service] = votes
    return {
        country: CountryTests(
            {**context.get(country, {}), **by_country[country]},
            by_service,
            now_us,
            limits,
            is_of_a_day=country in context,
        )
        for country, by_service in flapping.items()
    }


def _list_wider(scope: Scope) -> list[Scope]:
    """List the cells that name one dimension less."""
    wider = (scope._replace(region=""), scope._replace(asn=0), scope._replace(access=""))
    return [cell for cell in wider if cell != scope]


def _find_rate(failed: Sequence[bool]) -> float:
    """Return the failing share of a service's tests since the likeliest change.

    One moment between works and fails is compared with failures by chance; all are as likely.
    """
    hits = sum(failed)
    share = hits / len(failed)
    if share in (0.0, 1.0):
        return share
    chance = hits * math.log(share) + (len(failed) - hits) * math.log(1 - share)
    before = sum(math.log(_WORKS if hit else 1 - _WORKS) for hit in failed)
    gains = accumulate(map(weigh_test, reversed(failed)))
    most, count = max((nats, count) for count, nats in enumerate(gains, 1))
    if before + most - math.log(len(failed)) <= chance:
        return share
    return sum(failed[-count:]) / count


def weigh_test(has_failed: bool) -> float:
    """Return the evidence of one test for a block, in nats."""
    return math.log(_FAILS / _WORKS) if has_failed else math.log((1 - _FAILS) / (1 - _WORKS))
