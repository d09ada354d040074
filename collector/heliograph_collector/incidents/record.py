"""Incident records: incidents as JSON values of the feed; times are RFC 3339, UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from heliograph_collector.incidents.incident import (
    Bracket,
    Incident,
    IncidentKind,
    IncidentState,
    PhaseChange,
    PhaseDirection,
)
from heliograph_collector.model.scope import AffectedCell, Scope


def incident_record(incident: Incident) -> dict[str, Any]:
    """Return an incident as JSON values; votes and shares have three digits."""
    return {
        "id": incident.id,
        "kind": incident.kind.value,
        "label": incident.label,
        "state": incident.state.value,
        "scope": _scope_record(incident.scope) | {"service": incident.service},
        "parts": [_cell_record(part) for part in incident.parts],
        "started": _bracket_record(incident.started),
        "ended": _bracket_record(incident.ended) if incident.ended else None,
        "suspected": format_timestamp(incident.suspected_us),
        "confirmed": _format_optional(incident.confirmed_us),
        "closed": _format_optional(incident.closed_us),
        "layer": incident.layer,
        "method": incident.method,
        "confidence": incident.confidence,
        "turns": [_phase_record(turn) for turn in incident.turns],
        "hints": list(incident.hints),
        "held": list(incident.held),
    }


def parse_incident(document: Mapping[str, Any]) -> Incident:
    """Parse a record, the inverse of `incident_record`."""
    return Incident(
        id=document["id"],
        kind=IncidentKind(document["kind"]),
        state=IncidentState(document["state"]),
        parts=tuple(_parse_cell(part) for part in document["parts"]),
        started=_parse_bracket(document["started"]),
        ended=_parse_bracket(document["ended"]) if document["ended"] else None,
        suspected_us=parse_timestamp(document["suspected"]),
        confirmed_us=parse_timestamp(document["confirmed"]) if document["confirmed"] else None,
        closed_us=parse_timestamp(document["closed"]) if document["closed"] else None,
        service=document["scope"]["service"],
        layer=document["layer"],
        method=document["method"],
        confidence=document["confidence"],
        turns=tuple(_parse_phase(turn) for turn in document["turns"]),
        hints=tuple(document["hints"]),
        held=tuple(document["held"]),
    )


def parse_timestamp(rfc3339: str) -> int:
    """Parse a timestamp, the inverse of `format_timestamp`."""
    parsed = datetime.fromisoformat(rfc3339)
    return int(parsed.replace(microsecond=0).timestamp()) * 1_000_000 + parsed.microsecond


def format_timestamp(at_us: int) -> str:
    """Format a timestamp exactly to the microsecond, without floats, which round."""
    seconds, microseconds = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{microseconds:06d}Z"


def _format_optional(at_us: int | None) -> str | None:
    return None if at_us is None else format_timestamp(at_us)


def _scope_record(scope: Scope) -> dict[str, Any]:
    return {
        "country": scope.country,
        "region": scope.region,
        "asn": scope.asn,
        "access": scope.access,
    }


def _cell_record(cell: AffectedCell) -> dict[str, Any]:
    return _scope_record(cell.scope) | {
        "votes": round(cell.votes, 3),
        "share": round(cell.share, 3),
        "networks": cell.networks,
        "except": [_scope_record(scope) for scope in cell.beyond],
    }


def _bracket_record(bracket: Bracket) -> dict[str, str]:
    return {
        "earliest": format_timestamp(bracket.earliest_us),
        "latest": format_timestamp(bracket.latest_us),
    }


def _phase_record(phase: PhaseChange) -> dict[str, Any]:
    return {
        "way": phase.way.value,
        "parts": [_cell_record(part) for part in phase.parts],
        "when": _bracket_record(phase.when),
        "seen": format_timestamp(phase.seen_us),
    }


def _parse_scope(document: Mapping[str, Any]) -> Scope:
    return Scope(document["country"], document["region"], document["asn"], document["access"])


def _parse_cell(document: Mapping[str, Any]) -> AffectedCell:
    beyond = tuple(_parse_scope(scope) for scope in document["except"])
    return AffectedCell(
        _parse_scope(document), document["votes"], document["share"], document["networks"], beyond
    )


def _parse_bracket(document: Mapping[str, str]) -> Bracket:
    return Bracket(parse_timestamp(document["earliest"]), parse_timestamp(document["latest"]))


def _parse_phase(document: Mapping[str, Any]) -> PhaseChange:
    cells = tuple(_parse_cell(part) for part in document["parts"])
    return PhaseChange(
        PhaseDirection(document["way"]),
        cells,
        _parse_bracket(document["when"]),
        parse_timestamp(document["seen"]),
    )
