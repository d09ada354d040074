"""Keep the newest vote of every vantage, to test whether most of a cell fails.

Theory of operation. Fresh votes are a sample where tests are rarer than votes are fresh, and half
of a country is most of a sample by chance, again and again: a block that reached one vantage after
another was national at 20 of 38. So a cell is named only if most of all its vantages fail. A vote
from before the block shows nothing of it: where most fail since one moment, vantages without a test
since then are unknown, and do not delay the naming of the cell. Where vantage after vantage begins
to fail, those that worked since the middle one began do contradict. Controls that fail in the same
minutes contradict too: a site of a network that delivers for others may fail for a few countries,
and most failures there are `down`, while tests whose control met another site are not.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from heliograph.units import SECOND_US
from heliograph_collector.detect.stats.breadth import fails_beyond_one
from heliograph_collector.detect.stats.localization import attach_persons
from heliograph_collector.detect.stats.tails import quantile
from heliograph_collector.detect.stats.voting import (
    VoteCount,
    count_total,
    count_votes,
    is_established,
    sum_votes,
)
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote, VoteValue
from heliograph_collector.model.thresholds import Thresholds

_KNOWN_S = 1_800.0  # an older vote shows nothing about a vantage; assumed
_DOWN_SHARE = 0.5  # of the fresh failures, that controls share; assumed
# In which each vantage has tested, by the default plan (480 s) or nearly; assumed.
_TESTED_S = 900.0


@dataclass(slots=True)
class KnownVotes:
    """The newest vote of each vantage of a country on one service, by pseudonym."""

    newest: dict[str, ServiceVote] = field(default_factory=dict)
    failing_us: int = 0  # since when most of the country's fresh votes fail; 0: they do not
    working_bins: int = 0  # in a row, in which most work

    def record(self, votes: Iterable[ServiceVote]) -> None:
        """Record fresh votes."""
        self.newest.update((vote.witness.nym, vote) for vote in votes)

    def note_share(self, count: VoteCount, now_us: int, limits: Thresholds) -> None:
        """Note whether most of the country's fresh established votes fail in a bin.

        Where most fail by chance, few do in a bin now and then, which is no end.
        """
        if count.votes < limits.witnesses:
            return
        is_working = count.share <= 1 - limits.confirm_share
        self.working_bins = self.working_bins + 1 if is_working else 0
        if count.share >= limits.confirm_share:
            self.failing_us = self.failing_us or now_us
        elif self.working_bins >= limits.clear_bins:
            self.failing_us = 0

    def forget(self, before_us: int) -> None:
        self.newest = {n: vote for n, vote in self.newest.items() if vote.at_us >= before_us}

    def mostly_fail(
        self, scope: Scope, first_bad: Mapping[str, ServiceVote], now_us: int, limits: Thresholds
    ) -> bool:
        """Return whether most of a cell's vantages that were tested since the onset fail.

        Args:
            scope: The cell.
            first_bad: The first failure of each vantage that fails.
            now_us: The end of the bin.
            limits: The thresholds.
        """
        if self._is_mostly_down(scope, now_us, limits):
            return False
        inside = self._select(scope, now_us, limits)
        begun_us = [first_bad[o.witness.nym].at_us for o in inside if o.witness.nym in first_bad]
        if not begun_us:
            return True
        since_us = quantile(begun_us, 0.5)
        hits = [
            (o.witness, o.standing in FAILING_VALUES)
            for o in inside
            if o.standing in FAILING_VALUES or o.at_us >= since_us
        ]
        return count_total(hits).share >= limits.confirm_share

    def ask_once(
        self, first_bad: Mapping[str, ServiceVote], now_us: int, limits: Thresholds
    ) -> Callable[[Scope], bool]:
        """Return `mostly_fail` of one bin, which counts the vantages of each cell once."""
        return cache(lambda scope: self.mostly_fail(scope, first_bad, now_us, limits))

    def _is_mostly_down(self, scope: Scope, now_us: int, limits: Thresholds) -> bool:
        """Return whether most fresh failures in a cell failed at their controls too.

        Then the service fails, or a part of it that serves this place, and controls see the rest.
        """
        since_us = now_us - int(limits.fresh_s * SECOND_US)
        hits = (
            (o.witness, o.standing is VoteValue.DOWN)
            for o in self.newest.values()
            if o.at_us >= since_us
            and (o.standing is VoteValue.DOWN or o.standing in FAILING_VALUES)
            and scope.includes(o.witness.place)
            and is_established(o.witness, now_us, limits)
        )
        return count_total(hits).share > _DOWN_SHARE

    def count_share(self, cells: Iterable[AffectedCell], now_us: int, limits: Thresholds) -> float:
        """Return the failing share of the cells' vantages, by the newest vote of each."""
        votes = {o.witness.nym: o for c in cells for o in self._select(c.scope, now_us, limits)}
        hits = ((o.witness, o.standing in FAILING_VALUES) for o in votes.values())
        return count_total(hits).share

    def select_failing(
        self,
        cells: Iterable[AffectedCell],
        doubted: Container[str],
        now_us: int,
        limits: Thresholds,
    ) -> tuple[AffectedCell, ...]:
        """Select suspected cells where enough fail, though too few of the votes are fresh.

        Args:
            cells: The suspected cells.
            doubted: Vantages whose failures may have another cause.
            now_us: The end of the bin.
            limits: The thresholds.
        """
        since_us = now_us - int(_TESTED_S * SECOND_US)
        failing: list[AffectedCell] = []
        for cell in cells:
            votes = [o for o in self._select(cell.scope, now_us, limits) if o.at_us >= since_us]
            hits = [(o.witness, o.standing in FAILING_VALUES) for o in votes]
            by_place = count_votes((w, hit) for w, hit in hits if w.nym not in doubted)
            count = sum_votes(by_place)
            is_enough = count.votes >= limits.votes and count.share >= limits.confirm_share
            if is_enough and fails_beyond_one(by_place):
                counted = replace(cell, votes=count.votes, share=count.share, lines=count.lines)
                failing += attach_persons((counted,), by_place)
        return tuple(failing)

    def _select(self, scope: Scope, now_us: int, limits: Thresholds) -> Sequence[ServiceVote]:
        since_us = now_us - int(max(_KNOWN_S, limits.fresh_s) * SECOND_US)
        return [
            o
            for o in self.newest.values()
            if o.at_us >= since_us
            and o.standing is not VoteValue.DOWN
            and scope.includes(o.witness.place)
            and is_established(o.witness, now_us, limits)
        ]
