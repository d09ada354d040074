"""Compare a service's failures in one country with the rest of the world.

Theory of operation. A service that fails in half of the other countries is down, and its failures
here are no block. But a block that stands elsewhere says nothing of failures that began here long
after it: the service worked here meanwhile, so it is up. Where most countries of a collector block
a service, for months or since they are tested, the next would never be confirmed. So the votes of
countries in which most fail, and those from inside confirmed blocks of parts of others, are left
out, if the country worked for `join_s` after these had begun: most vantages that fail now reached
the service since then, and most of the country did. A fault that spreads takes less: within that
time blocks of many countries are withdrawn as one fault (`other_countries.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median_low

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.country_service import CountryService
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.other_countries import CountryVotes, OtherCountries
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    are_established,
    count_total,
    is_established,
    sum_votes,
)
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import Thresholds

VotesByCountry = Mapping[str, Sequence[ServiceVote]]


@dataclass(slots=True)
class WorldCounts:
    """Votes of all countries on one service, counted to compare one country."""

    votes: VotesByCountry
    by_country: Mapping[str, VoteCount]
    established: Mapping[str, VoteCount]

    def replace(self, other: "WorldCounts") -> "WorldCounts":
        """Return these counts with those of some countries in place of theirs."""
        return WorldCounts(
            {**self.votes, **other.votes},
            {**self.by_country, **other.by_country},
            {**self.established, **other.established},
        )

    def sum_others(self, home: str, limits: Thresholds) -> VoteCount:
        """Return the sum of the other countries.

        Young vantages count only if the established ones are too few for a comparison.
        """
        established = _sum_others(self.established, home)
        if established.votes >= limits.witnesses:
            return established
        return _sum_others(self.by_country, home)


@dataclass(frozen=True)
class WorldComparison:
    """The votes of one bin on one service, by country."""

    countries: Mapping[str, CountryService]
    votes: VotesByCountry
    now_us: int
    limits: Thresholds

    def note_failing(self) -> None:
        """Record since when most fail in each country, before any is compared."""
        for name, count in self._all.established.items():
            self.countries[name].known.note_share(count, self.now_us, self.limits)

    def select_counts(self, home: str) -> WorldCounts:
        """Count the votes that are comparable with the failures of one country."""
        latest_us = self._find_last_worked(home) - int(self.limits.join_s * SECOND_US)
        others = [(n, s) for n, s in self.countries.items() if n != home and n in self.votes]
        rest: dict[str, Sequence[ServiceVote]] = {}
        for name, service in others if latest_us > 0 else ():
            blocks = [b for b in service.confirmed if b.started.latest_us <= latest_us]
            if 0 < service.known.failing_us <= latest_us:
                rest[name] = ()
            elif blocks:
                rest[name] = self._drop(name, blocks)
        return self._all.replace(self._count(rest)) if rest else self._all

    def list_others(self, home: str, counts: WorldCounts) -> OtherCountries:
        """Return the other countries' votes of a count."""
        votes = {
            name: CountryVotes(country_votes, self.countries[name].first_bad)
            for name, country_votes in counts.votes.items()
        }
        return OtherCountries(home, votes, self.now_us, self.limits)

    @cached_property
    def _all(self) -> WorldCounts:
        return self._count(self.votes)

    def _count(self, votes: VotesByCountry) -> WorldCounts:
        every = {name: _count_hits(v) for name, v in votes.items()}
        settled = {
            name
            for name, v in votes.items()
            if are_established((o.witness for o in v), self.now_us, self.limits)
        }
        established = {
            name: every[name] if name in settled else _count_hits(filter(self._is_established, v))
            for name, v in votes.items()
        }
        return WorldCounts(votes, every, established)

    def _find_last_worked(self, home: str) -> int:
        """Return when a country and most of its failing vantages last worked; 0: unknown."""
        own = self.countries[home]
        worked_us = [
            own.last_good.get(vote.witness.nym, 0)
            for vote in self.votes.get(home, ())
            if vote.standing in FAILING_VALUES and self._is_established(vote)
        ]
        if len(worked_us) < self.limits.witnesses:
            return 0
        return min(median_low(worked_us), own.known.failing_us or self.now_us)

    def _drop(self, country: str, blocks: Sequence[BlockingEpisode]) -> Sequence[ServiceVote]:
        votes = self.votes.get(country, ())
        return [v for v in votes if not any(b.holds(v.witness.place) for b in blocks)]

    def _is_established(self, vote: ServiceVote) -> bool:
        return is_established(vote.witness, self.now_us, self.limits)


def _count_hits(votes: Iterable[ServiceVote]) -> VoteCount:
    return count_total((v.witness, v.standing is not VoteValue.GOOD) for v in votes)


def _sum_others(counts: Mapping[str, VoteCount], country: str) -> VoteCount:
    return sum_votes(counts).without(counts.get(country, VoteCount()))
