"""`/api/v1/aggregation`: counts in OONI's terms, for clients of OONI's API.

Reachable is ok. Blocked is confirmed if the method is a known signature of blocking (a known block
page, status 451), else an anomaly. Down and unknown are failures: OONI's failure is a measurement
without information on blocking. The result has whole days. For each country, network, day, test and
target it has only counts of at least `feed.k_anonymity` vantages, in multiples of that number.
"""

import asyncio
import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from heliograph.experiments import REGISTRY, ooni_name
from heliograph.units import DAY_US
from heliograph_collector.http.api import parameters
from heliograph_collector.http.api.parameters import parse, write_time
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import respond_text
from heliograph_collector.http.problem import Problem
from heliograph_collector.store.aggregation import AXES, GRAINS, AggregationQuery, AggregationRow

CONFIRMED_METHODS = (
    "block_page",
    "host_block_page",
    "status_451",
    "host_legal",
)  # these methods prove blocking by themselves
COUNT_NAMES = ("anomaly_count", "confirmed_count", "failure_count", "ok_count", "measurement_count")
MAX_DAYS = 1_100
CSV = "text/csv"
_MAX_AGE_S = 60
_DEFAULT_DAYS = 30
_MAX_WAITING = 16  # queries that may wait: each is costly, so one runs at a time
_EXPERIMENTS_BY_TEST = {
    entry.ooni_test: entry.name for entry in REGISTRY.values() if entry.ooni_test
}

_AXIS_ABOUT = "Rows are told apart by it."
AXIS_X = parameters.choice_parameter("axis_x", _AXIS_ABOUT, AXES, "measurement_start_day")
AXIS_Y = parameters.choice_parameter(
    "axis_y", f"{_AXIS_ABOUT} Only with `axis_x`.", AXES, "probe_asn"
)
GRAIN = parameters.choice_parameter(
    "time_grain",
    "Width of measurement_start_day, which names its first day (weeks begin on Monday); `auto`, "
    "and when not given: days up to a month, weeks up to a year, else months. For hours and "
    "minutes ask /api/v1/timeline.",
    (*GRAINS, "auto"),
    "day",
)
FORMAT = parameters.choice_parameter("format", "JSON when not given.", ("JSON", "CSV"), "JSON")
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
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lock = asyncio.Lock()
        self._waiting_count = 0

    async def __call__(self, request: web.Request) -> web.Response:
        values = parse(request.query, AGGREGATION)
        aggregation_query = build_query(values, self._feed.clock.wall_us(), self._feed.k_anonymity)
        rows = [
            _build_row(aggregation_query.axes, total)
            for total in await self._query_totals(aggregation_query)
        ]
        if values.get("format") == "CSV":
            content = _format_csv(aggregation_query.axes, rows)
            media = CSV
        else:
            content = json.dumps(self._build_document(aggregation_query, rows))
            media = "application/json"
        return respond_text(request, content, media, content.encode(), max_age_s=_MAX_AGE_S)

    async def _query_totals(self, aggregation_query: AggregationQuery) -> Sequence[AggregationRow]:
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
                return await self._feed.totals(aggregation_query)
        finally:
            self._waiting_count -= 1

    def _build_document(
        self, aggregation_query: AggregationQuery, rows: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        return {
            "v": 0,
            "dimension_count": len(aggregation_query.axes),
            "result": rows if aggregation_query.axes else rows[0],
            "k_anonymity": self._feed.k_anonymity,
        }


def build_query(values: Mapping[str, Any], now_us: int, k: int) -> AggregationQuery:
    """Build the query, widened to whole days. Raises Problem."""
    until_us = -(-values.get("until", now_us + 1) // DAY_US) * DAY_US
    since_us = values.get("since", until_us - _DEFAULT_DAYS * DAY_US) // DAY_US * DAY_US
    _check_span(since_us, until_us)
    return AggregationQuery(
        since_us=since_us,
        until_us=until_us,
        k=k,
        known_methods=CONFIRMED_METHODS,
        countries=values.get("probe_cc", ()),
        asns=values.get("probe_asn", ()),
        experiments=[_EXPERIMENTS_BY_TEST.get(name, name) for name in values.get("test_name", ())],
        domains=values.get("domain", ()),
        input=values.get("input", ""),
        axes=_parse_axes(values),
        grain=_choose_grain(values.get("time_grain", "auto"), (until_us - since_us) // DAY_US),
    )


def _check_span(since_us: int, until_us: int) -> None:
    if since_us >= until_us:
        detail = "The parameter since must be before until (which is tomorrow when not given)."
        allowed = f"a day before {write_time(until_us)[:10]}"
        raise Problem(400, "Bad parameter", detail, parameter="since", allowed=allowed)
    if until_us - since_us > MAX_DAYS * DAY_US:
        detail = f"That is more than {MAX_DAYS} days; ask for a shorter time."
        allowed = f"{write_time(until_us - MAX_DAYS * DAY_US)[:10]} or later"
        raise Problem(400, "Bad parameter", detail, parameter="since", allowed=allowed)


def _parse_axes(values: Mapping[str, Any]) -> tuple[str, ...]:
    axes = tuple(values[name] for name in ("axis_x", "axis_y") if name in values)
    other_axes = ", ".join(axis for axis in AXES if axis not in axes)
    if "axis_y" in values and "axis_x" not in values:
        detail = "The parameter axis_y needs axis_x; with one axis use axis_x."
        raise Problem(400, "Bad parameter", detail, parameter="axis_y", allowed="with axis_x")
    if len(set(axes)) < len(axes):
        detail = f"The parameter axis_y must be another than axis_x; use {other_axes}."
        raise Problem(400, "Bad parameter", detail, parameter="axis_y", allowed=other_axes)
    return axes


def _choose_grain(requested_grain: str, days: int) -> str:
    if requested_grain != "auto":
        return requested_grain
    return "day" if days <= 31 else "week" if days <= 366 else "month"


def _build_row(axes: Sequence[str], total: AggregationRow) -> dict[str, Any]:
    counts = (total.anomaly, total.confirmed, total.failure, total.ok)
    axis_values = dict(zip(axes, total.axis_values, strict=True))
    if "test_name" in axis_values:
        axis_values["test_name"] = ooni_name(axis_values["test_name"])
    return axis_values | dict(zip(COUNT_NAMES, (*counts, sum(counts)), strict=True))


def _format_csv(axes: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [*axes, *COUNT_NAMES], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
