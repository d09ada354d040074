"""Editions of agents: whether failures began with another edition of the program.

Theory of operation. A block begins at one moment, for programs of every edition; an edition that
breaks a test begins where and when it is installed. So a failure is in doubt if its vantage reached
the service last by an earlier edition, and failed first by the present one. A failure in doubt
confirms nothing until others decide it: vantages whose failures did not begin so (it is a block if
they fail too) and, if these are too few, other countries with the same edition.

The world may change in place of the edition: a root certificate expires that an old one relies on.
Then the edition fails, and others work, in the same networks and in other countries alike. That
too is in doubt, by an exact test of editions against failures. Only vantages of one network are
compared in it, so that a block of a network whose agents are all of one edition is no split, nor
one of a country where most are (`stats/stratified_test.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.other_countries import OtherCountries
from heliograph_collector.detect.stats.stratified_test import compute_split_chance
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import (
    count_total,
    is_established,
)
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VantageRef, VoteValue
from heliograph_collector.model.thresholds import Thresholds

# Of a split by chance; assumed. Three failing vantages of one edition beside seven working ones of
# others in one network are enough. By chance one block of a hundred is detected later, if it
# reaches a part of a network's vantages, and mostly those of one edition.
_CHANCE = 0.01
_MIN_HITS = 2  # of an edition; assumed
_HOSTING = "hosting"  # often not blocked, so that it contradicts nothing elsewhere
# Assumed, all of them:
_WAIT_US = 1_800 * SECOND_US  # until other countries have the edition too
_BEFORE_US = 900 * SECOND_US  # failures of one block begin within it: the longest usual interval
_HERE_US = 3_600 * SECOND_US  # an agent without a test for so long shows nothing
_MOST = 0.8  # of its tests, which an edition fails that lets one endpoint of several pass
_FIRST_TESTS = 3  # of which it fails one at least
_FEW_TESTS = 10  # of fewer it fails half at least, as one that passed by chance weighs much


@dataclass(frozen=True, slots=True)
class _EditionTest:
    """The latest test of one vantage."""

    edition: str
    vantage: VantageRef
    has_failed: bool


def _list_failing_editions(tests: Sequence[_EditionTest], limits: Thresholds) -> AbstractSet[str]:
    """List the editions of which most tests fail, if it is not all of them."""
    results: defaultdict[str, list[bool]] = defaultdict(list)
    for test in tests:
        results[test.edition].append(test.has_failed)
    failing = {
        edition
        for edition, failed in results.items()
        if sum(failed) >= max(_MIN_HITS, limits.confirm_share * len(failed))
    }
    return failing if len(failing) < len(results) else frozenset()


def _do_others_fail(
    tests: Sequence[_EditionTest], failing: AbstractSet[str], limits: Thresholds
) -> bool:
    """Return whether the other editions fail beside the failing ones, as in a block."""
    others = [
        test.has_failed
        for inside in _list_mixed(tests, failing)
        for test in inside
        if test.edition not in failing
    ]
    return len(others) >= limits.witnesses and sum(others) >= limits.confirm_share * len(others)


def _is_explained(tests: Sequence[_EditionTest], failing: AbstractSet[str]) -> bool:
    """Return whether these editions, and not chance, explain their networks' failures."""
    strata = [
        [(test.edition in failing, test.has_failed) for test in inside]
        for inside in _list_mixed(tests, failing)
    ]
    return compute_split_chance(strata) <= _CHANCE


def _list_mixed(
    tests: Sequence[_EditionTest], failing: AbstractSet[str]
) -> Iterator[list[_EditionTest]]:
    """Yield the tests of each network in which both kinds of editions test."""
    by_network: defaultdict[tuple[object, ...], list[_EditionTest]] = defaultdict(list)
    for test in tests:
        location = test.vantage.place
        by_network[location.country, location.asn, location.access].append(test)
    for inside in by_network.values():
        if len({test.edition in failing for test in inside}) == 2:
            yield inside


@dataclass(slots=True)
class EditionRun:
    """The tests of one service by a vantage's present edition, from the first one on."""

    failed_us: int = 0  # the first failure, if it was among the first tests; else 0
    tests: int = 0
    failures: int = 0

    @property
    def has_always_failed(self) -> bool:
        """Return whether it failed from its first tests on, but for a few that passed."""
        least = _MOST if self.tests >= _FEW_TESTS else 0.5
        return self.failed_us > 0 and self.failures >= least * self.tests

    def add(self, vote: ServiceVote) -> None:
        self.tests += 1
        if vote.standing in FAILING_VALUES:
            self.failures += 1
            if self.tests <= _FIRST_TESTS and not self.failed_us:
                self.failed_us = vote.at_us


