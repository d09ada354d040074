"""Incident documents of the feed, from the alert log, with counts in bands. Pure.

Times are rounded to the second, and brackets only widen: the exact time of an agent's last message
belongs to one person. Parts with fewer than k votes are withheld, and incidents of such parts too.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from heliograph.units import SECOND_US
from heliograph_collector.http import labels
from heliograph_collector.http.anonymity import floor_tenths, format_band
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.pages import incident_text
from heliograph_collector.incidents.state import (
    DETECTOR,
    IncidentHistory,
    LogEntry,
    is_operator_entry,
)

Json = dict[str, Any]
OPEN_STATES = ("suspected", "confirmed")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")
_CELL_FIELDS = ("country", "region", "asn", "access")


def build_document(entries: Sequence[LogEntry], titles: Mapping[str, str], k: int) -> Json | None:
    """Build an incident from all its entries; None if k-anonymity withholds it."""
    incident = build_state(IncidentHistory(entries).state(), titles, k)
    if incident is None:
        return None
    incident["evidence"] = [
        _build_evidence(entry) for entry in entries if not is_operator_entry(entry.body)
    ]
    incident["alerts"] = [_build_alert(entry) for entry in entries]
    incident["updated"] = _floor_second(entries[-1].body["at"])
    incident["links"] = {
        "self": f"/api/v1/incidents/{incident['id']}",
        "page": f"/incidents/{incident['id']}",
        "log": f"/api/v1/log?after={entries[-1].number - 1}&limit=1",
    }
    return incident


def build_history(
    entries: Sequence[LogEntry], titles: Mapping[str, str], k: int
) -> list[tuple[Json, Json | None]]:
    """List (alert, incident at that entry, None if withheld)."""
    incident_state = IncidentHistory()
    rows = []
    for entry in entries:
        incident_state.add_entry(entry)
        rows.append((_build_alert(entry), build_state(incident_state.state(), titles, k)))
    return rows


def build_state(record: Mapping[str, Any], titles: Mapping[str, str], k: int) -> Json | None:
    """Build an incident's state from its record; None if k-anonymity withholds it."""
    parts = _build_parts(record["parts"], k)
    if not parts and k > 1:
        return None
    service = record["scope"]["service"]
    incident: Json = {
        "id": record["id"],
        "kind": record["kind"],
        "label": record["label"],
        "state": record["state"],
        "detected": record.get("detected", record["state"]),
        "confirmed_by": list(record.get("confirmed_by", ())),
        "withdrawn_by": record.get("withdrawn_by", ""),
        "operator": _build_operator(record.get("operator")),
        "scope": {name: record["scope"][name] for name in (*_CELL_FIELDS, "service")},
        "title": labels.service_title(service, titles) if service else "",
        "sentence": "",
        "started": _build_bracket(record["started"]),
        "ended": _build_bracket(record["ended"]) if record["ended"] else None,
        **{name: _floor_optional(record[name]) for name in ("suspected", "confirmed", "closed")},
        "layer": record["layer"],
        "method": record["method"],
        "confidence": record["confidence"] if k <= 1 else floor_tenths(record["confidence"]),
        "parts": parts,
        "turns": [
            turn
            for turn in (_build_turn(phase_change, k) for phase_change in record["turns"])
            if turn["parts"]
        ],
        "hints": list(record["hints"]),
        "held": list(record["held"]),
    }
    incident["sentence"] = incident_text.describe_incident(incident)
    return incident


def _build_operator(record: Mapping[str, Any] | None) -> Json | None:
    """Build the operator's statements; authors appear only by their chosen name."""
    if record is None:
        return None
    verdicts = {
        name: _build_note(record[name]) for name in ("acknowledged", "confirmed", "withdrawn")
    }
    return {**verdicts, "notes": [_build_note(note) for note in record["notes"]]}


