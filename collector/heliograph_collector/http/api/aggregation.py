"""`/api/v1/aggregation`: counts in OONI's terms, for clients of OONI's API.

Reachable is ok. Blocked is confirmed by the fingerprint of a state or a provider in its own country
(`judge/fingerprint_evidence.py`), else an anomaly. Down and unknown are failures: OONI's failure is
a measurement without information on blocking. The result has whole days. For each country, network,
day, test and target it has only counts of at least `feed.k_anonymity` established vantages, in
multiples of that number, and only of targets that the plan lists.
"""

import asyncio
import csv
import io
from collections.abc import Collection, Sequence

from aiohttp import web

from heliograph.experiments import REGISTRY, ooni_name
from heliograph.timestamps import format_day
from heliograph.units import DAY_US
from heliograph_collector.aggregate.disclosure import find_instant
from heliograph_collector.http.api import parameters
from heliograph_collector.http.api.parameter_types import choice_parameter
from heliograph_collector.http.api.parameters import QueryValues, parse
from heliograph_collector.http.backend import TotalSource, list_public
from heliograph_collector.http.day_range import DEFAULT_DAYS, MAX_DAYS
from heliograph_collector.http.headers import respond_json, respond_text
from heliograph_collector.http.known_networks import KnownNetworks
from heliograph_collector.http.problem import Problem, bad_parameter, unknown_name
from heliograph_collector.model.published.status import AggregationDocument, AggregationTotals
from heliograph_collector.store.aggregation import AXES, GRAINS, AggregationQuery, AggregationRow

COUNT_NAMES = ("anomaly_count", "confirmed_count", "failure_count", "ok_count", "measurement_count")
CSV = "text/csv"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_MAX_AGE_S = 60
_MAX_WAITING = 16  # queries that may wait: each is costly, so one runs at a time
_EXPERIMENTS_BY_TEST = {
    entry.ooni_test: entry.name for entry in REGISTRY.values() if entry.ooni_test
}

_AXIS_ABOUT = "Rows differ by it."
AXIS_X = choice_parameter("axis_x", _AXIS_ABOUT, AXES, "measurement_start_day")
AXIS_Y = choice_parameter("axis_y", f"{_AXIS_ABOUT} Only with `axis_x`.", AXES, "probe_asn")
GRAIN = choice_parameter(
    "time_grain",
    "Width of measurement_start_day, which names its first day (weeks begin on Monday); `auto`, "
    "and when not given: days up to a month, weeks up to a year, else months. For hours and "
    "minutes ask /api/v1/timeline.",
    (*GRAINS, "auto"),
    "day",
)
FORMAT = choice_parameter("format", "JSON when not given.", ("JSON", "CSV"), "JSON")
AGGREGATION = (
    parameters.PROBE_CC,
    parameters.PROBE_ASN,
    parameters.TEST_NAME,
    parameters.DOMAIN,
    parameters.INPUT,
    parameters.SINCE_DAY,
    parameters.UNTIL_DAY,
    GRAIN,
    AXIS_X,
    AXIS_Y,
    FORMAT,
)


class AggregationApi:
    def __init__(self, feed: TotalSource, known_networks: KnownNetworks) -> None:
        self._feed = feed
        self._known_networks = known_networks
        self._lock = asyncio.Lock()
        self._waiting_count = 0

    async def __call__(self, request: web.Request) -> web.Response:
        values = parse(request.query, AGGREGATION)
        feed = self._feed
        query = build_query(values, feed.clock.wall_us(), feed.k_anonymity, list_public(feed))
        rows = tuple(_build_row(query.axes, total) for total in await self._query_totals(query))
        if not any(row.measurement_count for row in rows):
            await self._check_names(query)
        if values.get(FORMAT) == "CSV":
            return respond_text(request, _format_csv(query.axes, rows), CSV, max_age_s=_MAX_AGE_S)
        document = AggregationDocument(
            v=0,
            dimension_count=len(query.axes),
            result=rows if query.axes else rows[0],
            k_anonymity=self._feed.k_anonymity,
        )
        return respond_json(request, document, max_age_s=_MAX_AGE_S)

    async def _check_names(self, query: AggregationQuery) -> None:
        """Refuse names of nothing, of which there is no measurement. Raises Problem 404."""
        for name in query.experiments:
            if name not in REGISTRY:
                raise unknown_name("test_name", name, ", ".join(map(ooni_name, sorted(REGISTRY))))
        for asn in query.asns:
            await self._known_networks.require(asn)
        if query.input and query.input not in list_public(self._feed):
            raise unknown_name("input", query.input, "a target that the plan lists")

    async def _query_totals(self, query: AggregationQuery) -> Sequence[AggregationRow]:
        if self._waiting_count >= _MAX_WAITING:
            raise Problem(
                503,
                "Busy",
                "Many ask for aggregations just now; try again in some seconds.",
                headers={"Retry-After": "10"},
            )
        self._waiting_count += 1
        try:
            async with self._lock:
                return await self._feed.totals(query)
        finally:
            self._waiting_count -= 1