@dataclass(slots=True)
class AgentEdition:
    """Edition of one vantage's agent; "" if it reports none."""

    vantage: VantageRef
    name: str
    since_us: int  # its first measurement by this edition
    tested_us: int  # its latest
    is_change: bool = False  # it measured by another one before
    runs: dict[str, EditionRun] = field(default_factory=dict)  # by service, after a change

    def record_test(self, vote: ServiceVote) -> None:
        """Record a test by this edition that shows whether the service works."""
        if not self.is_change or vote.standing in (VoteValue.DOWN, VoteValue.UNKNOWN):
            return
        self.runs.setdefault(vote.service, EditionRun()).add(vote)


@dataclass(slots=True)
class AgentEditions:
    """The editions of agents, by the pseudonym of the vantage."""

    by_vantage: dict[str, AgentEdition] = field(default_factory=dict)

    def record(self, votes: Iterable[ServiceVote]) -> None:
        """Record the editions of new votes, in order of time within one call.

        Later calls may have earlier votes.
        """
        for vote in votes:
            agent = self.by_vantage.get(vote.witness.nym)
            if agent is not None and vote.edition in ("", agent.name):
                if vote.edition == agent.name:
                    agent.since_us = min(agent.since_us, vote.at_us)
                agent.tested_us = max(agent.tested_us, vote.at_us)
                agent.vantage = vote.witness
            elif agent is None or vote.at_us > agent.tested_us:
                self.by_vantage[vote.witness.nym] = AgentEdition(
                    vote.witness, vote.edition, vote.at_us, vote.at_us, agent is not None
                )
            edition = self.by_vantage[vote.witness.nym]
            if vote.edition in ("", edition.name):
                edition.record_test(vote)

    def forget(self, before_us: int) -> None:
        self.by_vantage = {n: e for n, e in self.by_vantage.items() if e.tested_us >= before_us}

    def name(self, vote: ServiceVote) -> str:
        edition = self.by_vantage.get(vote.witness.nym)
        return "" if edition is None else edition.name


