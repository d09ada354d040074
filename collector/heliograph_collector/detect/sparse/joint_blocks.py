"""Detect blocks of several services at once from rounds of tests, before each has five rows.

Theory of operation. A state that blocks messengers in an election blocks several in one hour. Each
of them alone needs five rows, which take half a day where a country has few testers. Together they
need fewer, but not each row counts: one host with a bad line, or behind an office's filter, fails
the tests of many services at once. So the unit is a round (`rounds.py`), which counts once,
however many services failed in it. A country's rounds are tested one after another (Wald's
sequential test, in nats): a block of several services against the usual rate of rounds in which
several fail.

- A round counts where two services failed in it that usually work, and one worked: a line that
  works reaches something.
- The first such round of a network counts in full. A further one of the same network may be of the
  same host, and adds as much as a second look does (`repeat_share`).
- A round in which most of these services worked counts against the block.
- The odds are a thousand to one, by three rounds of two networks, an hour apart.
- A service takes part if it was tested and worked in the month before, failed in two rounds, and
  hardly worked since. It does not if its rows in other countries fail meanwhile: it is down. Where
  no other country has rows, services of two owners must take part, because those of one owner may
  be down together.
- Some services fail and the others work, at odds of a hundred to one against an evening on which
  all of them fail by chance at one rate.

Once several services are blocked, each that takes part is confirmed by its own rows, at the same
odds, for a day: a state that blocks some is as likely as not to block one more. Two failing rows in
two networks are enough where one of fifty failed before.

Rows that name no network, such as counts of countries, have no rounds.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.sparse.past_rows import PastRows
from heliograph_collector.detect.sparse.rounds import (
    LEAST_SERVICES,
    Round,
    gather_rounds,
    sort_rows,
)
from heliograph_collector.detect.sparse.runs import FailingRun
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_TICK_US = HOUR_US // 4  # a round is judged at the end of its quarter of an hour
_NEEDED_NATS = math.log(1_000)
_CHANCE_NATS = math.log(100)  # against a bad evening, of which there are few
_LEAST_FAILURES = 2  # of a service that takes part
_LEAST_ROUNDS = 3
_LEAST_NETWORKS = 2
_SPAN_US = HOUR_US  # what is over sooner is a fault of an hour
_WINDOW_US = 12 * HOUR_US  # of the rounds of an onset
_MOST_STARTS = 24  # rounds from which an onset is tried: more of them would show it already
_JOIN_US = DAY_US  # services that are blocked within this are of the same block
_PAST_US = 30 * DAY_US
_LEAST_PAST = 20  # rows of a service, and rounds, in that time
_USUAL_SHARE = 0.2  # of all rows fail on usual days: by OONI's rules 1 to 15 %
_LEAST_ABROAD = 3  # rows of each service in other countries
_BEFORE_US = 3 * HOUR_US  # before the first failure, from which other rows count
_OWNERS = {  # of services that may be down together; all others have owners of their own
    "meta": ("whatsapp", "facebook", "instagram", "messenger", "threads"),
    "telegram": ("telegram",),
    "google": ("google", "youtube", "gmail"),
    "signal": ("signal",),
}


def find_joint_runs(votes: Iterable[ServiceVote]) -> dict[str, list[FailingRun]]:
    """Find, by service, the blocks that the rounds of a country show.

    Args:
        votes: The votes on all services, of all countries.
    """
    by_country: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for vote in sort_rows(votes):
        by_country[vote.witness.place.country].append(vote)
    past = {country: _group_by_service(own) for country, own in by_country.items()}
    runs: defaultdict[str, list[FailingRun]] = defaultdict(list)
    for country, own in by_country.items():
        for run in _CountryRounds(country, gather_rounds(own), past).list_runs():
            runs[run.failures[0].service].append(run)
    return runs


def _group_by_service(votes: Iterable[ServiceVote]) -> dict[str, PastRows]:
    by_service: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for vote in votes:
        by_service[vote.service].append(vote)
    return {service: PastRows(own) for service, own in by_service.items()}


@dataclass(slots=True)
class _CountryRounds:
    """The rounds of one country, and the rows of all countries."""

    country: str
    rounds: Sequence[Round]
    past: Mapping[str, Mapping[str, PastRows]]  # by country and service
    confirmed: dict[str, int | None] = field(default_factory=dict)  # the end of each service's run

    def list_runs(self) -> Iterator[FailingRun]:
        first = 0  # index of the first round of the window
        block: _Onset | None = None
        for index, last in enumerate(self.rounds):
            if not last.has_several_failures():
                continue
            while self.rounds[first].last_us < last.last_us - _WINDOW_US:
                first += 1
            if block is not None and last.last_us - block.first.last_us > _JOIN_US:
                block = None
            if block is None:
                block = self._find_onset(first, index)
            if block is not None:
                yield from self._confirm_services(block, index)

    def _find_onset(self, first: int, last: int) -> "_Onset | None":
        """Return the latest onset from which on the rounds show a block, if any."""
        starts = range(last - _LEAST_ROUNDS + 1, first - 1, -1)
        several = (start for start in starts if self.rounds[start].has_several_failures())
        for start in islice(several, _MOST_STARTS):
            onset = _Onset(self.rounds[start], start)
            if self._shows_block(onset, last):
                return onset
        return None

    def _shows_block(self, onset: "_Onset", last: int) -> bool:
        rounds = self.rounds[onset.index : last + 1]
        if rounds[-1].last_us - onset.first.last_us < _SPAN_US:
            return False
        services = self._find_services(rounds)
        counted = [own for own in rounds if _counts(own, services)]
        networks = {own.network for own in counted}
        if len(counted) < _LEAST_ROUNDS or len(networks) < _LEAST_NETWORKS:
            return False
        return (
            counted[0] is onset.first
            and self._differ_services(rounds) >= _CHANCE_NATS
            and self._are_independent(rounds, services)
            and self._sum_evidence(rounds, services) >= _NEEDED_NATS
        )

    def _find_services(self, rounds: Sequence[Round]) -> set[str]:
        """Find the services that fail since the first of these rounds."""
        since_us, until_us = rounds[0].last_us, rounds[-1].last_us + 1
        failed = Counter(service for own in rounds for service in own.list_failed())
        return {
            service
            for service, count in failed.items()
            if count >= _LEAST_FAILURES
            and _count_rounds(rounds, service).share >= THRESHOLDS.confirm_share
            and self._usual_rate(service, since_us) <= _USUAL_SHARE
            and self._count_abroad(service, since_us, until_us).share <= _USUAL_SHARE
        }

    def _usual_rate(self, service: str, since_us: int) -> float:
        """Return the rate at which a service failed in the month before; 1 if it is unknown."""
        count = self.past[self.country][service].count_between(since_us - _PAST_US, since_us)
        if count.votes < _LEAST_PAST:
            return 1.0
        bad = THRESHOLDS.prior_bad
        return (bad + count.hits) / (bad + THRESHOLDS.prior_good + count.votes)

    def _count_abroad(self, service: str, since_us: int, until_us: int) -> VoteCount:
        total = VoteCount()
        for country, by_service in self.past.items():
            if country != self.country and service in by_service:
                total.add(by_service[service].count_between(since_us - _BEFORE_US, until_us))
        return total

    def _are_independent(self, rounds: Sequence[Round], services: set[str]) -> bool:
        """Return whether no owner's failure explains all of the services."""
        since_us, until_us = rounds[0].last_us, rounds[-1].last_us
        owners = {_find_owner(service) for service in services}
        working = (self._count_abroad(s, since_us, until_us).votes for s in services)
        return len(owners) > 1 or min(working, default=0.0) >= _LEAST_ABROAD

    def _sum_evidence(self, rounds: Sequence[Round], services: set[str]) -> float:
        rate = self._several_rate(rounds[0].last_us)
        networks: set[int] = set()
        nats = 0.0
        for own in rounds:
            tested = services & own.votes.keys()
            if _counts(own, services):
                is_repeat = own.network in networks
                nats += math.log(
                    THRESHOLDS.p_bad / (THRESHOLDS.repeat_share if is_repeat else rate)
                )
                networks.add(own.network)
            elif 2 * len(tested - own.list_failed()) > len(tested):
                nats += math.log((1 - THRESHOLDS.p_bad) / (1 - rate))
        return nats

    def _differ_services(self, rounds: Sequence[Round]) -> float:
        """Return the evidence in nats that some services fail and the others work.

        Against it stands an evening on which all fail by chance, at one rate. Which services are
        blocked is chosen by these rows, so each costs the choice.
        """
        since_us = rounds[0].last_us
        counts: dict[float, VoteCount] = defaultdict(VoteCount)
        services = {service for own in rounds for service in own.votes}
        for service in services:
            count, rate = _count_rounds(rounds, service), self._usual_rate(service, since_us)
            if rate < THRESHOLDS.p_bad:
                is_blocked = count.share >= THRESHOLDS.confirm_share
                counts[THRESHOLDS.p_bad if is_blocked else rate].add(count)
        share = sum(c.hits for c in counts.values()) / sum(c.votes for c in counts.values())
        if not 0.0 < share < 1.0:
            return 0.0
        return sum(
            count.hits * math.log(rate / share)
            + (count.votes - count.hits) * math.log((1 - rate) / (1 - share))
            for rate, count in counts.items()
        ) - math.log(2) * len(services)

    def _several_rate(self, since_us: int) -> float:
        """Return the rate of rounds in which several services failed in the month before.

        Days on which they did in most rounds are of an earlier block.
        """
        usual = {
            s for s in self.past[self.country] if self._usual_rate(s, since_us) <= _USUAL_SHARE
        }
        days: defaultdict[int, VoteCount] = defaultdict(VoteCount)
        for own in self.rounds:
            if since_us - _PAST_US <= own.last_us < since_us:
                is_several = len(own.list_failed() & usual) >= LEAST_SERVICES
                days[own.last_us // DAY_US].add(VoteCount(1, is_several))
        total = VoteCount()
        for count in days.values():
            if count.share < THRESHOLDS.confirm_share:
                total.add(count)
        bad = THRESHOLDS.prior_bad
        rate = (bad + total.hits) / (bad + THRESHOLDS.prior_good + total.votes)
        return min(rate, THRESHOLDS.repeat_share)

    def _confirm_services(self, block: "_Onset", last: int) -> Iterator[FailingRun]:
        rounds = self.rounds[block.index : last + 1]
        now_us = rounds[-1].last_us
        for service in sorted(self._find_services(rounds)):
            ended_us = self.confirmed.get(service, 0)
            if ended_us is None or ended_us > now_us:
                continue
            rate = self._usual_rate(service, block.first.last_us)
            if _sum_service(rounds, service, rate) >= _NEEDED_NATS:
                run = self._build_run(service, rounds, rate)
                self.confirmed[service] = run.ended_us
                yield run

    def _build_run(self, service: str, rounds: Sequence[Round], rate: float) -> FailingRun:
        failed = [own.votes[service] for own in rounds if service in own.list_failed()]
        rows = self.past[self.country][service].votes
        before_us = [
            vote.at_us
            for vote in rows
            if vote.standing is VoteValue.GOOD and vote.at_us < failed[0].at_us
        ]
        confirmed_us = (rounds[-1].last_us // _TICK_US + 1) * _TICK_US
        return FailingRun(
            Scope(self.country),
            tuple(failed),
            max(before_us, default=0),
            confirmed_us,
            _find_end(rows, confirmed_us, rate),
        )


@dataclass(frozen=True, slots=True)
class _Onset:
    """The first round of a block, and its index among the rounds of its country."""

    first: Round
    index: int


def _counts(own: Round, services: set[str]) -> bool:
    return own.has_several_failures() and len(own.list_failed() & services) >= LEAST_SERVICES


def _count_rounds(rounds: Iterable[Round], service: str) -> VoteCount:
    """Count the rounds in which a service was tested, and in which it failed."""
    total = VoteCount()
    for own in rounds:
        if service in own.votes:
            total.add(VoteCount(1, service in own.list_failed()))
    return total


def _sum_service(rounds: Iterable[Round], service: str, rate: float) -> float:
    """Return the evidence in nats that one service fails in these rounds."""
    networks: set[int] = set()
    nats = 0.0
    for own in rounds:
        if service in own.list_failed():
            is_repeat = own.network in networks
            nats += math.log(THRESHOLDS.p_bad / (THRESHOLDS.repeat_share if is_repeat else rate))
            networks.add(own.network)
        elif service in own.votes:
            nats += math.log((1 - THRESHOLDS.p_bad) / (1 - rate))
    return nats


def _find_end(rows: Iterable[ServiceVote], confirmed_us: int, rate: float) -> int | None:
    """Return the time of the row after which a block is over, None while it lasts."""
    nats = THRESHOLDS.clear_nats
    for vote in (row for row in rows if row.at_us >= confirmed_us):
        is_good = vote.standing is VoteValue.GOOD
        step = (1 - THRESHOLDS.p_bad) / (1 - rate) if is_good else THRESHOLDS.p_bad / rate
        nats = min(THRESHOLDS.clear_nats, nats + math.log(step))
        if nats <= 0.0:
            return vote.at_us
    return None


def _find_owner(service: str) -> str:
    return next(
        (owner for owner, marks in _OWNERS.items() if any(mark in service for mark in marks)),
        service,
    )
