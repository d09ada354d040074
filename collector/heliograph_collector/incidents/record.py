"""Incident records, as log entries hold them; times are RFC 3339, UTC."""

from msgspec.structs import replace

from heliograph.timestamps import format_timestamp, parse_timestamp
from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    KindChange,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.incidents.phases import list_phases
from heliograph_collector.incidents.published.incident import (
    BracketDocument,
    CellScope,
    ServiceScope,
)
from heliograph_collector.incidents.published.log import (
    CellRecord,
    IncidentRecord,
    KindRecord,
    PhaseRecord,
)
from heliograph_collector.model.scope import AffectedCell, Scope


def incident_record(incident: Incident) -> IncidentRecord:
    """Return an incident's record; votes and shares have three digits."""
    record = IncidentRecord(
        id=incident.id,
        kind=incident.kind.value,
        label=incident.label,
        state=incident.state.value,
        scope=ServiceScope(**incident.scope._asdict(), service=incident.service),
        parts=_cell_records(incident.parts),
        started=_bracket_record(incident.started),
        ended=_bracket_record(incident.ended) if incident.ended else None,
        suspected=format_timestamp(incident.suspected_us),
        confirmed=_format_optional(incident.confirmed_us),
        closed=_format_optional(incident.closed_us),
        layer=incident.layer,
        method=incident.method,
        confidence=incident.confidence,
        turns=tuple(_phase_record(turn) for turn in incident.turns),
        hints=incident.hints,
        held=incident.held,
        kinds=tuple(
            KindRecord(kind=change.kind.value, at=format_timestamp(change.at_us))
            for change in incident.kinds
        ),
    )
    return replace(record, phases=list_phases(record, record.kinds))


def parse_incident(record: IncidentRecord) -> Incident:
    """Parse a record, the inverse of `incident_record`."""
    return Incident(
        id=record.id,
        kind=IncidentKind(record.kind),
        state=IncidentState(record.state),
        parts=_parse_cells(record.parts),
        started=_parse_bracket(record.started),
        ended=_parse_bracket(record.ended) if record.ended else None,
        suspected_us=parse_timestamp(record.suspected),
        confirmed_us=parse_timestamp(record.confirmed) if record.confirmed else None,
        closed_us=parse_timestamp(record.closed) if record.closed else None,
        service=record.scope.service,
        layer=record.layer,
        method=record.method,
        confidence=record.confidence,
        turns=tuple(_parse_phase(turn) for turn in record.turns),
        hints=record.hints,
        held=record.held,
        kinds=tuple(KindChange(IncidentKind(k.kind), parse_timestamp(k.at)) for k in record.kinds),
    )


def _format_optional(at_us: int | None) -> str | None:
    return None if at_us is None else format_timestamp(at_us)


def _cell_records(cells: tuple[AffectedCell, ...]) -> tuple[CellRecord, ...]:
    return tuple(
        CellRecord(
            **cell.scope._asdict(),
            votes=round(cell.votes, 3),
            share=round(cell.share, 3),
            networks=cell.networks,
            spared=tuple(CellScope(**scope._asdict()) for scope in cell.beyond),
        )
        for cell in cells
    )


def _bracket_record(bracket: Bracket) -> BracketDocument:
    return BracketDocument(
        format_timestamp(bracket.earliest_us), format_timestamp(bracket.latest_us)
    )


def _phase_record(phase: PhaseChange) -> PhaseRecord:
    return PhaseRecord(
        way=phase.way.value,
        parts=_cell_records(phase.parts),
        when=_bracket_record(phase.when),
        seen=format_timestamp(phase.seen_us),
    )


def _parse_scope(record: CellScope) -> Scope:
    return Scope(record.country, record.region, record.asn, record.access)


def _parse_cells(records: tuple[CellRecord, ...]) -> tuple[AffectedCell, ...]:
    return tuple(
        AffectedCell(
            _parse_scope(record),
            record.votes,
            record.share,
            record.networks,
            tuple(_parse_scope(scope) for scope in record.spared),
        )
        for record in records
    )


def _parse_bracket(record: BracketDocument) -> Bracket:
    return Bracket(parse_timestamp(record.earliest), parse_timestamp(record.latest))


def _parse_phase(record: PhaseRecord) -> PhaseChange:
    return PhaseChange(
        PhaseDirection(record.way),
        _parse_cells(record.parts),
        _parse_bracket(record.when),
        parse_timestamp(record.seen),
    )
