"""Cells that a cut spared at first, and that fall silent while it lasts.

Six tenths of its votes make a country cut, and what lives in it is named beside it. What
of that falls later lies in the cut by name, so by itself it would be no news: the pages would name
lines as spared that are dark. It is a phase of the cut, and spared no longer. A block of our
address and a power failure explain nothing of what they spared, and take no such phase: it is
news by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from heliograph_collector.detect.silence import confounders
from heliograph_collector.detect.silence.cell_members import build_part, select_silent
from heliograph_collector.detect.silence.openings import raise_shares
from heliograph_collector.detect.silence.outage import OutageEpisode
from heliograph_collector.detect.silence.presence_tracker import PresenceTracker
from heliograph_collector.detect.silence.vantage_presence import VantagePresence
from heliograph_collector.detect.silence.vantage_votes import count_silent, select_established
from heliograph_collector.incidents.incident import Bracket, HoldReason, IncidentKind
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation

POWERLESS_SHARE = 0.2  # of the silent, whose power failed before their loss; assumed


def is_power(outage: OutageEpisode) -> bool:
    """Return whether an outage is a power failure, or held as one."""
    return outage.kind is IncidentKind.POWER or HoldReason.POWER in outage.held


def explains_place(outage: OutageEpisode, place: VantageLocation) -> bool:
    """Return whether an outage may explain what falls silent at a place."""
    return outage.holds(place) and not any(s.includes(place) for s in _list_unexplained(outage))


def explains_cells(outage: OutageEpisode, cells: Sequence[AffectedCell]) -> bool:
    """Return whether an outage may explain what falls silent in these cells."""
    unexplained = _list_unexplained(outage)
    is_spared = any(cell.scope.is_within(scope) for cell in cells for scope in unexplained)
    return outage.contains(cells) and not is_spared


def list_spared_regions(outage: OutageEpisode) -> list[Scope]:
    """List the regions, or their lines, that live on in an outage.

    A grid takes regions. Phones, or one operator, may follow the rest as batteries run out.
    """
    spared = (scope for part in outage.parts for scope in part.beyond)
    return [
        scope for scope in spared if scope.region and not scope.asn and scope.access != "mobile"
    ]


def _list_unexplained(outage: OutageEpisode) -> Sequence[Scope]:
    """List the spared cells of an outage in which it explains no later silence."""
    if outage.is_block:
        return [scope for part in outage.parts for scope in part.beyond]
    return list_spared_regions(outage) if is_power(outage) else ()


def find_fallen_spared_cells(
    outage: OutageEpisode, presence: PresenceTracker, now_us: int
) -> tuple[AffectedCell, ...]:
    """Find the cells that an outage spared, most of whose votes are silent now.

    Where their power may have failed nothing is said of them: they stay out of the cut.
    """
    if outage.kind is not IncidentKind.SILENCE:
        return ()
    limits = outage.limits
    known = _list_known(outage, presence, now_us)
    spared = sorted({scope for part in outage.parts for scope in part.beyond})
    cells = [build_part(scope, [v for v in known if scope.includes(v.place)]) for scope in spared]
    dark = [c for c in cells if c.votes >= limits.burst and c.share >= limits.confirm_share]
    if not dark or _has_power_failed(dark, known):
        return ()
    is_power = confounders.is_power_failure(dark, known, limits)
    return () if is_power and not confounders.may_be_order(dark, known) else tuple(dark)


def add_phase(
    outage: OutageEpisode,
    fallen: Sequence[AffectedCell],
    started: Bracket,
    presence: PresenceTracker,
    now_us: int,
) -> None:
    """Add cells that an outage spared as a phase of it, which is darker by them."""
    scopes = {cell.scope for cell in fallen}
    widest = tuple(cell for cell in fallen if not _is_inside(cell.scope, scopes))
    parts = tuple(
        replace(part, beyond=tuple(scope for scope in part.beyond if scope not in scopes))
        for part in outage.parts
    )
    votes = count_silent(_list_known(outage, presence, now_us))
    outage.grow(raise_shares(parts, votes, started, now_us), widest, started, now_us)
    outage.grown_us = now_us


def _has_power_failed(cells: Sequence[AffectedCell], vantages: Sequence[VantagePresence]) -> bool:
    """Return whether some of the silent lost their power first, as where a grid fails."""
    silent = select_silent(cells, vantages)
    powerless = sum(vantage.power_failed for vantage in silent)
    return powerless >= POWERLESS_SHARE * len(silent)


def _list_known(
    outage: OutageEpisode, presence: PresenceTracker, now_us: int
) -> list[VantagePresence]:
    limits = outage.limits
    inside = outage.list_inside(presence)
    return select_established(inside, now_us, limits, limits.witnesses)[0]


def _is_inside(scope: Scope, others: Iterable[Scope]) -> bool:
    return any(scope != other and scope.is_within(other) for other in others)
