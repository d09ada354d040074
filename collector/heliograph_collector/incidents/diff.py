"""Diff of two computations of incidents; each change is a new log entry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter

from heliograph.units import HOUR_US, MINUTE_US, SECOND_US
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
    carry_ids,
)
from heliograph_collector.incidents.public_cells import (
    VOTE_TOLERANCE,
    restrict_cells,
    restrict_confidence,
    restrict_hints,
    tells_of_few,
)
from heliograph_collector.incidents.record import incident_record
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.thresholds import THRESHOLDS

STEPS = (50.0, 20.0, 10.0, 5.0)  # published numbers of votes; assumed
NETWORK_STEPS = (50, 20, 10, 5, 2, 1)  # published numbers of networks; assumed
BLOCKED_US = HOUR_US  # the step of times of a block of the collector; assumed
FINE_FACTOR = 2  # times k: the votes that allow times to the second; assumed
ROUGH_US = 5 * MINUTE_US  # the step of times that fewer votes support; the bin of the timeline


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
    """Return the country of the parts: a censor reads how well a block of us worked, and where."""
    widest = max(parts, key=attrgetter("votes", "scope"))
    return replace(widest, scope=Scope(widest.scope.country), beyond=())


def choose_step_us(votes: Iterable[float], k: float) -> int:
    """Return the step of an incident's times: seconds, or minutes if few support them.

    The second at which a few vantages fell silent is that of each of them.
    """
    is_fine = k <= 1 or sum(votes) >= FINE_FACTOR * k - VOTE_TOLERANCE
    return SECOND_US if is_fine else ROUGH_US


def _coarsen_cells(cells: Iterable[AffectedCell], min_votes: float) -> tuple[AffectedCell, ...]:
    """Coarsen cells, ordered by name: the detector's order tells which has more votes."""
    coarse_cells = (_coarsen_cell(cell, min_votes) for cell in cells)
    return tuple(sorted(coarse_cells, key=attrgetter("scope")))


def _coarsen_cell(cell: AffectedCell, min_votes: float) -> AffectedCell:
    step = next((s for s in STEPS if cell.votes >= s - VOTE_TOLERANCE), cell.votes)
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


class IncidentChange(StrEnum):
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    REVISED = "revised"
    CLOSED = "closed"
    RESUMED = "resumed"
    RELABELED = "relabeled"  # another explanation
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of an incident; `alert` notifies subscribers.

    An incident alerts at most twice, at its confirmation and at its end; and when another
    explanation corrects what an alert said.
    """

    change: IncidentChange
    incident: Incident
    alert: bool


def diff_incidents(
    before: Sequence[Incident],
    after: Iterable[Incident],
    alerted: Iterable[tuple[str, IncidentChange]],
    min_votes: float = 0.0,
) -> tuple[list[Incident], list[Revision]]:
    """Return (incidents under published ids, their changes).

    Args:
        before: Incidents as last logged.
        alerted: Alerts already sent.
        min_votes: The k of k-anonymity, which `public_cells` applies.
    """
    old_by_id = {incident.id: incident for incident in before}
    alerts_sent = set(alerted)
    named = carry_ids(before, after)
    published = [
        (old_by_id.get(i.id), publishable(i, old_by_id.get(i.id), min_votes)) for i in named
    ]
    changes = [
        (_detect_change(previous, current), current)
        for previous, current in published
        if current is not None
    ]
    missing_ids = set(old_by_id) - {incident.id for incident in named}
    changes += [
        (IncidentChange.WITHDRAWN, replace(old_by_id[name], state=IncidentState.WITHDRAWN))
        for name in sorted(missing_ids)
        if old_by_id[name].state is not IncidentState.WITHDRAWN
    ]
    return named, [
        Revision(change, incident, _is_alert(change, incident, alerts_sent))
        for change, incident in changes
        if change is not None
    ]


def publishable(incident: Incident, previous: Incident | None, min_votes: float) -> Incident | None:
    """Return the publishable part of an incident; None if there is none.

    An ended incident that was published before is published with its previous cells. A cause that
    fewer than `min_votes` vantages tell is published only to correct what was published: a silence
    that stood would be a wrong cut.
    """
    if previous is None and tells_of_few(incident, min_votes):
        return None
    cells = restrict_cells(incident.parts, min_votes)
    if not cells:
        if previous is None or incident.state in (IncidentState.SUSPECTED, IncidentState.CONFIRMED):
            return None
        return coarsen(replace(incident, parts=previous.parts, turns=previous.turns), min_votes)
    phases = tuple(
        replace(phase, parts=tuple(_hide_unaffected(p, min_votes) for p in phase_cells))
        for phase in incident.turns
        if (phase_cells := restrict_cells(phase.parts, min_votes))
    )
    restricted = replace(
        incident,
        parts=tuple(_hide_unaffected(cell, min_votes) for cell in cells),
        turns=phases,
        confidence=restrict_confidence(incident, cells, min_votes),
        hints=restrict_hints(incident, min_votes),
    )
    return coarsen(restricted, min_votes)


def _hide_unaffected(cell: AffectedCell, min_votes: float) -> AffectedCell:
    """Hide unaffected cells if k-anonymity asks for more votes than they may have."""
    return replace(cell, beyond=()) if min_votes > THRESHOLDS.votes else cell


def _detect_change(previous: Incident | None, current: Incident) -> IncidentChange | None:
    if previous is None:
        return IncidentChange(current.state.value)
    if incident_record(previous) == incident_record(current):
        return None
    if previous.state is current.state:
        is_relabeled = previous.kind.is_silence and previous.kind is not current.kind
        return IncidentChange.RELABELED if is_relabeled else IncidentChange.REVISED
    if previous.state is IncidentState.CLOSED and current.state is IncidentState.CONFIRMED:
        return IncidentChange.RESUMED
    return IncidentChange(current.state.value)


def _is_alert(
    change: IncidentChange, incident: Incident, alerts_sent: set[tuple[str, IncidentChange]]
) -> bool:
    """Return whether to alert; an end alerts only after a confirmation."""
    was_opened = (incident.id, IncidentChange.CONFIRMED) in alerts_sent
    was_ended = any(
        (incident.id, end) in alerts_sent
        for end in (IncidentChange.CLOSED, IncidentChange.WITHDRAWN)
    )
    if change in (IncidentChange.CONFIRMED, IncidentChange.RESUMED):
        return not was_opened
    if change is IncidentChange.RELABELED:
        return was_opened
    if change in (IncidentChange.CLOSED, IncidentChange.WITHDRAWN):
        skipped_confirmation = change is IncidentChange.CLOSED and incident.confirmed_us is not None
        return (was_opened or skipped_confirmation) and not was_ended
    return False
