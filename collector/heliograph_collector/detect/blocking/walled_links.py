"""Walled links: vantages whose own network answers in the place of every service.

Theory of operation. A carrier that lets nobody through (no credit, a login) answers what it likes:
a test of whatever service fails by the carrier's page, or cannot tell at all, since nothing proves
the link. That is the state of the vantage, and no block of a service. In a block the link is proven
and tests of other services tell. So a vantage is walled when half of its tests cannot tell, of two
services at least that it reached in the last days, and while a quarter cannot; then its failures
say nothing either. Only where vantages of other networks of the country can tell: a state's wall is
of all networks, and tests that cannot tell everywhere are the fault of our controls.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.country_service import CountryService
from heliograph_collector.detect.blocking.editions import AgentEdition
from heliograph_collector.model.signals import ServiceVote, VoteValue
from heliograph_collector.model.thresholds import THRESHOLDS

# Assumed, all of them:
_RECENT_TESTS = 6.0  # after so many more, an earlier one counts half
_BEFORE = 1.0  # tests with a result, before the first without
_SHARE = 0.5  # of tests without a result, on a walled link …
_OPEN_SHARE = 0.25  # … and of one that is open again: chance alone makes the half less
_LEAST = 0.05  # weight of a test without a result, too old to count
_SERVICES = 2
_KNOWN_US = 1_800 * SECOND_US  # an older test shows nothing about a link
_OWN_SHARE = 0.8  # of the walled links of a country, in one network


@dataclass(slots=True)
class LinkTests:
    """Weights of a vantage's latest tests without and with a result."""

    country: str
    asn: int
    mute: float = 0.0
    told: float = _BEFORE
    services: list[str] = field(default_factory=list)  # whose state is unknown
    at_us: int = 0  # of the latest test
    is_walled: bool = False

    def add(self, vote: ServiceVote) -> None:
        """Add a test, in order of time."""
        left = 0.5 ** (1 / _RECENT_TESTS)
        is_mute = vote.standing is VoteValue.UNKNOWN
        self.mute = self.mute * left + is_mute
        self.told = self.told * left + (not is_mute)
        self.at_us = max(self.at_us, vote.at_us)
        if is_mute and vote.service not in self.services:
            self.services.append(vote.service)
        share = self.mute / (self.mute + self.told)
        has_enough = share >= _SHARE and len(self.services) >= _SERVICES
        self.is_walled = share >= _OPEN_SHARE and (self.is_walled or has_enough)


@dataclass(slots=True)
class WalledLinks:
    """Links of vantages with a test that had no result, by pseudonym."""

    links: dict[str, LinkTests] = field(default_factory=dict)

    def record(
        self, votes: Iterable[ServiceVote], services: Mapping[str, Mapping[str, CountryService]]
    ) -> None:
        """Record new votes, in order of time.

        Args:
            votes: The votes.
            services: What is known of each service and country; who never reached a service cannot
                tell of it for another reason.
        """
        for vote in votes:
            witness = vote.witness
            country = services.get(vote.service, {}).get(witness.place.country)
            has_worked = country is not None and witness.nym in country.last_good
            if vote.standing is VoteValue.UNKNOWN and not has_worked:
                continue
            link = self.links.get(witness.nym)
            network = (witness.place.country, witness.place.asn)
            if link is not None and (link.country, link.asn) != network:
                link = None  # another network has other walls
                del self.links[witness.nym]
            if link is None and vote.standing is VoteValue.UNKNOWN:
                link = self.links[witness.nym] = LinkTests(*network)
            if link is not None:
                link.add(vote)

    def forget(self, before_us: int) -> None:
        """Drop vantages without a test since a time, and those whose tests have results."""
        self.links = {
            name: link
            for name, link in self.links.items()
            if link.at_us >= before_us and link.mute >= _LEAST
        }

    def list_walled(self, vantages: Iterable[AgentEdition], now_us: int) -> AbstractSet[str]:
        """List walled vantages if most are in one network, and others get results.

        Args:
            vantages: All vantages that have tested.
            now_us: The present time.
        """
        since_us = now_us - _KNOWN_US
        walled = {n: k for n, k in self.links.items() if k.is_walled and k.at_us >= since_us}
        if not walled:
            return frozenset()
        by_country = Counter(link.country for link in walled.values())
        by_network = Counter((link.country, link.asn) for link in walled.values())
        tested = [e.vantage for e in vantages if e.tested_us >= since_us]
        able = [v.place for v in tested if v.place.country in by_country and v.nym not in walled]
        able_here = Counter(location.country for location in able)
        able_near = Counter((location.country, location.asn) for location in able)
        return frozenset(
            name
            for name, (country, asn) in ((n, (k.country, k.asn)) for n, k in walled.items())
            if by_network[country, asn] >= _OWN_SHARE * by_country[country]
            and able_here[country] - able_near[country, asn] >= THRESHOLDS.witnesses
        )


def drop_walled(
    country: CountryService, votes: Sequence[ServiceVote], walled: AbstractSet[str]
) -> list[ServiceVote]:
    """Drop the votes of walled vantages of a country, and their earlier failures.

    That hosts abroad do not answer is so whatever stands between.
    """
    if not walled or any(vote.standing is VoteValue.ISOLATED for vote in votes):
        return [*votes]
    for name in walled:
        country.first_bad.pop(name, None)
        country.known.newest.pop(name, None)
    return [vote for vote in votes if vote.witness.nym not in walled]
