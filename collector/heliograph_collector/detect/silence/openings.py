"""Openings of an outage: what came back, less what another outage keeps dark."""

from collections.abc import Iterable
from dataclasses import replace

from heliograph_collector.detect.silence.presence_tracker import (
    PresenceTracker,
    VantagePresence,
    count_silent,
    select_established,
)
from heliograph_collector.detect.stats.voting import sum_votes
from heliograph_collector.model.scope import AffectedCell, Scope


def exclude_dark_cells(
    cell: AffectedCell,
    other_cells: Iterable[AffectedCell],
    presence: PresenceTracker,
    now_us: int,
) -> AffectedCell:
    """Exclude cells of other outages that are still dark, because they have no vote here."""
    limits = presence.limits
    excluded = set(cell.beyond)
    for other_cell in other_cells:
        scope = cell.scope.intersect(other_cell.scope)
        if scope is None or scope == cell.scope:
            continue  # the cell's own votes show its return
        voters = _voters_in(presence, scope)
        deciding, _ = select_established(voters, now_us, limits, limits.witnesses)
        silent_count = sum_votes(count_silent(deciding))
        if silent_count.votes >= limits.votes and silent_count.share >= limits.confirm_share:
            excluded.add(scope)
    return replace(cell, beyond=tuple(sorted(excluded)))


def _voters_in(presence: PresenceTracker, scope: Scope) -> list[VantagePresence]:
    return [
        s
        for s in presence.list_country(scope.country)
        if (s.is_live or s.is_silent)
        and scope.includes(s.place)
        and (scope.access == "hosting" or s.place.access != "hosting")
    ]