@dataclass(frozen=True, slots=True)
class EditionDoubts:
    """Failures in one country, and their editions.

    `first_bad` and `last_good` are keyed by vantage.
    """

    editions: AgentEditions
    first_bad: Mapping[str, ServiceVote]
    last_good: Mapping[str, int]
    others: OtherCountries  # of this bin

    def select(self, votes: Sequence[ServiceVote]) -> dict[str, str]:
        """Return the vantages whose failures are in doubt, with the reason for each.

        Args:
            votes: The fresh votes of the country.
        """
        return dict.fromkeys(
            self._select_begun(votes) | self._select_split(votes), HoldReason.RESTARTS
        )

    def _select_split(self, votes: Sequence[ServiceVote]) -> frozenset[str]:
        """Return the vantages of editions that fail where others work, here or elsewhere."""
        failures = [o for o in votes if o.standing in FAILING_VALUES]
        home_tests = self._list_latest([f.at_us for f in map(self._find_first, failures) if f])
        failing = _list_failing_editions(home_tests, self.others.limits)
        if not failing:
            return frozenset()
        if _do_others_fail(home_tests, failing, self.others.limits):
            return frozenset()
        tests = [*home_tests, *self._list_tests(self.others.list_votes())]
        if not _is_explained(tests, failing):
            return frozenset()
        return frozenset(o.witness.nym for o in votes if self.editions.name(o) in failing)

    def _find_first(self, vote: ServiceVote) -> ServiceVote | None:
        return self.first_bad.get(vote.witness.nym)

    def _list_latest(self, begun_us: Sequence[int]) -> list[_EditionTest]:
        """List the newest results of the country's vantages since failures began."""
        if not begun_us:
            return []
        since_us = quantile(begun_us, 0.1)
        tests = []
        for name, edition in self.editions.by_vantage.items():
            is_home = edition.vantage.place.country == self.others.home
            if not (is_home and edition.name and self._is_here(edition)):
                continue
            failure = self.first_bad.get(name)
            has_voted = failure is not None or self.last_good.get(name, 0) >= since_us
            if has_voted and self._is_established(edition.vantage):
                tests.append(_EditionTest(edition.name, edition.vantage, failure is not None))
        return tests

    def _is_here(self, edition: AgentEdition) -> bool:
        return edition.tested_us >= self.others.now_us - _HERE_US

    def _list_tests(self, votes: Iterable[ServiceVote]) -> list[_EditionTest]:
        tests = []
        for vote in votes:
            edition = self.editions.name(vote)
            is_counted = vote.standing not in (VoteValue.DOWN, VoteValue.UNKNOWN)
            if edition and is_counted and self._is_established(vote.witness):
                tests.append(_EditionTest(edition, vote.witness, vote.standing in FAILING_VALUES))
        return tests

    def _select_begun(self, votes: Sequence[ServiceVote]) -> frozenset[str]:
        """Return the vantages whose failures began with their edition, and may be its own."""
        begun = [o for o in votes if o.standing in FAILING_VALUES and self._has_begun(o)]
        if not begun:
            return frozenset()
        others = self._list_known([self.first_bad[o.witness.nym].at_us for o in begun])
        doubted: set[str] = set()
        for asn in {o.witness.place.asn for o in begun}:
            own = [o for o in begun if o.witness.place.asn == asn]
            if self._is_doubted(own, others):
                doubted |= {o.witness.nym for o in own}
        return frozenset(doubted)

    def _has_begun(self, vote: ServiceVote) -> bool:
        """Return whether a vantage's failures began with the present edition of its agent."""
        name = vote.witness.nym
        edition = self.editions.by_vantage.get(name)
        if edition is None or not edition.is_change or name not in self.first_bad:
            return False
        run = edition.runs.get(vote.service)
        if run is not None and run.has_always_failed:
            return True
        return self.last_good.get(name, 0) < edition.since_us <= self.first_bad[name].at_us

    def _list_known(self, begun_us: Sequence[int]) -> list[tuple[AgentEdition, bool]]:
        """List the country's other vantages that tested since then, and whether they fail."""
        since_us = quantile(begun_us, 0.1)
        others = []
        for name, edition in self.editions.by_vantage.items():
            vantage = edition.vantage
            if vantage.place.country != self.others.home or not self._is_here(edition):
                continue
            failure = self.first_bad.get(name)
            is_failing = failure is not None and failure.at_us >= since_us - _BEFORE_US
            has_voted = is_failing or (failure is None and self.last_good.get(name, 0) >= since_us)
            is_own = failure is not None and self._has_begun(failure)
            if has_voted and not is_own and self._is_established(vantage):
                others.append((edition, is_failing))
        return others

    def _is_doubted(
        self, begun: Sequence[ServiceVote], others: Sequence[tuple[AgentEdition, bool]]
    ) -> bool:
        """Return whether an edition may be all that fails in one network.

        Args:
            begun: The failures there that began with an edition.
            others: The country's other vantages, and whether they fail.
        """
        limits = self.others.limits
        asn = begun[0].witness.place.asn
        near = count_total((e.vantage, hit) for e, hit in others if e.vantage.place.asn == asn)
        home = count_total(
            (e.vantage, hit) for e, hit in others if e.vantage.place.access != _HOSTING
        )
        has_near = near.votes >= limits.witnesses
        older = near if has_near else home
        if older.hits >= limits.witnesses and older.share >= limits.confirm_share:
            return False
        if has_near:
            return True
        names = {self.editions.name(o) for o in begun}
        if home.votes >= limits.witnesses:
            return True
        return not (self._began_at_once(begun) and self._work(self._list_abroad(names)))

    def _list_abroad(self, names: set[str]) -> list[tuple[VantageRef, bool]]:
        return [
            (o.witness, o.standing in FAILING_VALUES)
            for o in self.others.list_votes()
            if self.editions.name(o) in names
            and o.standing not in (VoteValue.DOWN, VoteValue.UNKNOWN)
            and self._is_established(o.witness)
        ]

    def _work(self, hits: Iterable[tuple[VantageRef, bool]]) -> bool:
        """Return whether most of these reach the service."""
        count = count_total(hits)
        limits = self.others.limits
        return count.votes >= limits.witnesses and count.share <= 1 - limits.confirm_share

    def _began_at_once(self, begun: Sequence[ServiceVote]) -> bool:
        """Return whether one moment, half an hour ago, explains these failures as well."""
        times = [self._find_times(o) for o in begun]
        good_us = [good for good, _ in times]
        bad_us = [bad for _, bad in times]
        is_old = self.others.now_us - min(bad_us) >= _WAIT_US
        return is_old and quantile(good_us, 0.9) <= quantile(bad_us, 0.1)

    def _find_times(self, vote: ServiceVote) -> tuple[int, int]:
        """Return when a vantage reached the service last, and when its failures began.

        A passed test does not end the failures of an edition that fails most of its tests.
        """
        name = vote.witness.nym
        last_us = self.last_good.get(name, 0)
        edition = self.editions.by_vantage[name]
        run = edition.runs.get(vote.service)
        if run is None or not run.has_always_failed:
            return last_us, self.first_bad[name].at_us
        return min(last_us, edition.since_us), run.failed_us

    def _is_established(self, vantage: VantageRef) -> bool:
        return is_established(vantage, self.others.now_us, self.others.limits)