def build_query(
    values: QueryValues, now_us: int, k: int, listed_targets: Collection[str]
) -> AggregationQuery:
    """Build the query, widened to whole days. Raises Problem."""
    until_us = -(-values.get(parameters.UNTIL_DAY, now_us + 1) // DAY_US) * DAY_US
    since_us = values.get(parameters.SINCE_DAY, until_us - DEFAULT_DAYS * DAY_US) // DAY_US * DAY_US
    _check_span(since_us, until_us)
    test_names = values.get(parameters.TEST_NAME, ())
    return AggregationQuery(
        since_us=since_us,
        until_us=until_us,
        k=k,
        listed_targets=sorted(listed_targets),
        listed_experiments=sorted(REGISTRY),
        received_before_us=find_instant(now_us, k) if k > 1 else None,
        countries=values.get(parameters.PROBE_CC, ()),
        asns=values.get(parameters.PROBE_ASN, ()),
        experiments=[_EXPERIMENTS_BY_TEST.get(name, name) for name in test_names],
        domains=values.get(parameters.DOMAIN, ()),
        input=values.get(parameters.INPUT, ""),
        axes=_parse_axes(values.get(AXIS_X), values.get(AXIS_Y)),
        grain=_choose_grain(values.get(GRAIN, "auto"), (until_us - since_us) // DAY_US),
    )


def _check_span(since_us: int, until_us: int) -> None:
    if since_us >= until_us:
        detail = "The parameter since must be before until (which is tomorrow when not given)."
        allowed = f"a day before {format_day(until_us)}"
        raise bad_parameter("since", detail, allowed)
    if until_us - since_us > MAX_DAYS * DAY_US:
        detail = f"That is more than {MAX_DAYS} days; ask for a shorter time."
        allowed = f"{format_day(until_us - MAX_DAYS * DAY_US)} or later"
        raise bad_parameter("since", detail, allowed)


def _parse_axes(axis_x: str | None, axis_y: str | None) -> tuple[str, ...]:
    axes = tuple(axis for axis in (axis_x, axis_y) if axis is not None)
    other_axes = ", ".join(axis for axis in AXES if axis not in axes)
    if axis_x is None and axis_y is not None:
        detail = "The parameter axis_y needs axis_x; with one axis use axis_x."
        raise bad_parameter("axis_y", detail, "with axis_x")
    if len(set(axes)) < len(axes):
        detail = f"The parameter axis_y must be another than axis_x; use {other_axes}."
        raise bad_parameter("axis_y", detail, other_axes)
    return axes


def _choose_grain(requested_grain: str, days: int) -> str:
    if requested_grain != "auto":
        return requested_grain
    return "day" if days <= 31 else "week" if days <= 366 else "month"


def _build_row(axes: Sequence[str], total: AggregationRow) -> AggregationTotals:
    axis_values = dict(zip(axes, total.axis_values, strict=True))
    if "test_name" in axis_values:
        axis_values["test_name"] = ooni_name(axis_values["test_name"])
    return AggregationTotals(
        **axis_values,
        anomaly_count=total.anomaly,
        confirmed_count=total.confirmed,
        failure_count=total.failure,
        ok_count=total.ok,
        measurement_count=total.anomaly + total.confirmed + total.failure + total.ok,
    )


def _format_csv(axes: Sequence[str], rows: Sequence[AggregationTotals]) -> str:
    columns = (*axes, *COUNT_NAMES)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(quote_formula(getattr(row, name)) for name in columns)
    return out.getvalue()


def quote_formula(value: object) -> object:
    """Keep a spreadsheet from running a text as a formula (OWASP, CSV Injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
