"""The current state as JSON with its live events, and the health of the collector."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from heliograph_collector.http.anonymity import band_floor, format_band
from heliograph_collector.http.api.parameters import write_time
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.basic_auth import OperatorAuth
from heliograph_collector.http.snapshot import (
    ChangeBracket,
    NetworkColumn,
    ServiceReading,
    Snapshot,
)
from heliograph_collector.model.records import Cell

Json = dict[str, Any]


def build_status(snapshot: Snapshot, country: str = "") -> Json:
    columns = [c for c in snapshot.columns if country in ("", c.group.country)]
    titles = dict(snapshot.services)
    return {
        "at": write_time(snapshot.at_us // 1_000_000 * 1_000_000),
        "k_anonymity": snapshot.k,
        "groups": [_build_group(snapshot, column, titles) for column in columns],
        "coverage": build_coverage(snapshot),
    }


def build_coverage(snapshot: Snapshot) -> Json:
    """Build the number of vantages and the times without any."""
    snapshot_coverage = snapshot.coverage
    k = snapshot.k
    return {
        "vantages": format_total(snapshot_coverage.vantages, k),
        "groups": len(snapshot.columns),
        "withheld_groups": snapshot_coverage.withheld_groups,
        "controls": snapshot_coverage.agents.controls,
        "blind": [
            {"from": write_time(a), "until": write_time(b)} for a, b in snapshot_coverage.gaps
        ],
    }


def format_total(count: int, k: int) -> str:
    """Format a count; zero needs no band, because it reveals no vantage."""
    return "0" if count == 0 else format_band(count, k)


def _build_group(snapshot: Snapshot, column: NetworkColumn, titles: Mapping[str, str]) -> Json:
    group = column.group
    return {
        "country": group.country,
        "asn": group.asn,
        "access": group.access,
        "link": column.link.value,
        "vantages": format_total(column.vantages, snapshot.k),
        "silent": format_band(column.silent, snapshot.k),
        "services": [
            {"service": name, "title": titles[name], **_build_reading(reading, snapshot.k)}
            for name, reading in column.readings.items()
        ],
    }


def _build_reading(reading: ServiceReading, k: int) -> Json:
    cell = reading.cell
    return {
        "state": cell.state.value if cell else "unknown",
        "confidence": cell.confidence if cell else 0.0,
        "counts": {
            "vantages": format_total(cell.vantages if cell else 0, k),
            **({name: format_band(getattr(cell, name), k) for name in _COUNTS} if cell else {}),
        },
        "layer": cell.layer if cell else "",
        "method": cell.method if cell else "",
        "start": write_time(cell.start_us) if cell else None,
        "since": _build_bracket(reading.since),
    }


_COUNTS = ("reachable", "blocked", "down", "unknown")


def _build_bracket(since: ChangeBracket | None) -> Json | None:
    if since is None:
        return None
    earliest = None if since.earliest_us is None else write_time(since.earliest_us)
    return {"earliest": earliest, "latest": write_time(since.latest_us)}


def build_row(cell: Cell | None, start_us: int, k: int) -> Json:
    """Build one bin of a timeline; None: it was measured, but by too few to be shown."""
    if cell is None:
        empty_counts = dict.fromkeys(("vantages", *_COUNTS, "silent"))
        return {
            "start": write_time(start_us),
            **empty_counts,
            "state": "unknown",
            "confidence": 0.0,
        }
    return {
        "start": write_time(start_us),
        "vantages": band_floor(cell.vantages, k),
        **{name: band_floor(getattr(cell, name), k) for name in _COUNTS},
        "silent": band_floor(cell.silent, k),
        "state": cell.state.value,
        "confidence": cell.confidence,
    }


def iter_changes(before: Snapshot | None, after: Snapshot) -> Iterator[tuple[str, Json]]:
    """Yield the events ("cell" or "coverage", data) between two snapshots."""
    old_cells = {} if before is None else dict(_iter_cells(before))
    new_cells = dict(_iter_cells(after))
    for key, data in new_cells.items():
        if old_cells.get(key) != data:
            yield "cell", data
    for country, asn, access, service in (key for key in old_cells if key not in new_cells):
        removed_key = {"country": country, "asn": asn, "access": access, "service": service}
        yield "cell", {**removed_key, **_build_reading(_MISSING, after.k)}
    if before is None or build_coverage(before) != build_coverage(after):
        yield "coverage", build_coverage(after)


_MISSING = ServiceReading(service="", cell=None, since=None, strip=())


def _iter_cells(snapshot: Snapshot) -> Iterator[tuple[tuple[str, int, str, str], Json]]:
    for column in snapshot.columns:
        group_key = {
            "country": column.group.country,
            "asn": column.group.asn,
            "access": column.group.access,
        }
        for name, reading in column.readings.items():
            key = (column.group.country, column.group.asn, column.group.access, name)
            yield key, {**group_key, "service": name, **_build_reading(reading, snapshot.k)}


class HealthApi:
    def __init__(self, feed: Feed, operator: OperatorAuth) -> None:
        self._feed = feed
        self._operator = operator

    async def alive(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def ready(self, request: web.Request) -> web.Response:
        """Respond with 503 and the reasons if readers or agents would notice a problem."""
        problems = list(self._feed.problems())
        body = {"ready": not problems, "problems": problems}
        return web.json_response(body, status=503 if problems else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Respond with the metrics. Raises Problem 401 if only the operator may read them."""
        if not self._feed.metrics_open:
            await self._operator.require(request)
        exposition = await asyncio.to_thread(generate_latest, self._feed.registry)
        return web.Response(body=exposition, headers={"Content-Type": CONTENT_TYPE_LATEST})
