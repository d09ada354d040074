"""Incidents as plain JSON values, in the feed's words. Times are RFC 3339, UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from heliograph_collector.incidents.incident import Bracket, Incident, Kind, State, Turn, Way
from heliograph_collector.incidents.scope import Part, Scope


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


def incident_of(said: Mapping[str, Any]) -> Incident:
    """What a record says. `record` makes the same of it again."""
    return Incident(
        id=said["id"],
        kind=Kind(said["kind"]),
        state=State(said["state"]),
        parts=tuple(_part_of(part) for part in said["parts"]),
        started=_bracket_of(said["started"]),
        ended=_bracket_of(said["ended"]) if said["ended"] else None,
        suspected_us=micros(said["suspected"]),
        confirmed_us=micros(said["confirmed"]) if said["confirmed"] else None,
        closed_us=micros(said["closed"]) if said["closed"] else None,
        service=said["scope"]["service"],
        layer=said["layer"],
        method=said["method"],
        confidence=said["confidence"],
        turns=tuple(_turn_of(turn) for turn in said["turns"]),
        hints=tuple(said["hints"]),
        held=tuple(said["held"]),
    )


def micros(text: str) -> int:
    """The inverse of `moment`."""
    at = datetime.fromisoformat(text)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


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


def _scope_of(said: Mapping[str, Any]) -> Scope:
    return Scope(said["country"], said["region"], said["asn"], said["access"])


def _part_of(said: Mapping[str, Any]) -> Part:
    beyond = tuple(_scope_of(scope) for scope in said["except"])
    return Part(_scope_of(said), said["votes"], said["share"], said["networks"], beyond)


def _bracket_of(said: Mapping[str, str]) -> Bracket:
    return Bracket(micros(said["earliest"]), micros(said["latest"]))


def _turn_of(said: Mapping[str, Any]) -> Turn:
    parts = tuple(_part_of(part) for part in said["parts"])
    return Turn(Way(said["way"]), parts, _bracket_of(said["when"]), micros(said["seen"]))
