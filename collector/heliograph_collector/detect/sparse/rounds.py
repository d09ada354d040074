"""Rounds of tests: what one run of a tester's program writes, in rows that name no host.

A round is the rows of one network with less than ten minutes between them. OONI gives each test of
a run a separate report, so the rows of one host that fails everything would count as those of many
hosts: one with a broken resolver, behind a login page or an office's filter. Tested each hour, it
alone would block each service of a country by its fifth round, at night when nobody else tests.

So a round in which nearly all of four services or more fail counts once a day in its network, until
rounds of another network fail so too: only these show that it is not one host.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.detect.sparse.past_rows import shows_service
from heliograph_collector.model.signals import ServiceVote, VoteValue

# Assumed, all of them:
_ROUND_US = 10 * MINUTE_US  # between two rows of one round, as `row_votes` has it …
_LONGEST_US = 30 * MINUTE_US  # … which lasts no longer than this
LEAST_SERVICES = 2  # that fail together
_MANY_SERVICES = 4  # of a round in which nothing works …
_NEARLY_ALL = 0.8  # … as this share fails
_REPEAT_US = DAY_US  # in which further such rounds of one network may be of the same host …
_TOGETHER_US = 12 * HOUR_US  # … unless another network had one in this time


@dataclass(slots=True)
class Round:
    """The tests of one run of a tester's program."""

    network: int
    since_us: int
    last_us: int
    rows: list[ServiceVote] = field(default_factory=list)
    votes: dict[str, ServiceVote] = field(default_factory=dict)  # one that worked, if any did

    def is_over(self, now_us: int) -> bool:
        return now_us - self.last_us > _ROUND_US or now_us - self.since_us > _LONGEST_US

    def add(self, vote: ServiceVote) -> None:
        self.last_us = vote.at_us
        self.rows.append(vote)
        earlier = self.votes.get(vote.service)
        if earlier is None or earlier.standing is not VoteValue.GOOD:
            self.votes[vote.service] = vote

    def list_failed(self) -> set[str]:
        return {s for s, vote in self.votes.items() if vote.standing is not VoteValue.GOOD}

    def has_several_failures(self) -> bool:
        return LEAST_SERVICES <= len(self.list_failed()) < len(self.votes)

    def is_dead(self) -> bool:
        """Return whether nearly all services failed, each in one row."""
        is_of_one = len(self.rows) == len(self.votes) >= _MANY_SERVICES
        return is_of_one and len(self.list_failed()) >= _NEARLY_ALL * len(self.votes)


def gather_rounds(votes: Iterable[ServiceVote]) -> list[Round]:
    """Gather the rows of one country into rounds, in the order of their ends."""
    rounds: list[Round] = []
    latest: dict[int, Round] = {}
    for vote in votes:
        network = vote.witness.place.asn
        if not network:
            continue
        current = latest.get(network)
        if current is None or current.is_over(vote.at_us):
            current = latest[network] = Round(network, vote.at_us, vote.at_us)
            rounds.append(current)
        current.add(vote)
    return sorted(rounds, key=attrgetter("last_us", "network"))


def find_repeated_failures(votes: Iterable[ServiceVote]) -> set[ServiceVote]:
    """Find failures that may be of a host whose failures have counted before.

    Args:
        votes: The votes on all services, of all countries.
    """
    by_country: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for vote in sort_rows(votes):
        by_country[vote.witness.place.country].append(vote)
    return {vote for own in by_country.values() for vote in _find_repeated(own)}


def sort_rows(votes: Iterable[ServiceVote]) -> list[ServiceVote]:
    """Sort the votes that tell whether a service works by time."""
    return sorted(filter(shows_service, votes), key=attrgetter("at_us", "witness.nym"))


def _find_repeated(votes: Sequence[ServiceVote]) -> list[ServiceVote]:
    """Find the failures of one country that may be of a host whose failures counted before."""
    repeated: list[ServiceVote] = []
    latest_us: dict[int, int] = {}  # the latest dead round of each network
    counted_us: dict[int, int] = {}  # … that counted
    for own in (each for each in gather_rounds(votes) if each.is_dead()):
        now_us, network = own.last_us, own.network
        others_us = [at_us for other, at_us in latest_us.items() if other != network]
        is_together = max(others_us, default=0) > now_us - _TOGETHER_US
        if not is_together and counted_us.get(network, 0) > now_us - _REPEAT_US:
            repeated += [vote for vote in own.rows if vote.standing is not VoteValue.GOOD]
        else:
            counted_us[network] = now_us
        latest_us[network] = now_us
    return repeated
