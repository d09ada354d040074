"""Learn as a habit the darkness of a cut that was withdrawn, because its agents had stopped.

Theory of operation. The time of a confirmed cut enters no habit. Where phones begin to be switched
off each evening, as after an update of their battery saver, their first such evening may be told as
a cut. In the morning their agents are back and tell nothing, so it is withdrawn. Without its time
in the habit the next evening is as unusual, and is told too, and so are all that follow.

The shares of cells in a confirmed cut are not measured, since it explains its silences. So its own
share stands for them, from its confirmation, when it had grown, until it was withdrawn. Other cells
of its country were measured meanwhile, and learn that.
"""

from collections.abc import Iterable, Mapping

from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope


def learn_withdrawn_nights(
    cells: Mapping[Scope, CellLevel], outages: Iterable[OutageEpisode]
) -> None:
    """Enter the time of withdrawn cuts into the habits of their country.

    Args:
        cells: The levels of a country, at least; what is known of a time already stays.
        outages: Those that were withdrawn since the last call, among others.
    """
    for outage in outages:
        since_us, until_us = outage.confirmed_us, outage.closed_us
        if since_us is None or until_us is None or not _had_stopped(outage):
            continue
        for scope, cell in cells.items():
            if scope.country == outage.country:
                cell.learn(since_us, until_us, _find_share(scope, outage))


def _find_share(scope: Scope, outage: OutageEpisode) -> float | None:
    """Return the share that an outage left of a cell inside it; None of other cells."""
    silent = [part.share for part in outage.parts if scope.is_within(part.scope)]
    return 1.0 - max(silent) if silent else None


def _had_stopped(outage: OutageEpisode) -> bool:
    return outage.state is IncidentState.WITHDRAWN and outage.evidence.has_stopped(outage.limits)
