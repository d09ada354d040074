"""Restrict an incident's cells, votes and phases to what may be public. Pure.

Theory. An incident reveals more than a count: a country-wide one shows that a second network is cut
too, and a suspicion shows the observations of vantages of a few days. So its cells rest on the
groups of `aggregate.disclosure` alone:

1. The persons of a cell (votes of established vantages) are grouped by network. A group is a
   network of k or more, or the other networks together, if they are k or more. A person in no group
   changes nothing that is published: not the cell, its votes, its share, nor the confidence.
2. A cell of no group is not named. The rest of an incident is published without it. If it has no
   other cells, and these are parts of a country that fell whole, they are published as the country.
3. A cell of one group that is a network is the narrowest scope of its persons: detectors name the
   widest, whose width would reveal that somebody elsewhere agrees.
4. `networks` counts the groups; the other networks together are two at least.

The remaining numbers are rounded down (`coarsen`): votes and networks to steps, shares and
confidence to tenths; brackets are widened.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.incidents.incident import (
    CAUSE_HINTS,
    ONE_WAY,
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
)
from heliograph_collector.model.scope import AffectedCell, PlaceVotes, Scope
from heliograph_collector.model.thresholds import THRESHOLDS

STEPS = (50.0, 20.0, 10.0, 5.0)  # published numbers of votes; assumed
NETWORK_STEPS = (50, 20, 10, 5, 2, 1)  # published numbers of networks; assumed
BLOCKED_US = HOUR_US  # the step of times of a block of the collector; assumed
FINE_FACTOR = 2  # times k: the votes that allow times to the second; assumed
ROUGH_US = 5 * MINUTE_US  # the step of times that fewer votes support; the bin of the timeline
_VOTE_TOLERANCE = 1e-3  # votes are written with three digits


def publishable(incident: Incident, previous: Incident | None, min_votes: float) -> Incident | None:
    """Return the publishable part of an incident; None if there is none.

    An ended incident that was published before is published with its previous cells. A cause that
    fewer than `min_votes` vantages see is published only to correct what was published: a silence
    that stood would be a wrong cut.
    """
    if previous is None and _tells_of_few(incident, min_votes):
        return None
    cells = _restrict_cells(incident.parts, min_votes)
    if not cells:
        if previous is None or incident.state in (IncidentState.SUSPECTED, IncidentState.CONFIRMED):
            return None
        return coarsen(replace(incident, parts=previous.parts, turns=previous.turns), min_votes)
    phases = tuple(
        replace(phase, parts=tuple(_hide_unaffected(p, min_votes) for p in phase_cells))
        for phase in incident.turns
        if (phase_cells := _restrict_cells(phase.parts, min_votes))
    )
    restricted = replace(
        incident,
        parts=tuple(_hide_unaffected(cell, min_votes) for cell in cells),
        turns=phases,
        confidence=_restrict_confidence(incident, cells, min_votes),
        hints=_restrict_hints(incident, min_votes),
    )
    return coarsen(restricted, min_votes)


def _hide_unaffected(cell: AffectedCell, min_votes: float) -> AffectedCell:
    """Hide unaffected cells if k-anonymity asks for more votes than they may have."""
    return replace(cell, beyond=()) if min_votes > THRESHOLDS.votes else cell


def _restrict_cells(cells: Iterable[AffectedCell], k: float) -> tuple[AffectedCell, ...]:
    """Return the public part of cells; those of fewer than k persons are left out."""
    cells = tuple(cells)
    restricted_cells = (_restrict_cell(cell, k) for cell in cells)
    public = tuple(cell for cell in restricted_cells if cell is not None)
    return public or _pool_small_parts(cells, k)


def _pool_small_parts(cells: Iterable[AffectedCell], k: float) -> tuple[AffectedCell, ...]:
    """Return the cells of which only parts of fewer than k persons each fell whole.

    Their shares are those of the whole. Nothing else would be left of a country that is half dark.
    """
    persons: defaultdict[Scope, list[PlaceVotes]] = defaultdict(list)
    shares: defaultdict[Scope, list[float]] = defaultdict(list)
    for cell in cells:
        if cell.part_of is not None:
            persons[cell.part_of.scope] += cell.persons or ()
            shares[cell.part_of.scope].append(cell.part_of.share)
    return tuple(
        AffectedCell(whole, sum(p.votes for p in persons[whole]), min(shares[whole]), networks=2)
        for whole in sorted(persons)
        if _has_enough(persons[whole], k)
    )


def _restrict_hints(incident: Incident, k: float) -> tuple[str, ...]:
    """Return the hints without one on the cause that fewer than k vantages report.

    The hint that one way alone is silent is left out only if k vantages show more.
    """
    hints = incident.hints
    if _are_few(incident.reports, k):
        hints = tuple(hint for hint in hints if hint not in CAUSE_HINTS)
    is_added = _looks_one_way(incident, k) and ONE_WAY not in hints
    return (*hints, ONE_WAY) if is_added else hints


def _tells_of_few(incident: Incident, k: float) -> bool:
    """Return whether fewer than k vantages report the kind of an incident."""
    return _are_few(incident.told, k)


def _looks_one_way(incident: Incident, k: float) -> bool:
    return incident.kind is IncidentKind.SILENCE and _are_few(incident.several, k)


def _are_few(votes: float | None, k: float) -> bool:
    return votes is not None and votes < k - _VOTE_TOLERANCE


def _restrict_confidence(incident: Incident, cells: Sequence[AffectedCell], k: float) -> float:
    """Return the confidence by restricted cells' votes, under the incident's cap.

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
        return cell if cell.votes >= k - _VOTE_TOLERANCE else None
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
        cell.beyond if abs(votes - cell.votes) <= _VOTE_TOLERANCE else (),
    )


