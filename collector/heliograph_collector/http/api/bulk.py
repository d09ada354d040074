"""Serve `/api/v1/bulk/{day}`: a day's measurements in OONI's format, by key.

A line is one measurement, within the rules of disclosure. It exists only if the five-minute cell of
its network and service is published, so at least k established lines measured the same then; only
established vantages have lines. Its time is the start of the five minutes, and it names no region:
neither is needed to judge it, and both distinguish vantages.
"""

import asyncio
import hashlib
import logging
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from aiohttp import web

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.aggregate.disclosure import BIN_S, BIN_US
from heliograph_collector.http.api.measurements import build_document
from heliograph_collector.http.api.ooni_document import OoniMeasurement
from heliograph_collector.http.api.parameters import COUNTRY, parse
from heliograph_collector.http.backend import CellSource, MeasurementSource, SiteSource
from heliograph_collector.http.basic_auth import parse_password
from heliograph_collector.http.cell_queries import feed_disclosure, query_cells
from heliograph_collector.http.problem import Problem
from heliograph_collector.model.filters import MeasurementFilter
from heliograph_collector.model.records import AgentRole, JudgedMeasurement, ReceivedMeasurement
from heliograph_collector.model.scope import ScopeFilter
from heliograph_collector.model.seniority import Seniority
from heliograph_collector.store.clickhouse import StoreError

log = logging.getLogger(__name__)

MEDIA = "application/gzip"
BULK_PARAMETERS = (COUNTRY,)
DAY_PATTERN = "^20[1-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
_GRACE_US = HOUR_US // 2  # after the day's end, as the daily files of cells; late data still come
_PAGE_SIZE = 500  # measurements in memory at once, about 5 MB; the store's own limit
_WRITE_TIMEOUT_S = 60.0  # for a partner that does not read

_Place = tuple[str, int, str, str, int]  # country, ASN, access, service, start of the bin


class BulkSource(CellSource, MeasurementSource, SiteSource, Protocol):
    """Measurements, the cells that decide which are public, and the partners."""


