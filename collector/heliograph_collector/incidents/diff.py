"""Diff of two computations of incidents; each change is a new log entry."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph_collector.incidents.incident import (
    Incident,
    IncidentState,
    carry_ids,
)
from heliograph_collector.incidents.public_cells import publishable
from heliograph_collector.incidents.record import incident_record


class IncidentChange(StrEnum):
    SUSPECTED = "suspected"  # also of one that was confirmed, and is in doubt
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
    explanation, or a doubt, corrects an earlier alert.
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
    if change is IncidentChange.SUSPECTED:
        return was_opened and (incident.id, change) not in alerts_sent
    if change in (IncidentChange.CLOSED, IncidentChange.WITHDRAWN):
        skipped_confirmation = change is IncidentChange.CLOSED and incident.confirmed_us is not None
        return (was_opened or skipped_confirmation) and not was_ended
    return False
