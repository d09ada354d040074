"""Incidents as the feed gives them: from the alert log, in bands, with what they rest on. Pure.

Times are to the second, and brackets only ever get wider by that: the exact moment somebody was
last heard is that person's. Parts of fewer than k votes are not told, nor incidents of such parts.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from heliograph_collector.http import labels
from heliograph_collector.http.anonymity import band, tenths
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.pages import incident_text
from heliograph_collector.incidents.book import Entry
from heliograph_collector.incidents.state import DETECTOR, Standing, is_operators

Json = dict[str, Any]
OPEN = ("suspected", "confirmed")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00Z")
_SECOND_US = 1_000_000
_PLACE = ("country", "region", "asn", "access")


def document(entries: Sequence[Entry], titles: Mapping[str, str], k: int) -> Json | None:
    """One incident by all its entries, in order; None when too few stand behind it to be shown."""
    told = state(Standing(entries).state(), titles, k)
    if told is None:
        return None
    told["evidence"] = [_evidence(entry) for entry in entries if not is_operators(entry.body)]
    told["alerts"] = [_alert(entry) for entry in entries]
    told["updated"] = _floor(entries[-1].body["at"])
    told["links"] = {
        "self": f"/api/v1/incidents/{told['id']}",
        "page": f"/incidents/{told['id']}",
        "log": f"/api/v1/log?after={entries[-1].number - 1}&limit=1",
    }
    return told


def history(
    entries: Sequence[Entry], titles: Mapping[str, str], k: int
) -> list[tuple[Json, Json | None]]:
    """What was said when: (alert, the incident as it was then, None when it may not be told)."""
    standing, told = Standing(), []
    for entry in entries:
        standing.take(entry)
        told.append((_alert(entry), state(standing.state(), titles, k)))
    return told


def state(record: Mapping[str, Any], titles: Mapping[str, str], k: int) -> Json | None:
    """What a `Standing` says of its incident, within what may be said."""
    parts = _parts(record["parts"], k)
    if not parts and k > 1:
        return None
    service = record["scope"]["service"]
    told: Json = {
        "id": record["id"],
        "kind": record["kind"],
        "label": record["label"],
        "state": record["state"],
        "detected": record.get("detected", record["state"]),
        "confirmed_by": list(record.get("confirmed_by", ())),
        "withdrawn_by": record.get("withdrawn_by", ""),
        "operator": _operator(record.get("operator")),
        "scope": {name: record["scope"][name] for name in (*_PLACE, "service")},
        "title": labels.service(service, titles) if service else "",
        "sentence": "",
        "started": _bracket(record["started"]),
        "ended": _bracket(record["ended"]) if record["ended"] else None,
        **{name: _maybe(record[name]) for name in ("suspected", "confirmed", "closed")},
        "layer": record["layer"],
        "method": record["method"],
        "confidence": record["confidence"] if k <= 1 else tenths(record["confidence"]),
        "parts": parts,
        "turns": [turn for turn in (_turn(each, k) for each in record["turns"]) if turn["parts"]],
        "hints": list(record["hints"]),
        "held": list(record["held"]),
    }
    told["sentence"] = incident_text.sentence(told)
    return told


def _operator(said: Mapping[str, Any] | None) -> Json | None:
    """The operator's own words; who said them only by a name that was chosen."""
    if said is None:
        return None
    one = {name: _word(said[name]) for name in ("acknowledged", "confirmed", "withdrawn")}
    return {**one, "notes": [_word(note) for note in said["notes"]]}


def _word(told: Mapping[str, Any] | None) -> Json | None:
    return None if told is None else {**told, "at": _floor(told["at"])}


def _parts(parts: Iterable[Mapping[str, Any]], k: int) -> list[Json]:
    return [_part(part, k) for part in parts if k <= 1 or part["votes"] >= k]


def _part(part: Mapping[str, Any], k: int) -> Json:
    return {
        **{name: part[name] for name in _PLACE},
        "votes": f"{part['votes']:g}" if k <= 1 else band(int(part["votes"]), k),
        "share": part["share"] if k <= 1 else tenths(part["share"]),
        "networks": part["networks"],
        "except": [{name: other[name] for name in _PLACE} for other in part["except"]],
    }


def _turn(turn: Mapping[str, Any], k: int) -> Json:
    return {
        "way": turn["way"],
        "parts": _parts(turn["parts"], k),
        "when": _bracket(turn["when"]),
        "seen": _floor(turn["seen"]),
    }


def _evidence(entry: Entry) -> Json:
    """What the entry can be made again from: rows of the journal, a window, versions."""
    named = {name: entry.body[name] for name in ("rows", "window", "versions")}
    return {"entry": entry.number, "hash": entry.hash, **named}


def _alert(entry: Entry) -> Json:
    """What was said when, by whom, in which words; `called`: subscribers were."""
    return {
        "entry": entry.number,
        "by": entry.body.get("by", DETECTOR),
        "name": entry.body.get("name", ""),
        "text": entry.body.get("text", ""),
        "at": _floor(entry.body["at"]),
        "change": entry.body["change"],
        "called": bool(entry.body["alert"]),
    }


def _bracket(bracket: Mapping[str, str]) -> Json:
    latest = -(-us(bracket["latest"]) // _SECOND_US) * _SECOND_US
    return {"earliest": _floor(bracket["earliest"]), "latest": write_time(latest)}


def _floor(text: str) -> str:
    return write_time(us(text) // _SECOND_US * _SECOND_US)


def _maybe(text: str | None) -> str | None:
    return None if text is None else _floor(text)


def us(text: str) -> int:
    """Microseconds since the epoch of a time in the log."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def chosen(incidents: Iterable[Json], asked: Mapping[str, Any]) -> list[Json]:
    """Those that the question is about; with times those that were under way in them."""
    scope = {name: asked[name] for name in ("country", "service") if name in asked}
    own = {name: asked[name] for name in ("state", "kind") if name in asked}
    return [
        incident
        for incident in incidents
        if all(incident["scope"][name] == value for name, value in scope.items())
        and all(incident[name] == value for name, value in own.items())
        and _under_way(incident, asked.get("since"), asked.get("until"))
    ]


def _under_way(incident: Json, since_us: int | None, until_us: int | None) -> bool:
    end = incident["ended"]["latest"] if incident["ended"] else incident["closed"]
    return (until_us is None or us(incident["started"]["earliest"]) < until_us) and (
        since_us is None or end is None or us(end) >= since_us
    )


def page(incidents: Sequence[Json], position: str, limit: int) -> tuple[list[Json], str]:
    """(`limit` of them after the `position`, the next position or "")."""
    rest = [i for i in incidents if not position or place_of(i) < position]
    rows = rest[:limit]
    return rows, place_of(rows[-1]) if len(rest) > limit else ""


def place_of(incident: Json) -> str:
    """Its place in the order, newest start first; lasts when others come in before it."""
    return f"{us(incident['started']['earliest']):020d} {incident['id']}"
