"""Blocking in votes that are too few for minutes, such as OONI's rows.

Bins are hours, and votes count for 3, 6 or 12 hours: for as long as half of them need until five
have come. A service that fails in one network alone since its first row has no onset there, and is
left out. Votes of more than 3 hours are so few that the usual failures of the service count: by
OONI's rules 1 to 15 % of the rows of a service that works are anomalies. A service that fails as
often as other services of the country, by their latest tests, is not blocked. One that fails row
after row in a network where it hardly ever failed is blocked before five rows have failed
(`runs.py`).

Congestion, or a failing resolver, fails tests of all services, each by chance
(`blocking/other_services.py`). In the few hours in which sparse votes count, another service has
hardly a test. So its latest tests of a day are taken: chance shows in them as failures now and
then. A service whose latest tests all failed may be blocked itself, and says nothing; where those
are most, nothing is compared, since a state may block most of what is tested. Nothing is compared
either where no more fails than on usual days: that is compared with the service's own past.

The brackets of the live detector are those of vantages that worked and then failed. Where each row
is a separate voter, they are the rows around the moment that divides the rows best: before it a
service fails now and then, after it nearly always. It does not lie before two days without a row,
after which a single failure says nothing of what was before.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import attrgetter
from statistics import median

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.blocking.other_services import weigh_test
from heliograph_collector.detect.sparse.joint_blocks import find_joint_runs
from heliograph_collector.detect.sparse.past_rows import PastRows, confirm_against_past, select_rows
from heliograph_collector.detect.sparse.rounds import find_repeated_failures, sort_rows
from heliograph_collector.detect.sparse.runs import add_runs, find_runs
from heliograph_collector.detect.stats.voting import VoteCount
from heliograph_collector.incidents.incident import Bracket, Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS

_SILENT_US = 2 * DAY_US  # without a row; assumed
# Assumed, all of them:
_HOURLY = replace(THRESHOLDS, bin_s=3_600.0, fresh_s=10_800.0)
_SPANS_HOURS = (3, 6, 12)
_MIN_FAILURES = 5  # rows of a network, all of which fail, that show that it always does
_HISTORY_DAYS = 30
_MOST_USUAL = 0.4  # so that a service that often fails is not taken for one that is down
# Assumed too, of the other services' latest tests:
_RECENT_US = 24 * HOUR_US
_MOST_TESTS = 12  # of a service: of more, the earlier ones are of another time
_MOST_SERVICES = 24  # of a country, those with the most tests
_USUAL_SHARE = 0.2  # of all these tests fail on usual days: by OONI's rules 1 to 15 %
_DOUBTFUL_TESTS = 3  # of a service that may be blocked: all of its latest ones failed


class _RecentTests:
    """The tests of the services of each country that are tested most."""

    def __init__(self, votes: Iterable[ServiceVote]) -> None:
        by_country: defaultdict[str, defaultdict[str, list[ServiceVote]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for vote in sorted(votes, key=attrgetter("at_us", "witness.nym")):
            if vote.standing is VoteValue.GOOD or vote.standing in FAILING_VALUES:
                by_country[vote.witness.place.country][vote.service].append(vote)
        self._votes = {
            country: {service: by_service[service] for service in _find_most_tested(by_service)}
            for country, by_service in by_country.items()
        }
        self._recent: dict[tuple[str, int], Mapping[str, Sequence[ServiceVote]]] = {}

    def list_recent(self, country: str, end_us: int) -> Mapping[str, Sequence[ServiceVote]]:
        """List by service the latest tests before a time."""
        key = (country, end_us)
        if key not in self._recent:
            self._recent[key] = self._find_recent(country, end_us)
        return self._recent[key]

    def _find_recent(self, country: str, end_us: int) -> Mapping[str, Sequence[ServiceVote]]:
        recent = {
            service: tests
            for service, votes in self._votes.get(country, {}).items()
            if len(tests := _select_recent(votes, end_us)) >= _DOUBTFUL_TESTS
        }
        clear = {service: tests for service, tests in recent.items() if not _may_be_blocked(tests)}
        is_usual = _find_failing_share(clear.values()) <= _USUAL_SHARE
        return {} if is_usual or 2 * len(clear) < len(recent) else clear


def _find_most_tested(by_service: Mapping[str, Sequence[ServiceVote]]) -> list[str]:
    counts = Counter({service: len(votes) for service, votes in by_service.items()})
    return [service for service, _ in counts.most_common(_MOST_SERVICES)]


def _select_recent(votes: Sequence[ServiceVote], end_us: int) -> Sequence[ServiceVote]:
    time = attrgetter("at_us")
    until = bisect_left(votes, end_us, key=time)
    since = bisect_left(votes, end_us - _RECENT_US, key=time)
    return votes[max(since, until - _MOST_TESTS) : until]


def _find_failing_share(tests: Iterable[Sequence[ServiceVote]]) -> float:
    failed = [vote.standing in FAILING_VALUES for own in tests for vote in own]
    return sum(failed) / len(failed) if failed else 0.0


def _may_be_blocked(tests: Sequence[ServiceVote]) -> bool:
    return all(vote.standing in FAILING_VALUES for vote in tests[-_DOUBTFUL_TESTS:])


def _date_incident(incident: Incident, votes: Sequence[ServiceVote]) -> Incident:
    """Return the incident with the brackets of its onset and its end by its rows.

    Args:
        incident: A block of one service.
        votes: All votes on the service, in order of time.
    """
    rows = select_rows(incident, votes)
    earlier = [vote for vote in rows if vote.at_us < incident.suspected_us]
    if not earlier:
        return incident
    first = _find_last_rise(earlier)
    started = Bracket(earlier[max(0, first - 1)].at_us, earlier[first].at_us)
    ended = incident.ended
    if incident.closed_us is not None:
        ended = _find_end([o for o in rows if started.latest_us <= o.at_us < incident.closed_us])
    return replace(incident, started=started, ended=ended)


def _find_last_rise(votes: Sequence[ServiceVote]) -> int:
    """Return the index from which on nearly all votes fail."""
    gains = _sum_evidence(reversed(votes))
    first = len(votes) - 1 - gains.index(max(gains))
    indices = range(len(votes) - 1, first, -1)
    gaps = (i for i in indices if votes[i].at_us - votes[i - 1].at_us > _SILENT_US)
    return next(gaps, first)


def _sum_evidence(votes: Iterable[ServiceVote]) -> list[float]:
    """Return the evidence for a block up to each vote, in nats."""
    return list(accumulate(weigh_test(vote.standing in FAILING_VALUES) for vote in votes))


def _find_end(votes: Sequence[ServiceVote]) -> Bracket | None:
    """Return the bracket of the moment up to which nearly all votes fail."""
    gains = _sum_evidence(votes)
    last = gains.index(max(gains)) if gains else 0
    return Bracket(votes[last].at_us, votes[last + 1].at_us) if last + 1 < len(votes) else None


def detect_sparse(
    votes: Iterable[ServiceVote], others: Iterable[ServiceVote] = ()
) -> list[Incident]:
    """Detect blocks in bins of an hour, one service at a time.

    There are many pages, and each run of the detector reads all its votes.

    Args:
        votes: The votes that are too few for minutes.
        others: All other votes, on whatever service, which are compared with these. Those on a
            service of these show whether it fails in other countries too.
    """
    others = tuple(others)
    elsewhere = group_by_service(others)
    by_service = group_by_service(votes)
    all_votes = (*others, *(vote for own in by_service.values() for vote in own))
    recent = _RecentTests(all_votes)
    repeated = find_repeated_failures(all_votes)
    counted = [vote for vote in all_votes if vote not in repeated]
    runs, joint_runs = find_runs(counted), find_joint_runs(counted)
    incidents: list[Incident] = []
    for service, service_votes in by_service.items():
        own = _drop_constant([vote for vote in service_votes if vote not in repeated])
        blocks: list[Incident] = []
        if sum(vote.standing in FAILING_VALUES for vote in own) >= THRESHOLDS.burst:
            blocks = _detect_service(own, elsewhere.get(service, ()), recent)
        by_country = _group_by_country((*service_votes, *elsewhere.get(service, ())))
        dated = [
            confirm_against_past(_date_incident(block, own), own, by_country) for block in blocks
        ]
        merged = add_runs(_join_onsets(dated), runs.get(service, ()))
        incidents += add_runs(merged, joint_runs.get(service, ()))
    return incidents


def _join_onsets(incidents: Iterable[Incident]) -> list[Incident]:
    """Join incidents of one service, cell and onset, also suspicions of later days."""
    joined: dict[tuple[Scope, Bracket], Incident] = {}
    for incident in sorted(incidents, key=attrgetter("suspected_us")):
        key = incident.scope, incident.started
        earlier = joined.get(key)
        joined[key] = incident if earlier is None else _join(earlier, incident)
    return list(joined.values())


def _join(earlier: Incident, later: Incident) -> Incident:
    """Merge two incidents: the later, or the earlier if only that one was confirmed."""
    base = earlier if earlier.confirmed_us is not None and later.confirmed_us is None else later
    times_us = [i.confirmed_us for i in (earlier, later) if i.confirmed_us is not None]
    return replace(
        base,
        id=earlier.id,
        suspected_us=earlier.suspected_us,
        confirmed_us=min(times_us, default=None),
    )


def group_by_service(votes: Iterable[ServiceVote]) -> dict[str, list[ServiceVote]]:
    """Group votes by service, in order of time."""
    by_service: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for vote in sorted(votes, key=attrgetter("at_us", "witness.nym")):
        by_service[vote.service].append(vote)
    return by_service


def _group_by_country(votes: Iterable[ServiceVote]) -> dict[str, PastRows]:
    """Group the rows of one service by country."""
    by_country: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for vote in sort_rows(votes):
        by_country[vote.witness.place.country].append(vote)
    return {country: PastRows(own) for country, own in by_country.items()}


def count_median(votes: Iterable[ServiceVote], span_us: int) -> float:
    """Return how many votes of their country came within a span up to the median vote."""
    times_us: defaultdict[str, list[int]] = defaultdict(list)
    for vote in votes:
        times_us[vote.witness.place.country].append(vote.at_us)
    return median(
        index + 1 - bisect_left(own_us, at_us - span_us)
        for own_us in map(sorted, times_us.values())
        for index, at_us in enumerate(own_us)
    )


def _detect_service(
    votes: Sequence[ServiceVote], elsewhere: Sequence[ServiceVote], recent: _RecentTests
) -> list[Incident]:
    hours = next(
        (h for h in _SPANS_HOURS if count_median(votes, h * HOUR_US) >= THRESHOLDS.votes),
        _SPANS_HOURS[-1],
    )
    # What is suspected while the same votes count is one suspicion.
    limits = replace(_HOURLY, fresh_s=3_600.0 * hours, join_s=7_200.0 * hours)
    if not any(vote.witness.place.asn for vote in votes):  # counts of all networks together
        limits = replace(limits, networks=0)
    countries = {vote.witness.place.country for vote in votes}
    is_usual = len(countries) == 1 and not elsewhere and hours > _SPANS_HOURS[0]
    times_us = [vote.at_us for vote in votes]
    since_us = min(times_us) // HOUR_US * HOUR_US
    until_us = (max(times_us) // HOUR_US + 1) * HOUR_US
    usual = _UsualFailures.from_votes(votes) if is_usual else None
    found = detect_blocking([*votes, *elsewhere], since_us, until_us, limits, usual, recent)
    return [incident for incident in found if incident.scope.country in countries]


def _drop_constant(votes: Sequence[ServiceVote]) -> list[ServiceVote]:
    """Drop networks where all rows fail, if the service works in others."""
    networks = Counter(_network(vote) for vote in votes)
    working = {_network(vote) for vote in votes if vote.standing is VoteValue.GOOD}
    countries = {country for country, _ in working}
    return [
        vote
        for vote in votes
        if _network(vote) in working
        or networks[_network(vote)] < _MIN_FAILURES
        or vote.witness.place.country not in countries
    ]


def _network(vote: ServiceVote) -> tuple[str, int]:
    return vote.witness.place.country, vote.witness.place.asn


@dataclass(frozen=True, slots=True)
class _UsualFailures:
    """The votes of earlier days, in place of those of other countries."""

    days: dict[int, VoteCount]  # by the day since 1970; without those on which most failed

    @classmethod
    def from_votes(cls, votes: Iterable[ServiceVote]) -> "_UsualFailures":
        days: defaultdict[int, VoteCount] = defaultdict(VoteCount)
        for vote in votes:
            if vote.standing not in (VoteValue.UNKNOWN, VoteValue.DOWN):
                days[vote.at_us // DAY_US].add(VoteCount(1, vote.standing in FAILING_VALUES))
        limits = THRESHOLDS
        return cls({day: n for day, n in days.items() if n.share < limits.confirm_share})

    def count_bin(self, end_us: int) -> VoteCount:
        """Count the votes of the days before yesterday."""
        today = end_us // DAY_US
        past = VoteCount()
        for day in range(today - _HISTORY_DAYS, today - 1):
            past.add(self.days.get(day, VoteCount()))
        past.hits = min(past.hits, _MOST_USUAL * past.votes)
        return past
