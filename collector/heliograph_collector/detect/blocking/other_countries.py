"""Votes of other countries on a service: whether they fail alike at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.flapping import MIN_EXCESS
from heliograph_collector.detect.stats.localization import count_by_cell
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    count_total,
    count_votes,
    is_established,
)
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import (
    FAILING_VALUES,
    ServiceVote,
    VantageRef,
    VoteValue,
)
from heliograph_collector.model.thresholds import Thresholds

_MIN_VOTES = 2  # of a cell that fails elsewhere; assumed
_MOST_COUNTRIES = 0.75  # all but one of four …; assumed
_MIN_COUNTRIES = 3  # … and three at least; assumed
_MEDIAN_COUNTRIES = 3  # whose median shows more than their sum; assumed
_LEAST_SHARE = 0.1  # of a country that fails in part, above what fails by chance; assumed


@dataclass(frozen=True, slots=True)
class CountryVotes:
    """Fresh votes on one service in one country, and each vantage's first failure."""

    votes: Sequence[ServiceVote]
    first_bad: Mapping[str, ServiceVote]


@dataclass(frozen=True, slots=True)
class OtherCountries:
    """Votes of one bin in all countries but `home`."""

    home: str
    votes_by_country: Mapping[str, CountryVotes]
    now_us: int
    limits: Thresholds

    def fail_with(self, episode: BlockingEpisode) -> bool:
        """Return whether several of these countries failed alike at the same time.

        Two neighbors may block by one order, but a third in the same minutes means that the service
        itself fails. With many countries more must fail, so that their noise is not enough. A
        failure that begins in most countries in the same minutes is no order of one of them, even
        if it reaches few vantages there: old phones that lose a root are many in one country, and
        few in others.
        """
        hits = [
            self._list_alike(episode, country)
            for name, country in self.votes_by_country.items()
            if name != self.home
        ]
        limits = self.limits
        whole = sum(self._fails_in_a_cell(episode, country) for country in hits)
        if whole >= max(limits.elsewhere, limits.elsewhere_share * len(hits)):
            return True
        counts = [count_total(country) for country in hits]
        known = [count for count in counts if count.votes >= limits.witnesses]
        partly = [c for c in known if c.hits >= _MIN_VOTES and c.share >= _LEAST_SHARE]
        return len(partly) >= max(_MIN_COUNTRIES, _MOST_COUNTRIES * len(known))

    def mostly_fail_like(self, episode: BlockingEpisode) -> bool:
        """Return whether nearly all countries fail in the same way, at any time."""
        cause = (episode.layer, episode.method)
        limits = self.limits
        shares = []
        for name, country in self.votes_by_country.items():
            hits = (
                (o.witness, o.standing in FAILING_VALUES and (o.layer, o.method) == cause)
                for o in country.votes
                if o.standing is not VoteValue.DOWN
                and is_established(o.witness, self.now_us, limits)
            )
            count = count_total(hits)
            if name != self.home and count.votes >= limits.witnesses:
                shares.append(count.share)
        failing = [share for share in shares if share >= limits.confirm_share]
        return len(failing) >= max(_MIN_COUNTRIES, _MOST_COUNTRIES * len(shares))

    def list_votes(self) -> list[ServiceVote]:
        """Return the votes of these countries."""
        others = (country for name, country in self.votes_by_country.items() if name != self.home)
        return [vote for country in others for vote in country.votes]

    def select_worse(self, cells: Mapping[AffectedCell, float]) -> Mapping[AffectedCell, float]:
        """Select the cells that fail more of the time than these countries do now.

        The failing rate has a prior, which hides what fails in few other countries as well.
        """
        if not cells:
            return cells
        hits = (
            (vote.witness, vote.standing in FAILING_VALUES)
            for name, country in self.votes_by_country.items()
            for vote in country.votes
            if name != self.home and is_established(vote.witness, self.now_us, self.limits)
        )
        least = count_total(hits).share + MIN_EXCESS
        return {cell: share for cell, share in cells.items() if share >= least}

    def _list_alike(
        self, episode: BlockingEpisode, country: CountryVotes
    ) -> list[tuple[VantageRef, bool]]:
        """List a country's established vantages, and whether each fails alike.

        For some a part of a delivery network works now and then, so that where it began alike it
        is alike for as long as it fails.
        """
        has_begun_alike = episode.is_doubted(self.now_us)
        apart_us = int(self.limits.fresh_s * SECOND_US)
        since_us = episode.started.earliest_us - apart_us
        until_us = episode.started.latest_us + apart_us

        def is_alike(vote: ServiceVote) -> bool:
            first_failure = country.first_bad.get(vote.witness.nym)
            return (
                vote.standing in FAILING_VALUES
                and (vote.layer, vote.method) == (episode.layer, episode.method)
                and first_failure is not None
                and (has_begun_alike or since_us <= first_failure.at_us <= until_us)
            )

        return [
            (o.witness, is_alike(o))
            for o in country.votes
            if o.standing is not VoteValue.DOWN
            and is_established(o.witness, self.now_us, self.limits)
        ]

    def _fails_in_a_cell(
        self, episode: BlockingEpisode, hits: Sequence[tuple[VantageRef, bool]]
    ) -> bool:
        """Return whether a cell of the country failed alike.

        A part of a delivery network fails for some in each country, so where it is two thirds here
        fewer are enough there. Cells of several dimensions do not count, because they are too many
        for so few votes. As in a confirmation, a third of a cell that colludes changes nothing, and
        young vantages do not count.
        """
        least_share = self.limits.confirm_share * max(part.share for part in episode.parts)
        if sum(failing for _, failing in hits) < _MIN_VOTES:
            return False
        return any(
            scope.named_fields <= 1
            and vote_count.hits >= _MIN_VOTES
            and vote_count.share >= least_share
            for scope, vote_count in count_by_cell(count_votes(hits)).items()
        )


def is_down(
    world: VoteCount, counts: Mapping[str, VoteCount], country: str, limits: Thresholds
) -> bool:
    """Return whether a service fails in the rest of the world.

    Half of the votes may be those of one large country that blocks it: where three have enough
    votes, the median country fails too.
    """
    if world.votes < limits.witnesses or world.share < limits.world_down:
        return False
    others = [count for name, count in counts.items() if name != country]
    shares = [count.share for count in others if count.votes >= limits.witnesses]
    return len(shares) < _MEDIAN_COUNTRIES or median(shares) >= limits.world_down


def failing_rate(world: VoteCount, limits: Thresholds) -> float:
    """Return the failing rate of the other countries, under a beta prior."""
    bad = limits.prior_bad
    good = limits.prior_good
    return (bad + world.hits) / (bad + good + world.votes)
