"""Incidents as plain JSON values, in the feed's words. Times are RFC 3339, UTC."""

from datetime import UTC, datetime
from typing import Any

from heliograph_collector.detect.fold import Part
from heliograph_collector.detect.incident import Bracket, Incident, Turn
from heliograph_collector.detect.scope import Scope


def record(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "kind": incident.kind.value,
        "label": incident.label,
        "state": incident.state.value,
        "scope": _scope(incident.scope) | {"service": incident.service},
        "parts": [_part(part) for part in incident.parts],
        "started": _bracket(incident.started),
        "ended": _bracket(incident.ended) if incident.ended else None,
        "suspected": moment(incident.suspected_us),
        "confirmed": _maybe(incident.confirmed_us),
        "closed": _maybe(incident.closed_us),
        "layer": incident.layer,
        "method": incident.method,
        "confidence": incident.confidence,
        "turns": [_turn(turn) for turn in incident.turns],
        "hints": list(incident.hints),
        "held": list(incident.held),
    }


def moment(at_us: int) -> str:
    """Exact to the microsecond: floats would round it."""
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def _maybe(at_us: int | None) -> str | None:
    return None if at_us is None else moment(at_us)


def _scope(scope: Scope) -> dict[str, Any]:
    return {
        "country": scope.country,
        "region": scope.region,
        "asn": scope.asn,
        "access": scope.access,
    }


def _part(part: Part) -> dict[str, Any]:
    return _scope(part.scope) | {
        "votes": round(part.votes, 3),
        "share": round(part.share, 3),
        "networks": part.networks,
        "except": [_scope(scope) for scope in part.beyond],
    }


def _bracket(bracket: Bracket) -> dict[str, str]:
    return {"earliest": moment(bracket.earliest_us), "latest": moment(bracket.latest_us)}


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "way": turn.way.value,
        "parts": [_part(part) for part in turn.parts],
        "when": _bracket(turn.when),
        "seen": moment(turn.seen_us),
    }
