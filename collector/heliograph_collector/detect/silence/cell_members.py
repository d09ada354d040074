"""List the members of cells, and count their silent votes."""

from collections.abc import Iterable, Sequence
from functools import cache

from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_silent
from heliograph_collector.detect.stats.localization import attach_persons, hit_networks
from heliograph_collector.detect.stats.voting import sum_votes
from heliograph_collector.model.line_names import count_lines
from heliograph_collector.model.scope import AffectedCell, Scope, is_in_cells
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


def build_part(scope: Scope, vantages: Sequence[VantagePresence]) -> AffectedCell:
    """Build an affected cell from its established vantages and their silent votes."""
    votes_by_place = count_silent(vantages)
    votes = sum_votes(votes_by_place)
    networks = len(hit_networks(votes_by_place))
    lines = count_lines(vantage.witness.prefix for vantage in vantages)
    cell = AffectedCell(scope, votes.votes, round(votes.share, 3), networks, lines=lines)
    return attach_persons((cell,), count_silent(vantages, nat_votes=1))[0]