def _build_note(note: Mapping[str, Any] | None) -> Json | None:
    return None if note is None else {**note, "at": _floor_second(note["at"])}


def _build_parts(parts: Iterable[Mapping[str, Any]], k: int) -> list[Json]:
    return [_build_part(part, k) for part in parts if k <= 1 or part["votes"] >= k]


def _build_part(part: Mapping[str, Any], k: int) -> Json:
    return {
        **{name: part[name] for name in _CELL_FIELDS},
        "votes": f"{part['votes']:g}" if k <= 1 else format_band(int(part["votes"]), k),
        "share": part["share"] if k <= 1 else floor_tenths(part["share"]),
        "networks": part["networks"],
        "except": [{name: other[name] for name in _CELL_FIELDS} for other in part["except"]],
    }


def _build_turn(phase_change: Mapping[str, Any], k: int) -> Json:
    return {
        "way": phase_change["way"],
        "parts": _build_parts(phase_change["parts"], k),
        "when": _build_bracket(phase_change["when"]),
        "seen": _floor_second(phase_change["seen"]),
    }


def _build_evidence(entry: LogEntry) -> Json:
    """Build what is needed to recompute the entry: journal rows, a window, versions."""
    fields = {name: entry.body[name] for name in ("rows", "window", "versions")}
    return {"entry": entry.number, "hash": entry.hash, **fields}


def _build_alert(entry: LogEntry) -> Json:
    """Build one alert: time, author, text, and whether subscribers were notified."""
    return {
        "entry": entry.number,
        "by": entry.body.get("by", DETECTOR),
        "name": entry.body.get("name", ""),
        "text": entry.body.get("text", ""),
        "at": _floor_second(entry.body["at"]),
        "change": entry.body["change"],
        "called": bool(entry.body["alert"]),
    }


def _build_bracket(bracket: Mapping[str, str]) -> Json:
    latest = -(-parse_us(bracket["latest"]) // SECOND_US) * SECOND_US
    return {"earliest": _floor_second(bracket["earliest"]), "latest": write_time(latest)}


def _floor_second(timestamp: str) -> str:
    return write_time(parse_us(timestamp) // SECOND_US * SECOND_US)


def _floor_optional(timestamp: str | None) -> str | None:
    return None if timestamp is None else _floor_second(timestamp)


def parse_us(timestamp: str) -> int:
    """Parse a time of the log to microseconds since the epoch."""
    return (datetime.fromisoformat(timestamp) - _EPOCH) // timedelta(microseconds=1)


def filter_incidents(incidents: Iterable[Json], filters: Mapping[str, Any]) -> list[Json]:
    """Filter incidents; with times, keep those that overlap the time range."""
    scope = {name: filters[name] for name in ("country", "service") if name in filters}
    state_filters = {name: filters[name] for name in ("state", "kind") if name in filters}
    return [
        incident
        for incident in incidents
        if all(incident["scope"][name] == value for name, value in scope.items())
        and all(incident[name] == value for name, value in state_filters.items())
        and _overlaps(incident, filters.get("since"), filters.get("until"))
    ]


def _overlaps(incident: Json, since_us: int | None, until_us: int | None) -> bool:
    end = incident["ended"]["latest"] if incident["ended"] else incident["closed"]
    return (until_us is None or parse_us(incident["started"]["earliest"]) < until_us) and (
        since_us is None or end is None or parse_us(end) >= since_us
    )


def cut_page(incidents: Sequence[Json], position: str, limit: int) -> tuple[list[Json], str]:
    """Return (at most `limit` incidents after `position`, the next position or "")."""
    rest = [i for i in incidents if not position or sort_key(i) < position]
    rows = rest[:limit]
    return rows, sort_key(rows[-1]) if len(rest) > limit else ""


def sort_key(incident: Json) -> str:
    """Return the sort key, newest start first; it is stable as incidents are added."""
    return f"{parse_us(incident['started']['earliest']):020d} {incident['id']}"
