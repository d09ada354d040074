"""Dead resolvers: vantages whose resolver answers no name at all, which say nothing of a service.

A resolver that many lines use fails for names at home and abroad, of whatever service. So a vantage
abstains while every test that it made since the first such failure ended so. One name that it
resolves meanwhile shows that others are withheld, and its votes count again. An answer that is no
address is no dead resolver: that is how names are refused. Nor does one firm's resolver serve a
whole country: where hardly anybody resolves a name, all votes count.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from heliograph.units import SECOND_US
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue

_METHODS = frozenset({"servfail", "timeout"})
_MIN_SERVICES = 3  # with no answer for any of their names; assumed
_MOST = 0.75  # of a country's vantages, that no resolver but a state's serves; assumed
_TESTED_US = 900 * SECOND_US  # in which each service was tested, as in known_votes.py; assumed


class TestedService(Protocol):
    """The newest votes on one service in one country. Implemented by CountryService."""

    country: str
    first_bad: dict[str, ServiceVote]

    def find_newest(self, pseudonym: str) -> ServiceVote | None: ...


def list_unresolving(
    by_service: Iterable[Mapping[str, Sequence[ServiceVote]]],
    services: Iterable[TestedService],
    now_us: int,
) -> Mapping[str, AbstractSet[str]]:
    """List by country the vantages whose resolver answers no name.

    Args:
        by_service: The fresh votes on each service, by country.
        services: Each service in each country.
        now_us: The end of the bin.
    """
    own: defaultdict[str, list[TestedService]] = defaultdict(list)
    for service in services:
        own[service.country].append(service)
    votes: defaultdict[str, list[ServiceVote]] = defaultdict(list)
    for by_country in by_service:
        for country, country_votes in by_country.items():
            votes[country] += country_votes
    return {
        country: _list_in_country(inside, own[country], now_us)
        for country, inside in votes.items()
        if any(map(_is_unanswered, inside))
    }


def _list_in_country(
    votes: Iterable[ServiceVote], services: Sequence[TestedService], now_us: int
) -> AbstractSet[str]:
    """List the vantages of one country that resolve nothing; none if nearly all do not."""
    people = {o.witness.nym for o in votes if o.witness.place.access != "hosting"}
    tests = {nym: _list_tests(nym, services, now_us) for nym in people}
    known = {nym: own for nym, own in tests.items() if len(own) >= _MIN_SERVICES}
    unresolving = {nym for nym, own in known.items() if all(map(_is_unanswered, own))}
    return unresolving if len(unresolving) < _MOST * len(known) else frozenset()


def select_resolving(
    by_country: Mapping[str, list[ServiceVote]], unresolving: Mapping[str, AbstractSet[str]]
) -> Mapping[str, list[ServiceVote]]:
    """Select the votes on a service by country without those of such vantages."""
    if not any(unresolving.values()):
        return by_country
    return {
        country: [o for o in votes if o.witness.nym not in unresolving.get(country, ())]
        for country, votes in by_country.items()
    }


def _list_tests(
    pseudonym: str, services: Sequence[TestedService], now_us: int
) -> list[ServiceVote]:
    """List the newest test of each service since the first that fails."""
    begun_us = [s.first_bad[pseudonym].at_us for s in services if pseudonym in s.first_bad]
    since_us = max([now_us - _TESTED_US, *([min(begun_us)] if begun_us else [])])
    return [o for o in _list_newest(pseudonym, services) if o.at_us >= since_us]


def _list_newest(pseudonym: str, services: Iterable[TestedService]) -> Iterator[ServiceVote]:
    for service in services:
        vote = service.find_newest(pseudonym)
        if vote is not None and vote.standing is not VoteValue.DOWN:
            yield vote


def _is_unanswered(vote: ServiceVote) -> bool:
    is_failing = vote.standing in FAILING_VALUES
    return is_failing and vote.layer == "dns" and vote.method in _METHODS
