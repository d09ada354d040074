"""Decide what the time of cuts adds to the habits of cells.

Theory of operation. The time of a confirmed cut enters no habit of its country, so that no night of
a curfew becomes what is usual. There are two exceptions.

*Lasting cuts.* One operator or region may be dark for weeks. Beside it people live as usual, and if
no habit of theirs were kept, nothing would be usual of the country after 14 days, and no fade of it
could be found. So after a day such a cut keeps only its own cells out of the habits, and what falls
then is another incident.

*Withdrawn cuts.* Where phones begin to be switched off each evening, as after an update of their
battery saver, their first such evening may be reported as a cut. In the morning their agents are
back and report nothing, so it is withdrawn. Without its time in the habit the next evening is as
unusual, and so are all that follow: each is reported. The shares of cells in a confirmed cut are
not measured, since it explains its silences. So its own share stands for them, from its
confirmation, when it had grown, until it was withdrawn. Other cells of its country were measured
meanwhile, and learn that.
"""

from collections.abc import Iterable, Mapping, Sequence

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.detect.level.cell_level import CellLevel
from heliograph_collector.detect.level.nights import STEP_US
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.thresholds import THRESHOLDS

# In "Destination Unreachable" (SIGCOMM 2023) nine tenths of the shutdowns lasted for 22 h at most.
_LASTING_US = DAY_US


def has_lasted(cut: OutageEpisode, now_us: int) -> bool:
    """Return whether a cut has stayed as it is for longer than nearly all last."""
    return now_us - max(cut.started.earliest_us, cut.grown_us) >= _LASTING_US


def find_cut_step(scope: Scope, cuts: Iterable[OutageEpisode], now_us: int) -> int | None:
    """Return the step since which cuts keep a cell's shares out of its habit; None without one."""
    steps = (
        cut.started.earliest_us // STEP_US
        for cut in cuts
        if not has_lasted(cut, now_us) or any(scope.is_within(part.scope) for part in cut.parts)
    )
    return min(steps, default=None)


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


def is_overlapped(scope: Scope, parts: Sequence[Scope]) -> bool:
    """Return whether one of these cells may share vantages with the scope."""
    own = (scope.region, scope.asn, scope.access)
    return any(
        all(not a or not b or a == b for a, b in zip(own, other, strict=True))
        for other in ((part.region, part.asn, part.access) for part in parts)
    )


def find_beginning(cell: CellLevel, cut: OutageEpisode) -> int:
    """Return the time since which silences in a cell belong to a cut that holds it.

    Of a cut that comes operator by operator the burst is the last step; the end is that of all.
    """
    if cell.fall is not None:
        return cell.fall.started.earliest_us
    before_us = int(max(THRESHOLDS.windows_s) * SECOND_US)
    return max(cell.well_us, cut.started.earliest_us - before_us)
