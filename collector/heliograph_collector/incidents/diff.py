"""From two recomputations to what changed: every entry is new, none is ever rewritten."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph_collector.incidents.incident import Bracket, Incident, State, Turn, carry
from heliograph_collector.incidents.record import record
from heliograph_collector.incidents.scope import Part
from heliograph_collector.model.thresholds import THRESHOLDS

STEPS = (50.0, 20.0, 10.0, 5.0)
_SECOND_US = 1_000_000
_SLACK = 1e-3  # votes are written down with three digits


def coarse(incident: Incident, least: float) -> Incident:
    """Votes are the least of their step, networks no more than these, shares and confidence tenths,
    brackets a little wider.

    The same again for what is coarse already, and the incident itself where `least` (the k of
    k-anonymity) asks for none.
    """
    if least <= 1:
        return incident
    return replace(
        incident,
        parts=tuple(_part(part, least) for part in incident.parts),
        turns=tuple(_turn(turn, least) for turn in incident.turns),
        started=_bracket(incident.started),
        ended=_bracket(incident.ended) if incident.ended else None,
        suspected_us=_second(incident.suspected_us),
        confirmed_us=_maybe(incident.confirmed_us),
        closed_us=_maybe(incident.closed_us),
        confidence=_tenths(incident.confidence),
    )


def _part(part: Part, least: float) -> Part:
    step = next((s for s in STEPS if part.votes >= s - _SLACK), part.votes)
    votes = max(step, least)
    # A network has a vote or so: more of them than votes would say how many votes there were.
    networks = min(part.networks, int(votes))
    return replace(part, votes=votes, share=_tenths(part.share), networks=networks)


def _turn(turn: Turn, least: float) -> Turn:
    parts = tuple(_part(part, least) for part in turn.parts)
    return replace(turn, parts=parts, when=_bracket(turn.when), seen_us=_second(turn.seen_us))


def _bracket(bracket: Bracket) -> Bracket:
    latest = -(-bracket.latest_us // _SECOND_US) * _SECOND_US
    return Bracket(_second(bracket.earliest_us), latest)


def _second(at_us: int) -> int:
    """Also of what we saw ourselves: a silence is seen so long after somebody's last heartbeat."""
    return at_us // _SECOND_US * _SECOND_US


def _maybe(at_us: int | None) -> int | None:
    return None if at_us is None else _second(at_us)


def _tenths(share: float) -> float:
    """Rounded down: nobody is to be surer than the votes are."""
    return round(share * 1_000) // 100 / 10


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
