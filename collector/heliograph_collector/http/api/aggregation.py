"""`/api/v1/aggregation`: counts in OONI's words, so that what reads theirs can read ours.

Reachable is ok. Blocked is confirmed where the method is a known signature of blocking (a known
block page, status 451), else an anomaly. Down and unknown are failures: OONI's failure is a
measurement that says nothing about blocking. Whole days, and of each country, network, day, test
and target only what at least `feed.k_anonymity` vantages say, in multiples of that number.
"""

import asyncio
import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from heliograph.experiments import REGISTRY, ooni_name
from heliograph_collector.http.api import parameters
from heliograph_collector.http.api.parameters import parse, write_time
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import public_text
from heliograph_collector.http.problem import Problem
from heliograph_collector.model.records import DAY_US
from heliograph_collector.store.aggregation import AXES, GRAINS, Total, Wanted

KNOWN = ("block_page", "host_block_page", "status_451", "host_legal")  # they say it themselves
COUNTS = ("anomaly_count", "confirmed_count", "failure_count", "ok_count", "measurement_count")
MAX_DAYS = 1_100
CSV = "text/csv"
_MAX_AGE_S = 60
_DEFAULT_DAYS = 30
_WAITING = 16  # such questions are dear: one at a time, and not endlessly many in line
_OURS = {entry.ooni_test: entry.name for entry in REGISTRY.values() if entry.ooni_test}

_AXIS_ABOUT = "Rows are told apart by it."
AXIS_X = parameters.choice("axis_x", _AXIS_ABOUT, AXES, "measurement_start_day")
AXIS_Y = parameters.choice("axis_y", f"{_AXIS_ABOUT} Only with `axis_x`.", AXES, "probe_asn")
GRAIN = parameters.choice(
    "time_grain",
    "Width of measurement_start_day, which names its first day (weeks begin on Monday); `auto`, "
    "and when not given: days up to a month, weeks up to a year, else months. For hours and "
    "minutes ask /api/v1/timeline.",
    (*GRAINS, "auto"),
    "day",
)
FORMAT = parameters.choice("format", "JSON when not given.", ("JSON", "CSV"), "JSON")
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


class Aggregation:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._turn = asyncio.Lock()
        self._inside = 0

    async def __call__(self, request: web.Request) -> web.Response:
        asked = parse(request.query, AGGREGATION)
        question = wanted(asked, self._feed.clock.wall_us(), self._feed.k_anonymity)
        rows = [_row(question.axes, total) for total in await self._ask(question)]
        if asked.get("format") == "CSV":
            text, media = _csv(question.axes, rows), CSV
        else:
            text, media = json.dumps(self._document(question, rows)), "application/json"
        return public_text(request, text, media, text.encode(), max_age_s=_MAX_AGE_S)

    async def _ask(self, question: Wanted) -> Sequence[Total]:
        if self._inside >= _WAITING:
            raise Problem(
                503,
                "Busy",
                "Many ask for aggregations just now; try again in some seconds.",
                headers={"Retry-After": "10"},
            )
        self._inside += 1
        try:
            async with self._turn:
                return await self._feed.totals(question)
        finally:
            self._inside -= 1

    def _document(self, question: Wanted, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "v": 0,
            "dimension_count": len(question.axes),
            "result": rows if question.axes else rows[0],
            "k_anonymity": self._feed.k_anonymity,
        }


def wanted(asked: Mapping[str, Any], now_us: int, k: int) -> Wanted:
    """Times are taken outward to whole days. Raises Problem."""
    until_us = -(-asked.get("until", now_us + 1) // DAY_US) * DAY_US
    since_us = asked.get("since", until_us - _DEFAULT_DAYS * DAY_US) // DAY_US * DAY_US
    _check_span(since_us, until_us)
    return Wanted(
        since_us=since_us,
        until_us=until_us,
        k=k,
        known=KNOWN,
        countries=asked.get("probe_cc", ()),
        asns=asked.get("probe_asn", ()),
        experiments=[_OURS.get(name, name) for name in asked.get("test_name", ())],
        domains=asked.get("domain", ()),
        input=asked.get("input", ""),
        axes=_axes(asked),
        grain=_grain(asked.get("time_grain", "auto"), (until_us - since_us) // DAY_US),
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


def _axes(asked: Mapping[str, Any]) -> tuple[str, ...]:
    axes = tuple(asked[name] for name in ("axis_x", "axis_y") if name in asked)
    others = ", ".join(axis for axis in AXES if axis not in axes)
    if "axis_y" in asked and "axis_x" not in asked:
        detail = "The parameter axis_y needs axis_x; with one axis use axis_x."
        raise Problem(400, "Bad parameter", detail, parameter="axis_y", allowed="with axis_x")
    if len(set(axes)) < len(axes):
        detail = f"The parameter axis_y must be another than axis_x; use {others}."
        raise Problem(400, "Bad parameter", detail, parameter="axis_y", allowed=others)
    return axes


def _grain(asked: str, days: int) -> str:
    if asked != "auto":
        return asked
    return "day" if days <= 31 else "week" if days <= 366 else "month"


def _row(axes: Sequence[str], total: Total) -> dict[str, Any]:
    counts = (total.anomaly, total.confirmed, total.failure, total.ok)
    at = dict(zip(axes, total.at, strict=True))
    if "test_name" in at:
        at["test_name"] = ooni_name(at["test_name"])
    return at | dict(zip(COUNTS, (*counts, sum(counts)), strict=True))


def _csv(axes: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [*axes, *COUNTS], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