def _has_enough(persons: Iterable[PlaceVotes], k: float) -> bool:
    return sum(v.votes for v in persons) >= k - _VOTE_TOLERANCE


def _narrow_scope(scope: Scope, persons: Sequence[PlaceVotes]) -> Scope:
    """Return the narrowest scope of these persons, who are in one network."""
    regions = {v.place.region for v in persons}
    accesses = {v.place.access for v in persons}
    return Scope(
        scope.country,
        scope.region or (regions.pop() if len(regions) == 1 else ""),
        persons[0].place.asn,
        scope.access or (accesses.pop() if len(accesses) == 1 else ""),
    )


def coarsen(incident: Incident, min_votes: float) -> Incident:
    """Round votes down to steps, shares and confidence to tenths, and widen brackets.

    Cells are in the order of their names.

    Networks are at most the votes. A second rounding changes nothing. With `min_votes` (the k of
    k-anonymity) of 1 or less the incident is unchanged.
    """
    if min_votes <= 1:
        return incident
    parts = _coarsen_cells(incident.parts, min_votes)
    step_us = choose_step_us((part.votes for part in parts), min_votes)
    turns = tuple(_coarsen_phase(turn, min_votes) for turn in incident.turns)
    if incident.kind is IncidentKind.COLLECTOR_BLOCKED:
        parts = (_widen_to_country(parts),)
        step_us = BLOCKED_US
        turns = ()
    votes = sum(part.votes for part in parts)
    return replace(
        incident,
        parts=parts,
        turns=turns,
        kinds=tuple(replace(k, at_us=_floor(k.at_us, step_us)) for k in incident.kinds),
        started=_coarsen_bracket(incident.started, step_us),
        ended=_coarsen_bracket(incident.ended, step_us) if incident.ended else None,
        suspected_us=_floor(incident.suspected_us, step_us),
        confirmed_us=_floor_optional(incident.confirmed_us, step_us),
        closed_us=_floor_optional(incident.closed_us, step_us),
        # Of rounded votes: nine agree with 0.9 and eight with 0.8, and both are "5-9".
        confidence=_floor_tenths(min(incident.confidence, votes / (votes + 1))),
    )


def _widen_to_country(parts: Sequence[AffectedCell]) -> AffectedCell:
    """Return the parts' country; a finer scope would help a censor who blocks us."""
    widest = max(parts, key=attrgetter("votes", "scope"))
    return replace(widest, scope=Scope(widest.scope.country), beyond=())


def choose_step_us(votes: Iterable[float], k: float) -> int:
    """Return the step of an incident's times: seconds, or minutes if few support them.

    The second at which a few vantages fell silent is that of each of them.
    """
    is_fine = k <= 1 or sum(votes) >= FINE_FACTOR * k - _VOTE_TOLERANCE
    return SECOND_US if is_fine else ROUGH_US


def _coarsen_cells(cells: Iterable[AffectedCell], min_votes: float) -> tuple[AffectedCell, ...]:
    """Coarsen cells, ordered by name: the detector's order shows which has more votes."""
    coarse_cells = (_coarsen_cell(cell, min_votes) for cell in cells)
    return tuple(sorted(coarse_cells, key=attrgetter("scope")))


def _coarsen_cell(cell: AffectedCell, min_votes: float) -> AffectedCell:
    step = next((s for s in STEPS if cell.votes >= s - _VOTE_TOLERANCE), cell.votes)
    votes = max(step, min_votes)
    # A network has about one vote, so more networks than votes would reveal the number of votes,
    # and the exact number would reveal a network in which a single vantage is.
    networks = next((n for n in NETWORK_STEPS if n <= min(cell.networks, votes)), 0)
    return replace(cell, votes=votes, share=_floor_tenths(cell.share), networks=networks)


def _coarsen_phase(phase: PhaseChange, min_votes: float) -> PhaseChange:
    cells = _coarsen_cells(phase.parts, min_votes)
    step_us = choose_step_us((cell.votes for cell in cells), min_votes)
    return replace(
        phase,
        parts=cells,
        when=_coarsen_bracket(phase.when, step_us),
        seen_us=_floor(phase.seen_us, step_us),
    )


def _coarsen_bracket(bracket: Bracket, step_us: int) -> Bracket:
    latest_us = -(-bracket.latest_us // step_us) * step_us
    return Bracket(_floor(bracket.earliest_us, step_us), latest_us)


def _floor(at_us: int, step_us: int) -> int:
    """Round down to a step.

    The collector's own times are rounded too, because a silence is detected a fixed time after the
    last heartbeat.
    """
    return at_us // step_us * step_us


def _floor_optional(at_us: int | None, step_us: int) -> int | None:
    return None if at_us is None else _floor(at_us, step_us)


def _floor_tenths(share: float) -> float:
    """Round down to tenths, so that no figure exceeds what the votes show."""
    return round(share * 1_000) // 100 / 10
