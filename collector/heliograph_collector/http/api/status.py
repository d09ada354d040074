"""`/api/v1/status`: the snapshot as JSON, and the live events made from its changes."""

from collections.abc import Iterator, Mapping
from typing import Any

from heliograph_collector.http.anonymity import band, floor
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.snapshot import Bracket, Column, Reading, Snapshot
from heliograph_collector.model.records import Cell

Json = dict[str, Any]


def document(snapshot: Snapshot, country: str = "") -> Json:
    columns = [c for c in snapshot.columns if country in ("", c.group.country)]
    titles = dict(snapshot.services)
    return {
        "at": write_time(snapshot.at_us // 1_000_000 * 1_000_000),
        "k_anonymity": snapshot.k,
        "groups": [_group(snapshot, column, titles) for column in columns],
        "coverage": coverage(snapshot),
    }


def coverage(snapshot: Snapshot) -> Json:
    """How many look, and when nobody did."""
    seen, k = snapshot.coverage, snapshot.k
    return {
        "vantages": total_band(seen.vantages, k),
        "groups": len(snapshot.columns),
        "withheld_groups": seen.withheld,
        "controls": seen.agents.controls,
        "blind": [{"from": write_time(a), "until": write_time(b)} for a, b in seen.blind],
    }


def total_band(count: int, k: int) -> str:
    """Nobody is nobody: an empty cell may say so."""
    return "0" if count == 0 else band(count, k)


def _group(snapshot: Snapshot, column: Column, titles: Mapping[str, str]) -> Json:
    group = column.group
    return {
        "country": group.country,
        "asn": group.asn,
        "access": group.access,
        "link": column.link.value,
        "vantages": total_band(column.vantages, snapshot.k),
        "silent": band(column.silent, snapshot.k),
        "services": [
            {"service": name, "title": titles[name], **_reading(reading, snapshot.k)}
            for name, reading in column.readings.items()
        ],
    }


def _reading(reading: Reading, k: int) -> Json:
    cell = reading.cell
    return {
        "state": cell.state.value if cell else "unknown",
        "confidence": cell.confidence if cell else 0.0,
        "counts": {
            "vantages": total_band(cell.vantages if cell else 0, k),
            **({name: band(getattr(cell, name), k) for name in _COUNTS} if cell else {}),
        },
        "layer": cell.layer if cell else "",
        "method": cell.method if cell else "",
        "start": write_time(cell.start_us) if cell else None,
        "since": _bracket(reading.since),
    }


_COUNTS = ("reachable", "blocked", "down", "unknown")


def _bracket(since: Bracket | None) -> Json | None:
    if since is None:
        return None
    earliest = None if since.earliest_us is None else write_time(since.earliest_us)
    return {"earliest": earliest, "latest": write_time(since.latest_us)}


def row(cell: Cell | None, start_us: int, k: int) -> Json:
    """One line of a timeline. None: somebody measured, too few to be shown."""
    if cell is None:
        nothing = dict.fromkeys(("vantages", *_COUNTS, "silent"))
        return {"start": write_time(start_us), **nothing, "state": "unknown", "confidence": 0.0}
    return {
        "start": write_time(start_us),
        "vantages": floor(cell.vantages, k),
        **{name: floor(getattr(cell, name), k) for name in _COUNTS},
        "silent": floor(cell.silent, k),
        "state": cell.state.value,
        "confidence": cell.confidence,
    }


def changes(before: Snapshot | None, after: Snapshot) -> Iterator[tuple[str, Json]]:
    """The events ("cell" or "coverage", data) that lead a reader from one snapshot to the next."""
    old = {} if before is None else dict(_cells(before))
    new = dict(_cells(after))
    for key, data in new.items():
        if old.get(key) != data:
            yield "cell", data
    for country, asn, access, service in (key for key in old if key not in new):
        gone = {"country": country, "asn": asn, "access": access, "service": service}
        yield "cell", {**gone, **_reading(_GONE, after.k)}
    if before is None or coverage(before) != coverage(after):
        yield "coverage", coverage(after)


_GONE = Reading(service="", cell=None, since=None, strip=())


def _cells(snapshot: Snapshot) -> Iterator[tuple[tuple[str, int, str, str], Json]]:
    for column in snapshot.columns:
        where = {
            "country": column.group.country,
            "asn": column.group.asn,
            "access": column.group.access,
        }
        for name, reading in column.readings.items():
            key = (column.group.country, column.group.asn, column.group.access, name)
            yield key, {**where, "service": name, **_reading(reading, snapshot.k)}
