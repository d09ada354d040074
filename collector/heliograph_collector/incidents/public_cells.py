"""Which cells an incident may name in public, and by whose votes. Pure.

Theory. An incident says more than a count: that it is country-wide tells that a second network is
cut too, and a suspicion tells what vantages of a few days see. So its cells rest on the groups of
`aggregate.disclosure` alone:

1. The persons of a cell (votes of established vantages) are grouped by network. A group is a
   network of k or more, or the other networks together, if they are k or more. Who is in no group
   changes nothing that is said: not the cell, its votes, its share, nor the confidence.
2. A cell of no group is not named. What is left of an incident is published without it.
3. A cell of one group that is a network is the narrowest scope of its persons: detectors name the
   widest, whose width would tell that somebody elsewhere agrees.
4. `networks` counts the groups; the other networks together are two at least.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from heliograph_collector.incidents.incident import (
    CAUSE_HINTS,
    ONE_WAY,
    Incident,
    IncidentKind,
)
from heliograph_collector.model.scope import AffectedCell, PlaceVotes, Scope
from heliograph_collector.model.thresholds import THRESHOLDS

VOTE_TOLERANCE = 1e-3  # votes are written with three digits


def restrict_cells(cells: Iterable[AffectedCell], k: float) -> tuple[AffectedCell, ...]:
    """Return what the cells may say; those of fewer than k persons are left out."""
    restricted_cells = (_restrict_cell(cell, k) for cell in cells)
    return tuple(cell for cell in restricted_cells if cell is not None)


def restrict_hints(incident: Incident, k: float) -> tuple[str, ...]:
    """Return the hints without one on the cause that fewer than k vantages report.

    The hint that one way alone is silent is left out only if k vantages show more.
    """
    hints = incident.hints
    if _are_few(incident.reports, k):
        hints = tuple(hint for hint in hints if hint not in CAUSE_HINTS)
    is_added = _looks_one_way(incident, k) and ONE_WAY not in hints
    return (*hints, ONE_WAY) if is_added else hints


def tells_of_few(incident: Incident, k: float) -> bool:
    """Return whether fewer than k vantages tell the kind of an incident."""
    return _are_few(incident.told, k)


def _looks_one_way(incident: Incident, k: float) -> bool:
    return incident.kind is IncidentKind.SILENCE and _are_few(incident.several, k)


def _are_few(votes: float | None, k: float) -> bool:
    return votes is not None and votes < k - VOTE_TOLERANCE


def restrict_confidence(incident: Incident, cells: Sequence[AffectedCell], k: float) -> float:
    """Return the confidence by the votes of restricted cells, under the cap that the incident has.

    The detectors cap the agreement of the votes at one of a few values.
    """
    if k <= 1 or all(cell.persons is None for cell in incident.parts):
        return incident.confidence
    votes = sum(cell.votes for cell in cells)
    agreement = sum(cell.votes * cell.share for cell in cells) / (votes + 1)
    caps = (
        THRESHOLDS.low,
        THRESHOLDS.one_way,
        THRESHOLDS.unwitnessed,
        THRESHOLDS.several_ways,
        THRESHOLDS.most,
    )
    cap = min((cap for cap in caps if incident.confidence <= cap), default=THRESHOLDS.most)
    if _looks_one_way(incident, k):
        cap = min(cap, THRESHOLDS.one_way)
    return min(cap, agreement, THRESHOLDS.low if votes < THRESHOLDS.few else cap)


def _restrict_cell(cell: AffectedCell, k: float) -> AffectedCell | None:
    if cell.persons is None or k <= 1:
        return cell if cell.votes >= k - VOTE_TOLERANCE else None
    by_asn: defaultdict[int, list[PlaceVotes]] = defaultdict(list)
    for place_votes in cell.persons:
        by_asn[place_votes.place.asn].append(place_votes)
    large = [votes for asn, votes in by_asn.items() if asn and _has_enough(votes, k)]
    others = [v for votes in by_asn.values() if votes not in large for v in votes]
    is_alone = len(large) == 1 and not _has_enough(others, k)
    others = others if _has_enough(others, k) else []
    kept = [v for votes in large for v in votes] + others
    if not kept:
        return None
    votes = sum(v.votes for v in kept)
    return AffectedCell(
        _narrow_scope(cell.scope, kept) if is_alone else cell.scope,
        votes,
        sum(v.hits for v in kept) / votes,
        len(large) + (2 if others else 0),
        # Cells that are not affected were found with the votes of everybody.
        cell.beyond if abs(votes - cell.votes) <= VOTE_TOLERANCE else (),
    )


def _has_enough(persons: Iterable[PlaceVotes], k: float) -> bool:
    return sum(v.votes for v in persons) >= k - VOTE_TOLERANCE


def _narrow_scope(scope: Scope, persons: Sequence[PlaceVotes]) -> Scope:
    """Return the narrowest scope that holds these persons, who are in one network."""
    regions = {v.place.region for v in persons}
    accesses = {v.place.access for v in persons}
    return Scope(
        scope.country,
        scope.region or (regions.pop() if len(regions) == 1 else ""),
        persons[0].place.asn,
        scope.access or (accesses.pop() if len(accesses) == 1 else ""),
    )
