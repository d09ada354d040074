"""Members of cells: which vantages lie in one of several cells, and which of these are silent."""

from collections.abc import Iterable, Sequence
from functools import cache

from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.model.scope import AffectedCell, is_in_cells
from heliograph_collector.model.signals import VantageLocation


def select_inside(
    cells: Sequence[AffectedCell], vantages: Iterable[VantagePresence]
) -> list[VantagePresence]:
    """Select the vantages in one of these cells, in their order."""

    @cache  # many vantages share few places
    def is_inside(location: VantageLocation) -> bool:
        return is_in_cells(location, cells)

    return [vantage for vantage in vantages if is_inside(vantage.place)]


def select_silent(
    cells: Sequence[AffectedCell], vantages: Iterable[VantagePresence]
) -> list[VantagePresence]:
    """Select the silent vantages in one of these cells, in their order."""
    return select_inside(cells, (vantage for vantage in vantages if vantage.is_silent))
