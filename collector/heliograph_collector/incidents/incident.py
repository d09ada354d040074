"""What a detector finds: a bracketed change in one or more cells, and how it went on."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from heliograph_collector.incidents.scope import Part, Scope, join, label


class Kind(StrEnum):
    SILENCE = "network_silence"
    BLOCKING = "service_blocking"
    THROTTLING = "throttling"
    PARTIAL = "partial"


class State(StrEnum):
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Bracket:
    """It happened between these moments: last good and first bad, or the other way round."""

    earliest_us: int
    latest_us: int


class Way(StrEnum):
    OPENING = "opening"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Turn:
    """Within an incident: a part of it came back, or went dark again. No alert of its own."""

    way: Way
    parts: tuple[Part, ...]
    when: Bracket
    seen_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    id: str
    kind: Kind
    state: State
    parts: tuple[Part, ...]
    started: Bracket
    suspected_us: int  # when it was first said
    confidence: float
    confirmed_us: int | None = None
    ended: Bracket | None = None
    closed_us: int | None = None  # or withdrawn
    service: str = ""
    layer: str = ""
    method: str = ""
    turns: tuple[Turn, ...] = ()
    hints: tuple[str, ...] = ()
    held: tuple[str, ...] = ()  # what stands against confirming

    @property
    def scope(self) -> Scope:
        return join(part.scope for part in self.parts)

    @property
    def label(self) -> str:
        return label(part.scope for part in self.parts)

    @property
    def openings(self) -> tuple[Turn, ...]:
        return tuple(turn for turn in self.turns if turn.way is Way.OPENING)

    @property
    def cuts(self) -> tuple[Turn, ...]:
        return tuple(turn for turn in self.turns if turn.way is Way.CUT)

    def overlaps(self, other: "Incident") -> bool:
        """The same change, perhaps: of one kind of signal, in nested cells, at one time."""
        one, two = self.scope, other.scope
        return (
            (self.kind is Kind.SILENCE) == (other.kind is Kind.SILENCE)
            and self.service == other.service
            and (one.within(two) or two.within(one))
            and self.started.earliest_us <= _end(other)
            and other.started.earliest_us <= _end(self)
        )


def identity(channel: str, service: str, scope: Scope, started: Bracket) -> str:
    """A name made from what was first known of it, to the minute; 16 hex digits."""
    minute = started.latest_us // 60_000_000
    text = f"{channel}\n{service}\n{scope.country}\n{scope.region}\n{scope.asn}\n{scope.access}\n"
    return hashlib.sha256(f"{text}{minute}".encode()).hexdigest()[:16]


def carry(before: Sequence[Incident], after: Iterable[Incident]) -> list[Incident]:
    """The incidents of a recomputation under the names they were published by.

    Who is found again under its own name keeps it. Of several others that overlap the one whose
    onset is nearest hands its name on, each only once.
    """
    every = sorted(after, key=lambda i: i.started.earliest_us)
    known = {incident.id for incident in before}
    free = {i.id: i for i in before if i.id not in {again.id for again in every}}
    kept: list[Incident] = []
    for incident in every:
        near = [old for old in free.values() if old.overlaps(incident)]
        if near and incident.id not in known:
            old = min(near, key=lambda o: (_apart(o, incident), o.id))
            incident = replace(incident, id=free.pop(old.id).id)
        kept.append(incident)
    return kept


def _apart(one: Incident, two: Incident) -> int:
    return abs(one.started.latest_us - two.started.latest_us)


def _end(incident: Incident) -> int:
    if incident.ended:
        return incident.ended.latest_us
    return incident.closed_us or 1 << 62
