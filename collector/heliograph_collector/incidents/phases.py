"""Phases of an incident: each dated step of it, from the record in the log. Pure.

A stepwise shutdown is one incident: mobile networks at 21:44, fixed lines at 21:47, which are back
at 21:56, are dated phases, each with its own bracket and time of confirmation. A later phase never
overwrites an earlier one. Another explanation of the whole (the power, a block of the collector) is
a phase as well; the one before it ends when the new one was found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    CellScope,
    IncidentSummary,
    PhaseDocument,
    ServiceScope,
    TurnDocument,
)
from heliograph_collector.incidents.published.log import IncidentRecord, KindRecord, PhaseRecord
from heliograph_collector.model.scope import Scope

RECOVERY = "recovery"
_OPENING = "opening"


def list_phases(
    incident: IncidentRecord | IncidentSummary, kinds: Sequence[KindRecord]
) -> tuple[PhaseDocument, ...]:
    """List the phases in order of their begin, those of the first explanation first.

    Args:
        kinds: The explanations of its record.
    """
    steps: list[PhaseRecord | TurnDocument] = list(incident.turns)
    phases: list[_Phase] = []
    if not steps or steps[0].way == _OPENING:  # else the first cut is its beginning
        seen = incident.confirmed or incident.suspected
        phases += [_Phase(s, incident.started, seen, False) for s in _list_scopes(incident.parts)]
    for step in steps:
        _apply_step(phases, step)
    return tuple(
        phase.to_document(incident, kind)
        for kind in _list_kinds(incident.kind, kinds)
        for phase in phases
        if kind.holds_at_begin or not phase.is_recovery
        if not kind.until or phase.seen <= kind.until
    )


@dataclass(slots=True)
class _Phase:
    scope: Scope
    started: BracketDocument
    seen: str
    is_recovery: bool
    ended: BracketDocument | None = None

    def to_document(
        self, incident: IncidentRecord | IncidentSummary, kind: "_KindSpan"
    ) -> PhaseDocument:
        ended = self.ended or incident.ended
        if kind.until and (ended is None or ended.latest > kind.until):
            ended = BracketDocument(kind.until, kind.until)
        seen = self.seen if kind.holds_at_begin else max(kind.since, self.seen)
        return PhaseDocument(
            kind=RECOVERY if self.is_recovery else kind.name,
            scope=ServiceScope(**self.scope._asdict(), service=incident.scope.service),
            started=self.started,
            ended=ended,
            confirmed_at=seen if incident.confirmed else None,
        )


@dataclass(frozen=True, slots=True)
class _KindSpan:
    """An explanation, from when on it was held, and until when; "" is open."""

    name: str
    since: str
    until: str

    @property
    def holds_at_begin(self) -> bool:
        return not self.since


def _list_kinds(present: str, kinds: Sequence[KindRecord]) -> list[_KindSpan]:
    if not kinds:
        return [_KindSpan(present, "", "")]
    changes = [kind.at for kind in kinds[1:]]
    return [
        _KindSpan(kind.kind, since, until)
        for kind, since, until in zip(kinds, ["", *changes], [*changes, ""], strict=True)
    ]


def _apply_step(phases: list[_Phase], step: PhaseRecord | TurnDocument) -> None:
    """End the phases that a step reverses, and begin its own."""
    is_recovery = step.way == _OPENING
    for scope in _list_scopes(step.parts):
        reversed_phases = [
            p for p in phases if p.ended is None and p.is_recovery is not is_recovery
        ]
        whole = [p for p in reversed_phases if p.scope.is_within(scope)]
        for phase in whole:
            phase.ended = step.when
        lasting = [p for p in reversed_phases if p.ended is None]
        # A returned part is a separate phase if a wider one lasts elsewhere.
        if not is_recovery or any(p.scope.intersect(scope) for p in lasting):
            phases.append(_Phase(scope, step.when, step.seen, is_recovery))


def _list_scopes(parts: Iterable[CellScope]) -> list[Scope]:
    return [Scope(part.country, part.region, part.asn, part.access) for part in parts]
