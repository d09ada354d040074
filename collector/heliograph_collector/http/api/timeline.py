"""The status and the timelines."""

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from heliograph.timestamps import format_time
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.aggregate.query_cache import StaleWhileRevalidate, Ttl
from heliograph_collector.http.api import status
from heliograph_collector.http.api.parameter_types import BINS
from heliograph_collector.http.api.parameters import (
    ACCESS,
    ASN,
    BIN,
    COUNTRY,
    REGION,
    SERVICE,
    SINCE,
    UNTIL,
    QueryValues,
    parse,
)
from heliograph_collector.http.backend import CellSource, SiteSource
from heliograph_collector.http.cell_queries import query_series
from heliograph_collector.http.headers import (
    PreparedResponse,
    prepare_json,
    respond_json,
    respond_prepared,
)
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.problem import bad_parameter, require_service
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.published.status import TimelineDocument
from heliograph_collector.model.scope import ScopeFilter

STATUS_PARAMETERS = (COUNTRY,)
TIMELINE_PARAMETERS = (COUNTRY, REGION, ASN, ACCESS, SERVICE, SINCE, UNTIL, BIN)
MAX_ROWS = 2_016  # a week in bins of five minutes
_MAX_KEPT_ROWS = 50_000  # of last answers, some 300 bytes each; assumed
MAX_WORLD_ROWS = 300  # of all countries together, whose networks are released one by one; assumed


@dataclass(frozen=True, slots=True)
class _TimelineAnswer:
    document: TimelineDocument
    read_us: int


class _LastAnswers(StaleWhileRevalidate[_TimelineAnswer]):
    """Last answers, for an hour while the store fails or has no time."""

    def weigh(self, value: _TimelineAnswer) -> int:
        return 1 + len(value.document.cells)


class TimelineSource(CellSource, SiteSource, Protocol):
    """The cells of a timeline, and the license of them."""


class TimelineApi:
    def __init__(
        self, feed: TimelineSource, snapshot_cache: SnapshotCache, known_networks: KnownNetworks
    ) -> None:
        self._feed = feed
        self._known_networks = known_networks
        self._snapshot_cache = snapshot_cache
        self._last_answers = _LastAnswers(feed.clock, _MAX_KEPT_ROWS)

    async def status(self, request: web.Request) -> web.Response:
        values = parse(request.query, STATUS_PARAMETERS)
        snapshot = await self._snapshot_cache.current_snapshot()
        country = values.get(COUNTRY, "")

        def make() -> PreparedResponse:
            return prepare_json(
                status.build_status(snapshot, country, self._feed.site.publisher.license)
            )

        status_response = await self._snapshot_cache.derive(snapshot, ("status", country), make)
        return respond_prepared(request, status_response, max_age_s=5)

    async def timeline(self, request: web.Request) -> web.Response:
        """Respond with the bins; `Age` is the age of an answer that was computed earlier.

        Raises Problem, and StoreError where the store fails and gave no answer within an hour.
        """
        values = parse(request.query, TIMELINE_PARAMETERS)
        since_us, until_us, bin_s = parse_span(values, self._feed.clock.wall_us())
        if not values.get(COUNTRY) and not values.get(ASN):
            _check_world_rows((until_us - since_us) // (bin_s * SECOND_US))
        scope_filter = ScopeFilter(
            country=values.get(COUNTRY),
            region=values.get(REGION),
            asn=values.get(ASN),
            access=values.get(ACCESS),
            service=require_service(self._feed, values.get(SERVICE)),
        )

        async def read() -> _TimelineAnswer:
            read_us = self._feed.clock.wall_us()
            return _TimelineAnswer(
                await self._read(*parse_span(values, read_us), scope_filter), read_us
            )

        # Without times the key is that of the newest bins, whenever they are asked for.
        key = (scope_filter, values.get(SINCE), values.get(UNTIL), bin_s)
        answer = await self._last_answers.get_last(key, read, Ttl(fresh_us=0), patience_s=0)
        response = respond_json(request, answer.document, max_age_s=30)
        age_s = (self._feed.clock.wall_us() - answer.read_us) // SECOND_US
        if age_s > 0:
            response.headers["Age"] = str(age_s)  # RFC 9111, section 5.1
        return response

    async def _read(
        self, since_us: int, until_us: int, bin_s: int, scope_filter: ScopeFilter
    ) -> TimelineDocument:
        cells = await query_series(self._feed, since_us, until_us, bin_s, scope_filter)
        if not any(cell.vantages or cell.silent for cell in cells):  # else it was measured once
            await self._known_networks.require(scope_filter.asn)
        k = self._feed.k_anonymity
        return TimelineDocument(
            since=format_time(since_us),
            until=format_time(until_us),
            bin_s=bin_s,
            k_anonymity=k,
            license=self._feed.site.publisher.license,
            scope=scope_filter,
            cells=tuple(status.build_row(cell, k) for cell in cells),
        )


def _check_world_rows(rows: int) -> None:
    if rows > MAX_WORLD_ROWS:
        raise bad_parameter(
            "country",
            f"All countries together have at most {MAX_WORLD_ROWS} rows; name a country, or take "
            "a wider bin or a shorter time.",
            "a country, such as KZ",
        )


def parse_span(values: QueryValues, now_us: int) -> tuple[int, int, int]:
    """Return (since, until, bin width in seconds), widened to bins. Raises Problem."""
    bin_s = values.get(BIN, BINS["5m"])
    width = bin_s * 1_000_000
    until = values.get(UNTIL, now_us)
    since = values.get(SINCE, until - DAY_US)
    if since >= until:
        raise bad_parameter(
            "since",
            "The parameter since must be before until (which is now when not given).",
            f"a time before {format_time(until)}",
        )
    first = since // width * width
    last = -(-until // width) * width
    if (last - first) // width > MAX_ROWS:
        raise bad_parameter(
            "bin",
            f"That is more than {MAX_ROWS} rows; take a wider bin or a shorter time.",
            ", ".join(
                name for name, s in BINS.items() if (last - first) // (s * 1_000_000) <= MAX_ROWS
            )
            or "a shorter time",
        )
    return first, last, bin_s
