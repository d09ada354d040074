"""Failed resolvers: networks whose names fail for every service alike.

Theory of operation. An operator's resolver that breaks, or loses its way abroad, is silent or fails
on all names. Tests that ask an encrypted resolver as well see that the site is up, and blame the
name: so each service of the network seems blocked by DNS, from one moment on. A block is of
some names; or the resolver lies, which no broken one does; or it is in all networks. So failures of
names are in doubt in a network in which every service that is tested has failed so since then, in
three services at least, while the rest of the country works. They leave a suspicion
(`all_services`). The price: an operator that is silent on all tested names is only suspected.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from heliograph.plan import ANCHORS
from heliograph_collector.detect.blocking.other_services import ANSWERED, CountryTests
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import count_total, is_established
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_SERVICES = 3  # that fail together
_ALIKE = 0.5  # of the share of the service that fails most: so they fail, and so they come back


VotesByNetwork: TypeAlias = Mapping[int, Sequence[ServiceVote]]


def select_unresolved(
    votes: Sequence[ServiceVote], first_bad: Mapping[str, ServiceVote], tests: CountryTests
) -> dict[str, str]:
    """Return vantages whose failures a failed resolver may explain, with that reason.

    Args:
        votes: The fresh votes of a country on the service that is judged.
        first_bad: The first failure of each vantage that fails it.
        tests: The fresh votes of the country on all services.
    """
    by_network: defaultdict[int, list[ServiceVote]] = defaultdict(list)
    for vote in votes:
        if _has_no_answer(vote):
            by_network[vote.witness.place.asn].append(vote)
    # Once for all networks, of which a national block has every one.
    services = [_group(own, tests) for own in tests.votes_by_service.values()] if by_network else []
    doubted: dict[str, str] = {}
    for asn, failures in by_network.items():
        begun_us = [first_bad.get(o.witness.nym, o).at_us for o in failures]
        since_us = quantile(begun_us, 0.1)
        own_tests = [[o for o in s.get(asn, ()) if o.at_us >= since_us] for s in services]
        if _fails_whole(own_tests) and _works_elsewhere(services, asn, since_us, tests.limits):
            doubted |= {o.witness.nym: HoldReason.ALL_SERVICES for o in failures}
    return doubted


def _group(votes: Iterable[ServiceVote], tests: CountryTests) -> VotesByNetwork:
    """Group by network one service's votes that show whether names resolve."""
    by_network: defaultdict[int, list[ServiceVote]] = defaultdict(list)
    for vote in votes:
        if _tells(vote, tests):
            by_network[vote.witness.place.asn].append(vote)
    return by_network


def _has_no_answer(vote: ServiceVote) -> bool:
    """Return whether a lookup failed, and no false answer came in its place."""
    is_of_name = vote.standing is VoteValue.BLOCKED and vote.layer == "dns"
    return is_of_name and vote.method not in ANSWERED


def _tells(vote: ServiceVote, tests: CountryTests) -> bool:
    """Return whether a vote depends on names; hosts abroad answer without them."""
    is_known = vote.standing is VoteValue.GOOD or vote.standing in FAILING_VALUES
    is_of_name = is_known and vote.source != ANCHORS
    return is_of_name and is_established(vote.witness, tests.now_us, tests.limits)


def _fails_whole(own_tests: Iterable[Sequence[ServiceVote]]) -> bool:
    """Return whether all services tested in a network fail so, at similar rates."""
    shares = [sum(map(_has_no_answer, tests)) / len(tests) for tests in own_tests if tests]
    return len(shares) >= _SERVICES and min(shares) >= _ALIKE * max(shares) > 0.0


def _works_elsewhere(
    services: Iterable[VotesByNetwork], asn: int, since_us: int, limits: Thresholds
) -> bool:
    """Return whether the same services work in the rest of the country."""
    hits = (
        (o.witness, o.standing in FAILING_VALUES)
        for by_network in services
        for number, tests in by_network.items()
        for o in tests
        if number != asn and o.at_us >= since_us
    )
    count = count_total(hits)
    return count.votes >= limits.witnesses and count.share <= limits.clear_share
