"""Decide whether a bin's votes show the end of a block.

Theory of operation. Few votes are fresh where tests are rare, and by chance few of these fail in
some minutes of a block. And where most services are slowed, the median one is no measure of what
fails anyway. So while about as many vantages fail, by what each said last, as when the block was
told, it is clear only where nearly all other services fail as much.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from heliograph_collector.detect.blocking.known_votes import KnownVotes
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import Thresholds

_STAYS = 0.5  # of the share at a block's confirmation: so much is no fall; assumed


class OtherFailures(Protocol):
    """Failing rates of other services in a country. Implemented by OtherServices."""

    def clearing_rate(self, scope: Scope, *, has_stayed: bool) -> float:
        """Return the failing rate in a cell that is no block any more."""
        ...


@dataclass(frozen=True, slots=True)
class Clearing:
    """Comparison data for the votes on one block in one bin."""

    votes: KnownVotes
    others: OtherFailures
    now_us: int
    limits: Thresholds

    def is_clear(self, cells: Collection[AffectedCell], share: float) -> bool:
        """Return whether so few fail as without a block.

        Args:
            cells: The cells of the confirmed block.
            share: The failing share of the fresh votes in them.
        """
        known_share = self.votes.count_share(cells, self.now_us, self.limits)
        has_stayed = known_share >= _STAYS * max(cell.share for cell in cells)
        rate = max(self.others.clearing_rate(cell.scope, has_stayed=has_stayed) for cell in cells)
        failing = max(share, known_share) if has_stayed else share
        return failing <= rate + (1 - rate) * self.limits.clear_share
