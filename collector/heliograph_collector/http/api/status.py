"""The current state as JSON with its live events, and the health of the collector."""

import asyncio
from collections.abc import Iterator, Mapping

from aiohttp import web
from msgspec import UNSET, structs
from msgspec.structs import asdict
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from heliograph.observation import Link
from heliograph.timestamps import format_second, format_time
from heliograph_collector.aggregate.cell_state import list_functions
from heliograph_collector.http.anonymity import band_floor, format_band
from heliograph_collector.http.backend import DEFAULT_LICENSE, Feed
from heliograph_collector.http.basic_auth import OperatorAuth
from heliograph_collector.http.headers import answer_json
from heliograph_collector.http.snapshot import (
    ChangeBracket,
    NetworkColumn,
    ServiceReading,
    Snapshot,
)
from heliograph_collector.model.published.files import AliveDocument, ReadyDocument
from heliograph_collector.model.published.status import (
    BandCounts,
    CellDocument,
    ChangeBracketDocument,
    CoverageDocument,
    GroupDocument,
    ReadingDocument,
    ServiceChange,
    ServiceNow,
    StatusDocument,
    UnmeasuredTime,
)
from heliograph_collector.model.records import Cell, VerdictState


def build_status(
    snapshot: Snapshot, country: str = "", license_name: str = DEFAULT_LICENSE
) -> StatusDocument:
    columns = [c for c in snapshot.columns if country in ("", c.group.country)]
    titles = dict(snapshot.services)
    return StatusDocument(
        at=format_second(snapshot.at_us),
        entry=snapshot.entry,
        k_anonymity=snapshot.k,
        license=license_name,
        groups=tuple(_build_group(snapshot, column, titles) for column in columns),
        coverage=build_coverage(snapshot),
    )


def build_coverage(snapshot: Snapshot) -> CoverageDocument:
    """Build the number of vantages and the times without any."""
    snapshot_coverage = snapshot.coverage
    return CoverageDocument(
        vantages=format_total(snapshot_coverage.vantages, snapshot.k),
        groups=len(snapshot.columns),
        controls=snapshot_coverage.agents.controls,
        blind=tuple(
            UnmeasuredTime(format_time(since_us), format_time(until_us))
            for since_us, until_us in snapshot_coverage.gaps
        ),
    )


def format_total(count: int, k: int) -> str:
    """Format a count; zero needs no band, because it reveals no vantage."""
    return "0" if count == 0 else format_band(count, k)


def _build_group(
    snapshot: Snapshot, column: NetworkColumn, titles: Mapping[str, str]
) -> GroupDocument:
    return GroupDocument(
        country=column.group.country,
        asn=column.group.asn,
        access=column.group.access,
        link=Link.UNKNOWN if column.is_one_way else column.link,
        vantages=format_total(column.vantages, snapshot.k),
        silent=format_band(column.silent, snapshot.k),
        services=tuple(
            ServiceNow(
                service=name, title=titles[name], **asdict(_build_reading(reading, snapshot.k))
            )
            for name, reading in column.readings.items()
        ),
    )


_EMPTY_READING = ReadingDocument(
    state=VerdictState.UNKNOWN,
    confidence=0.0,
    counts=BandCounts(vantages="0"),
    layer="",
    method="",
    start=None,
    since=None,
)


def _build_reading(reading: ServiceReading, k: int) -> ReadingDocument:
    cell = reading.cell
    if cell is None:
        return structs.replace(
            _EMPTY_READING,
            state=reading.state or VerdictState.UNKNOWN,
            confidence=reading.confidence,
            since=_build_bracket(reading.since),
        )
    return ReadingDocument(
        state=cell.state,
        confidence=cell.confidence,
        counts=BandCounts(
            vantages=format_total(cell.vantages, k),
            reachable=format_band(cell.reachable, k),
            blocked=format_band(cell.blocked, k),
            down=format_band(cell.down, k),
            unknown=format_band(cell.unknown, k),
        ),
        layer=cell.layer,
        method="" if cell.state is VerdictState.PARTIAL else cell.method,
        start=format_time(cell.start_us),
        since=_build_bracket(reading.since),
        functions=list_functions(cell) or UNSET,
    )


def _build_bracket(since: ChangeBracket | None) -> ChangeBracketDocument | None:
    if since is None:
        return None
    earliest = None if since.earliest_us is None else format_time(since.earliest_us)
    return ChangeBracketDocument(earliest, format_time(since.latest_us))


def build_row(cell: Cell, k: int) -> CellDocument:
    """Build one bin of a timeline."""
    return CellDocument(
        start=format_time(cell.start_us),
        vantages=band_floor(cell.vantages, k),
        reachable=band_floor(cell.reachable, k),
        blocked=band_floor(cell.blocked, k),
        down=band_floor(cell.down, k),
        unknown=band_floor(cell.unknown, k),
        silent=band_floor(cell.silent, k),
        state=cell.state,
        confidence=cell.confidence,
        functions=list_functions(cell) or UNSET,
    )


_CellKey = tuple[str, int, str, str]  # country, ASN, access, service


def iter_changes(
    before: Snapshot | None, after: Snapshot
) -> Iterator[tuple[str, ServiceChange | CoverageDocument]]:
    """Yield the events ("cell" or "coverage", data) between two snapshots."""
    old_readings = {} if before is None else dict(_iter_readings(before))
    new_readings = dict(_iter_readings(after))
    for key, reading in new_readings.items():
        if old_readings.get(key) != reading:
            yield "cell", _build_change(key, reading)
    for key in old_readings:
        if key not in new_readings:
            yield "cell", _build_change(key, _EMPTY_READING)
    if before is None or build_coverage(before) != build_coverage(after):
        yield "coverage", build_coverage(after)


def _iter_readings(snapshot: Snapshot) -> Iterator[tuple[_CellKey, ReadingDocument]]:
    for column in snapshot.columns:
        group = column.group
        for name, reading in column.readings.items():
            key = (group.country, group.asn, group.access, name)
            yield key, _build_reading(reading, snapshot.k)


def _build_change(key: _CellKey, reading: ReadingDocument) -> ServiceChange:
    country, asn, access, service = key
    return ServiceChange(
        country=country, asn=asn, access=access, service=service, **asdict(reading)
    )


class HealthApi:
    def __init__(self, feed: Feed, operator: OperatorAuth) -> None:
        self._feed = feed
        self._operator = operator

    async def alive(self, request: web.Request) -> web.Response:
        return answer_json(AliveDocument(alive=True))

    async def ready(self, request: web.Request) -> web.Response:
        """Respond with 503 and the reasons if readers or agents would notice a problem."""
        problems = tuple(self._feed.problems())
        readiness = ReadyDocument(ready=not problems, problems=problems)
        return answer_json(readiness, status=503 if problems else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Respond with the metrics. Raises Problem 401 if only the operator may read them."""
        if not self._feed.site.metrics_open:
            await self._operator.require(request)
        exposition = await asyncio.to_thread(generate_latest, self._feed.registry)
        return web.Response(body=exposition, headers={"Content-Type": CONTENT_TYPE_LATEST})