class BulkApi:
    def __init__(self, feed: BulkSource) -> None:
        self._feed = feed
        self._busy: set[str] = set()  # partners that are being answered

    async def send_day(self, request: web.Request) -> web.StreamResponse:
        """Respond with the lines of a past day, compressed. Raises Problem, StoreError."""
        partner = self._find_partner(request)
        country = parse(request.query, BULK_PARAMETERS).get(COUNTRY, "")
        day_us = self._read_day(request.match_info["day"])
        if request.method == "HEAD":
            return web.Response(headers=_name_file(request))
        if partner in self._busy:
            raise Problem(
                429,
                "One day at a time",
                "Another day is on its way to this key; ask when it has come.",
                headers={"Retry-After": "30"},
            )
        self._busy.add(partner)
        try:
            async with aclosing(self._compress(self._iter_lines(day_us, country))) as pieces:
                return await _stream(request, pieces)
        finally:
            self._busy.discard(partner)

    def _find_partner(self, request: web.Request) -> str:
        """Return the name of the key's owner. Raises Problem 401."""
        key = parse_password(request.headers.get("Authorization", "")) or ""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        partner = self._feed.site.publisher.partners.get(digest)
        if not partner:
            raise Problem(
                401,
                "Partners only",
                "This path is for partners: send the key that the operator gave you.",
                headers={"WWW-Authenticate": 'Bearer realm="Heliograph partners"'},
            )
        return partner

    def _read_day(self, claim: str) -> int:
        """Return the beginning of a day that is over and still kept. Raises Problem 404.

        For a day that retention dropped an empty answer would mean that nobody measured.
        """
        try:
            day = datetime.strptime(claim, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise _no_day("A day is written 2022-01-05.") from None
        day_us = round(day.timestamp()) * 1_000_000
        now_us = self._feed.clock.wall_us()
        if day_us + DAY_US + _GRACE_US > now_us:
            raise _no_day("That day is not over; its file comes half an hour after its end (UTC).")
        kept_days = self._feed.site.publisher.measurements_days
        if kept_days and day_us + (kept_days + 1) * DAY_US <= now_us:
            raise _no_day(f"Measurements are kept for {kept_days} days; that day is older.")
        return day_us

    async def _iter_lines(self, day_us: int, country: str) -> AsyncGenerator[bytes, None]:
        """Yield lines of one page after the other, hour by hour. Raises StoreError."""
        for since_us in range(day_us, day_us + DAY_US, HOUR_US):
            public = await self._list_public(since_us, country)
            filters = MeasurementFilter(
                country=country, since_us=since_us, until_us=since_us + HOUR_US
            )
            cursor = ""
            while public:
                page = await self._feed.measurements(filters, cursor, _PAGE_SIZE)
                yield await asyncio.to_thread(self._format_page, page.items, public)
                cursor = page.next
                if not cursor:
                    break

    async def _list_public(self, since_us: int, country: str) -> set[_Place]:
        """List the networks and services whose cells of an hour are public."""
        cells = await query_cells(
            self._feed,
            since_us,
            since_us + HOUR_US,
            BIN_S,
            ScopeFilter(country=country or None),
            {"region": ""},
            keep_empty=False,
        )
        released = await asyncio.to_thread(feed_disclosure(self._feed).release, cells)
        return {
            (cell.country, cell.asn, cell.access, cell.service, cell.start_us)
            for cell in released
            if cell.asn and cell.service and cell.vantages
        }

    def _format_page(self, judged: Sequence[JudgedMeasurement], public: set[_Place]) -> bytes:
        """Format the public part of a page, in an order that hides the seconds."""
        pairs = [(record, verdicts) for record, verdicts in judged if _find_place(record) in public]
        if self._feed.k_anonymity > 1:
            pairs = [pair for pair in pairs if pair[0].seniority is Seniority.ESTABLISHED]
        pairs.sort(key=lambda pair: (_find_bin(pair[0]), pair[0].id))
        documents = [_blur_time(build_document(*pair), pair[0]) for pair in pairs]
        return b"".join(msgspec.json.encode(document) + b"\n" for document in documents)

    async def _compress(self, lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)  # gzip, which names no time
        async with aclosing(lines):
            async for text in lines:
                if piece := await asyncio.to_thread(packer.compress, text):
                    yield piece
        yield packer.flush()


async def _stream(request: web.Request, pieces: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    """Send pieces; break the connection at a failure, so that a reader notices it."""
    piece = await anext(pieces)
    response = web.StreamResponse(headers=_name_file(request))
    await response.prepare(request)
    try:
        while piece:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await response.write(piece)
            piece = await anext(pieces, b"")
        await response.write_eof()
    except (StoreError, TimeoutError) as error:
        log.warning("A partner's day was cut short (%s).", str(error) or "it was not read")
        if request.transport is not None:
            request.transport.abort()
    return response


def _name_file(request: web.Request) -> dict[str, str]:
    """Return the headers of a day's file, whose length is unknown before it is written."""
    return {
        "Content-Type": MEDIA,
        "Content-Disposition": 'attachment; filename="measurements-'
        f'{request.match_info["day"]}.jsonl.gz"',
        "Cache-Control": "private, no-store",
    }


def _find_bin(record: ReceivedMeasurement) -> int:
    return record.started_us // BIN_US * BIN_US


def _find_place(record: ReceivedMeasurement) -> _Place | None:
    """Return where and when a measurement counts; None if it does not."""
    if record.role is not AgentRole.VOLUNTEER or record.is_time_bad:
        return None
    vantage = record.vantage
    service = record.measurement.service or record.measurement.target
    return (vantage.country, vantage.asn, vantage.access, service, _find_bin(record))


def _blur_time(document: OoniMeasurement, record: ReceivedMeasurement) -> OoniMeasurement:
    started = datetime.fromtimestamp(_find_bin(record) // 1_000_000, UTC)
    document.measurement_start_time = document.test_start_time = f"{started:%Y-%m-%d %H:%M:%S}"
    return document


def _no_day(detail: str) -> Problem:
    return Problem(404, "No such day", detail, parameter="day", allowed="a past day (UTC)")
