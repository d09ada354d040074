"""From two recomputations to what changed: every entry is new, none is ever rewritten."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph_collector.detect.coarse import coarse
from heliograph_collector.detect.fold import Part
from heliograph_collector.detect.incident import Incident, State, carry
from heliograph_collector.detect.record import record
from heliograph_collector.detect.thresholds import THRESHOLDS

_SAME = 1e-3  # votes are written down with three digits


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
    before: Sequence[Incident],
    after: Iterable[Incident],
    alerted: Iterable[tuple[str, Change]],
    least: float = 0.0,
) -> tuple[list[Incident], list[Revision]]:
    """(the incidents under their names, what changed).

    `before` is what was said last, as the log has it; `alerted`: calls already made. What cells of
    fewer votes than `least` would tell is not said (k-anonymity): it waits until they are enough.
    """
    old = {incident.id: incident for incident in before}
    done = set(alerted)
    named = carry(before, after)
    told = [(old.get(i.id), public(i, old.get(i.id), least)) for i in named]
    found = [(_changed(was, now), now) for was, now in told if now is not None]
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


def public(incident: Incident, before: Incident | None, least: float) -> Incident | None:
    """None while it may not be told. What was told before is told to its end, by its old cells."""
    if any(part.votes < least - _SAME for part in incident.parts):
        if before is None or incident.state in (State.SUSPECTED, State.CONFIRMED):
            return None
        return coarse(replace(incident, parts=before.parts, turns=before.turns), least)
    parts = tuple(_spared(part, least) for part in incident.parts)
    turns = tuple(
        replace(turn, parts=kept)
        for turn in incident.turns
        if (kept := tuple(_spared(p, least) for p in turn.parts if p.votes >= least - _SAME))
    )
    return coarse(replace(incident, parts=parts, turns=turns), least)


def _spared(part: Part, least: float) -> Part:
    """Cells that are spared are of so many votes as confirm; of how many more nobody knows."""
    return replace(part, beyond=()) if least > THRESHOLDS.votes else part


def _changed(before: Incident | None, after: Incident) -> Change | None:
    if before is None:
        return Change(after.state.value)
    if record(before) == record(after):
        return None
    if before.state is after.state:
        return Change.REVISED
    if before.state is State.CLOSED and after.state is State.CONFIRMED:
        return Change.RESUMED
    return Change(after.state.value)


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
