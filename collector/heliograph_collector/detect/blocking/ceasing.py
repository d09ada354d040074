"""Find the networks in which a service that failed a share of the time works again.

Theory of operation. What fails a share of the time is lifted operator by operator, as it was
ordered. The latest tests of a vantage show that it flapped for up to an hour after it works again,
and while one operator after another works, no minute looks like an end. So each network is asked by
itself: the newest tests of its vantages, as many of each, are weighed as those of a service that
works against those of one that fails as often as it did here. Where chance leaves so few failures
once in 100,000, the network is left out of what flaps. One new failure outweighs several
successes, so that a network comes back at once.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from heliograph_collector.model.signals import ServiceVote

CEASED_CHANCE = 1e-5  # of 20 tests that fail by halves, not one; assumed
_WORKS = 0.04  # failing rate of a service that works, as the prior has it
_LEAST = 0.1  # failing share from which tests can tell that it ceased; assumed


class VantageTests(Protocol):
    """Latest tests of a vantage. Implemented by RecentTests."""

    @property
    def bits(self) -> int:
        """Return the tests, the newest in the lowest bit; 1 is a failure."""
        ...

    @property
    def count(self) -> int:
        """Return how many tests there are."""
        ...


def drop_ceased(
    votes: Iterable[ServiceVote], tests: Mapping[str, VantageTests]
) -> list[ServiceVote]:
    """Drop the votes of networks that work again.

    Args:
        votes: The votes of a cell in which a service fails a share of the time.
        tests: The latest tests of the vantages that failed, by pseudonym.
    """
    by_network: defaultdict[int, list[ServiceVote]] = defaultdict(list)
    for vote in votes:
        by_network[vote.witness.place.asn].append(vote)
    own = {
        asn: [tests[o.witness.nym] for o in inside if o.witness.nym in tests]
        for asn, inside in by_network.items()
    }
    share = _find_share([recent for network in own.values() for recent in network])
    return [
        vote for asn, inside in by_network.items() for vote in inside
        if not _has_ceased(own[asn], share)
    ]  # fmt: skip


def _find_share(tests: Iterable[VantageTests]) -> float:
    """Return which share failed while it failed: of the tests before the last failure of each."""
    failed = total = 0
    for recent in tests:
        earlier = recent.bits >> (_count_successes(recent) + 1)
        failed += earlier.bit_count()
        total += max(0, recent.count - _count_successes(recent) - 1)
    return failed / total if total else 0.0


def _count_successes(recent: VantageTests) -> int:
    """Return how many of the newest tests passed; `bits` is never 0."""
    return (recent.bits & -recent.bits).bit_length() - 1


def _has_ceased(tests: Sequence[VantageTests], share: float) -> bool:
    """Return whether the newest tests of a network show that the service works again."""
    if share < _LEAST or not tests:
        return False
    share = min(share, 1.0 - _WORKS)
    success = math.log((1.0 - _WORKS) / (1.0 - share))
    failure = math.log(_WORKS / share)
    most = max(recent.count for recent in tests)
    needed = -math.log(CEASED_CHANCE) + math.log(most)  # as many moments may be that of the end
    return any(_weigh(tests, length, success, failure) >= needed for length in range(1, most + 1))


def _weigh(tests: Iterable[VantageTests], length: int, success: float, failure: float) -> float:
    """Return the evidence of so many newest tests of each vantage, in nats."""
    nats = 0.0
    for recent in tests:
        taken = min(length, recent.count)
        failed = (recent.bits & ((1 << taken) - 1)).bit_count()
        nats += failed * failure + (taken - failed) * success
    return nats
