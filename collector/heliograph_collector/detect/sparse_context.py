"""The latest tests of other services, with which too few votes for minutes are compared.

Theory of operation. What is congested, or a resolver that fails, fails tests of all services, each
by chance (`blocking/other_services.py`). In the few hours in which sparse votes count, another
service has hardly a test. So its latest tests of a day are taken: chance shows in them as failures
now and then. A service whose latest tests all failed may be blocked itself, and says nothing; where
those are most, nothing is compared, since a state may block most of what is tested. Nor is it where
no more fails than on usual days: that is compared with the service's own past (`sparse_votes.py`).
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from heliograph.units import HOUR_US
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue

# Assumed, all of them:
_RECENT_US = 24 * HOUR_US
_MOST_TESTS = 12  # of a service: of more, the earlier ones are of another time
_MOST_SERVICES = 24  # of a country, those with the most tests
_USUAL_SHARE = 0.2  # of all these tests fail on usual days: by OONI's rules 1 to 15 %
_DOUBTFUL_TESTS = 3  # of a service that may be blocked: all of its latest ones failed


class RecentTests:
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
