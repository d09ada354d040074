"""Cells that stood out for long enough to be confirmed."""

from collections import Counter
from collections.abc import Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.stats.tails import measure_spread
from heliograph_collector.detect.stats.voting import is_established
from heliograph_collector.model.scope import AffectedCell
from heliograph_collector.model.signals import FAILING_VALUES, ServiceVote
from heliograph_collector.model.thresholds import Thresholds


def find_steady(
    recent_cells: Sequence[Sequence[AffectedCell]],
    votes: Sequence[ServiceVote],
    now_us: int,
    limits: Thresholds,
) -> tuple[AffectedCell, ...]:
    """Return the cells that stood out for long enough.

    Either they did in `hold_bins` of the last three bins. Or they do now, and most of the failures
    there are spread over `hold_span_s`: where tests are rare, the same votes would only be counted
    once more in the next bin.

    Args:
        recent_cells: The cells that stood out in each of the last bins.
        votes: The fresh votes of the country.
        now_us: The end of the bin.
        limits: The thresholds.
    """
    latest_cells = {cell.scope: cell for cells in recent_cells for cell in cells}
    occurrences = Counter(cell.scope for cells in recent_cells for cell in cells)
    present = recent_cells[-1]
    spread = {cell.scope for cell in present if _is_spread(cell, votes, now_us, limits)}
    return tuple(
        cell
        for scope, cell in latest_cells.items()
        if occurrences[scope] >= limits.hold_bins or scope in spread
    )


def _is_spread(
    cell: AffectedCell, votes: Sequence[ServiceVote], now_us: int, limits: Thresholds
) -> bool:
    """Return whether the middle failures of a cell are `hold_span_s` apart.

    The outer fifths are left out: one line that fails for hours spreads nothing.
    """
    times_us = [
        o.at_us
        for o in votes
        if o.standing in FAILING_VALUES
        and cell.scope.includes(o.witness.place)
        and is_established(o.witness, now_us, limits)
    ]
    return measure_spread(times_us, 0.2) >= limits.hold_span_s * SECOND_US
