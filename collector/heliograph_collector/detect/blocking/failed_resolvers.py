"""Failed resolvers: networks whose names fail for every service alike.

Theory of operation. An operator's resolver that breaks, or loses its way abroad, is silent or fails
on all names. Tests that ask an encrypted resolver as well see that the site is up, and blame the
name: so each service of the network seems blocked by DNS, from one moment on. A block is of
some names; or the resolver lies, which no broken one does; or it is in several networks. So
failures of names are in doubt in a network in which every service that is tested has failed so
since then, in three services at least, while the rest of the country works. They leave a suspicion
(`all_services`).

Operators have a resolver each, and two of these do not break in the same hours by accident. So
networks that fail so together, each of them nearly whole, were told to, and are in no doubt. But
people may ask a public resolver, and those that it fails are spread over all networks. The failing
networks are several by such an accident only where lots, drawn among all vantages, often fall so.
The price: an operator that is silent on all tested names is only suspected, while it is alone.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from heliograph.plan import ANCHORS
from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.other_services import ANSWERED, CountryTests
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import VoteCount, count_total, is_established
from heliograph_collector.incidents.incident import HoldReason
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import Thresholds

# Assumed, all of them:
_SERVICES = 3  # that fail together
_ALIKE = 0.5  # of the share of the service that fails most: so they fail, and so they come back
_MOST_LOTS = 1_000  # which are drawn, in proportion: the exact sum of 20,000 takes a second
_LOTS_CHANCE = 0.01  # that failures of people's own resolvers fall on whole networks alone


VotesByNetwork: TypeAlias = Mapping[int, Sequence[ServiceVote]]


@dataclass(frozen=True, slots=True)
class FailingNetwork:
    """A network in which the names of all services fail."""

    asn: int
    failures: Sequence[ServiceVote]  # of the judged service
    since_us: int
    count: VoteCount  # its votes by line, over all services


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
    failing: list[FailingNetwork] = []
    for asn, failures in by_network.items():
        begun_us = [first_bad.get(o.witness.nym, o).at_us for o in failures]
        since_us = quantile(begun_us, 0.1)
        own_tests = [[o for o in s.get(asn, ()) if o.at_us >= since_us] for s in services]
        if _fails_whole(own_tests):
            count = _count_mute(o for tests_of_one in own_tests for o in tests_of_one)
            failing.append(FailingNetwork(asn, failures, since_us, count))
    concerted = _select_concerted(failing, services, tests.limits)
    doubted: dict[str, str] = {}
    for network in failing:
        if network.asn not in concerted and _works_elsewhere(services, network, tests.limits):
            names = (o.witness.nym for o in network.failures)
            doubted |= dict.fromkeys(names, HoldReason.ALL_SERVICES)
    return doubted


def _select_concerted(
    failing: Iterable[FailingNetwork], services: Iterable[VotesByNetwork], limits: Thresholds
) -> Collection[int]:
    """Select the networks that fail together, as several resolvers do by an order alone."""
    whole = [n for n in failing if n.count.share >= limits.confirm_share]
    if len(whole) < 2:
        return ()
    largest = max(whole, key=lambda network: network.count.hits)
    joint_us = int(limits.join_s * SECOND_US)
    joint = [n for n in whole if abs(n.since_us - largest.since_us) <= joint_us]
    inside = _sum_counts(n.count for n in joint)
    names = {n.asn for n in joint}
    rest = _count_mute(
        o for by_network in services for asn, own in by_network.items() if asn not in names
        for o in own
    )  # fmt: skip
    if inside.hits - largest.count.hits < limits.witnesses:
        return ()
    return names if _draw_chance(inside, rest) <= _LOTS_CHANCE else ()


def _draw_chance(inside: VoteCount, rest: VoteCount) -> float:
    """Return the chance that as many of all failures fall inside, by lots (hypergeometric)."""
    scale = min(1.0, _MOST_LOTS / (inside.votes + rest.votes))
    own_votes = round(scale * inside.votes)
    own_hits = round(scale * inside.hits)
    votes = own_votes + round(scale * rest.votes)
    hits = own_hits + round(scale * rest.hits)
    ways = sum(
        math.comb(own_votes, k) * math.comb(votes - own_votes, hits - k)
        for k in range(own_hits, min(own_votes, hits) + 1)
    )
    return ways / math.comb(votes, hits)


def _sum_counts(counts: Iterable[VoteCount]) -> VoteCount:
    total = VoteCount()
    for count in counts:
        total.add(count)
    return total


def _count_mute(votes: Iterable[ServiceVote]) -> VoteCount:
    """Count lines, and those of which most tests have no answer to a name."""
    return count_total((vote.witness, _has_no_answer(vote)) for vote in votes)


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
    services: Iterable[VotesByNetwork], network: FailingNetwork, limits: Thresholds
) -> bool:
    """Return whether the same services work in the rest of the country."""
    hits = (
        (o.witness, o.standing in FAILING_VALUES)
        for by_network in services
        for number, tests in by_network.items()
        for o in tests
        if number != network.asn and o.at_us >= network.since_us
    )
    count = count_total(hits)
    return count.votes >= limits.witnesses and count.share <= limits.clear_share
