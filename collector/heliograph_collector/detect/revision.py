"""From two recomputations to what changed: every entry is new, none is ever rewritten."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph_collector.detect.incident import Incident, State, carry


class Change(StrEnum):
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    REVISED = "revised"
    CLOSED = "closed"
    RESUMED = "resumed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Revision:
    """`alert`: subscribers are called. At most twice per incident: confirmed, and its end."""

    change: Change
    incident: Incident
    alert: bool


def revise(
    before: Sequence[Incident], after: Iterable[Incident], alerted: Iterable[tuple[str, Change]]
) -> tuple[list[Incident], list[Revision]]:
    """(the incidents under their names, what changed). `alerted`: calls already made."""
    named = carry(before, after)
    old = {incident.id: incident for incident in before}
    done = set(alerted)
    found = [_changed(old.get(incident.id), incident) for incident in named]
    gone = set(old) - {incident.id for incident in named}
    found += [
        (Change.WITHDRAWN, replace(old[name], state=State.WITHDRAWN))
        for name in sorted(gone)
        if old[name].state is not State.WITHDRAWN
    ]
    return named, [
        Revision(change, incident, _calls(change, incident, done))
        for change, incident in found
        if change is not None
    ]


def _changed(before: Incident | None, after: Incident) -> tuple[Change | None, Incident]:
    if before == after:
        return None, after
    was = before.state if before else None
    if was is after.state:
        return Change.REVISED, after
    if was is State.CLOSED and after.state is State.CONFIRMED:
        return Change.RESUMED, after
    return Change(after.state.value), after


def _calls(change: Change, incident: Incident, done: set[tuple[str, Change]]) -> bool:
    """The end is told to those who were told of the beginning."""
    opened = (incident.id, Change.CONFIRMED) in done
    ended = any((incident.id, end) in done for end in (Change.CLOSED, Change.WITHDRAWN))
    if change in (Change.CONFIRMED, Change.RESUMED):
        return not opened
    if change in (Change.CLOSED, Change.WITHDRAWN):
        skipped = change is Change.CLOSED and incident.confirmed_us is not None
        return (opened or skipped) and not ended
    return False
