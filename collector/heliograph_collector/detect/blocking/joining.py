"""Suspicions of a block that turn out to be one block of a service in a country.

Providers obey an order by turns, over hours. The first ones may be too few to confirm anything, so
each is suspected by itself. Once they suffice together, all of these suspicions stand for the same
cells: they are one block, which began with the first. A suspicion inside a standing block is a part
of that block. A wider block is one that grew, if it did so within `resume_s`; later it is another
incident, since growth raises no alert.
"""

from collections.abc import Iterable, Sequence

from heliograph.units import SECOND_US
from heliograph_collector.detect.blocking.episode import BlockingEpisode
from heliograph_collector.detect.blocking.lifting import is_lifted
from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import AffectedCell


def find_standing(
    episodes: Iterable[BlockingEpisode],
    own: BlockingEpisode,
    cells: Sequence[AffectedCell],
    now_us: int,
) -> BlockingEpisode | None:
    """Return the confirmed block that includes a suspected one; None if no block does.

    Args:
        episodes: Those of the same service and country.
        own: The suspected one.
        cells: The cells for which it would be confirmed.
        now_us: The end of the bin.
    """
    since_us = now_us - int(own.limits.resume_s * SECOND_US)
    return next(
        (
            other
            for other in episodes
            if other is not own
            and other.is_open
            and other.confirmed_us is not None
            and other.kind is not IncidentKind.PARTIAL  # a whole block in it is another finding
            and (other.contains(cells) or _has_grown(other, cells, since_us))
        ),
        None,
    )


def join_block(
    standing: BlockingEpisode,
    own: BlockingEpisode,
    cells: tuple[AffectedCell, ...],
    now_us: int,
) -> None:
    """Make a suspected block a phase of a standing one; keep the earlier onset."""
    if not standing.contains(cells) or _covers_lifted(standing, cells):
        standing.grow(cells, cells, own.started, now_us)
    if own.started.latest_us < standing.started.latest_us:
        standing.started = own.started
        standing.suspected_us = min(standing.suspected_us, own.suspected_us)


def _has_grown(other: BlockingEpisode, cells: Sequence[AffectedCell], since_us: int) -> bool:
    """Return whether a block that changed since a time lies within these cells."""
    is_inside = all(any(p.scope.is_within(c.scope) for c in cells) for p in other.parts)
    return is_inside and other.changed_us >= since_us


def _covers_lifted(standing: BlockingEpisode, cells: Sequence[AffectedCell]) -> bool:
    """Return whether a part in which the block was lifted lies within these cells."""
    return any(
        is_lifted(standing.turns, part.scope)
        and any(part.scope.is_within(cell.scope) for cell in cells)
        for turn in standing.turns
        for part in turn.parts
    )
