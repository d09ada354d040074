"""`/api/v1/coverage`: coverage gaps with reasons, and countries' coverage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.http import labels
from heliograph_collector.http.anonymity import format_band
from heliograph_collector.http.api.parameters import COUNTRY, SINCE, UNTIL, parse, write_time
from heliograph_collector.http.api.status import format_total
from heliograph_collector.http.backend import Feed
from heliograph_collector.http.headers import respond_json
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.problem import Problem
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache

Json = dict[str, Any]
COVERAGE = (COUNTRY, SINCE, UNTIL)
MAX_GAPS = 1_000
_WEEK_US = 7 * DAY_US
_MAX_SPAN_US = 366 * DAY_US
UNMEASURED = "nobody_measured"


class CoverageApi:
    def __init__(
        self, feed: Feed, incident_cache: IncidentCache, snapshot_cache: SnapshotCache
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache

    async def __call__(self, request: web.Request) -> web.Response:
        values = parse(request.query, COVERAGE)
        now_us = self._feed.clock.wall_us() // 1_000_000 * 1_000_000
        until_us = values.get("until", now_us)
        since_us = values.get("since", until_us - _WEEK_US)
        _check_span(since_us, until_us)
        snapshot = await self._snapshot_cache.current_snapshot()
        shown_countries = set(count_by_country(snapshot)) | {
            i["scope"]["country"] for i in self._incident_cache.all_incidents()
        }
        rows = [
            *self._feed.list_gaps(since_us, until_us),
            *_list_unmeasured(snapshot, since_us, until_us),
        ]
        coverage_gaps = list_gaps(
            rows, values.get("country", ""), shown_countries if snapshot.k > 1 else None
        )
        body = {
            "at": write_time(now_us),
            "since": write_time(since_us),
            "until": write_time(until_us),
            "k_anonymity": snapshot.k,
            "blind": coverage_gaps[-MAX_GAPS:],
            "complete": len(coverage_gaps) <= MAX_GAPS,
            "countries": list_coverage(snapshot, values.get("country", "")),
        }
        return respond_json(request, body, max_age_s=15)


def _check_span(since_us: int, until_us: int) -> None:
    if not 0 < until_us - since_us <= _MAX_SPAN_US:
        raise Problem(
            400,
            "Bad parameter",
            "The parameter since must be before until, by a year at most.",
            parameter="since",
            allowed=f"a time in the 366 days before {write_time(until_us)}",
        )


def list_gaps(
    rows: Iterable[Mapping[str, Any]], country: str, shown_countries: set[str] | None
) -> list[Json]:
    """List gaps in order of time.

    A gap of a country that is not shown is withheld: it would reveal a vantage there.
    """
    shown_rows = [
        row
        for row in rows
        if (not row["country"] or shown_countries is None or row["country"] in shown_countries)
        and (not country or row["country"] in ("", country))
    ]
    return [
        build_gap(row) for row in sorted(shown_rows, key=lambda row: (row["from"], row["country"]))
    ]


def build_gap(row: Mapping[str, Any]) -> Json:
    """Build a gap, widened to whole seconds.

    The exact time may be that at which one vantage connected or disconnected.
    """
    reason = str(row["because"])
    return {
        "from": write_time(row["from"] // SECOND_US * SECOND_US),
        "until": None
        if row["until"] is None
        else write_time(-(-row["until"] // SECOND_US) * SECOND_US),
        "because": reason,
        "sentence": labels.GAP_REASONS.get(reason, reason.replace("_", " ")),
        "country": row["country"],
    }


def _list_unmeasured(snapshot: Snapshot, since_us: int, until_us: int) -> list[Json]:
    """List times without any vote; they are known only for the last hours."""
    return [
        {"from": first, "until": last, "because": UNMEASURED, "country": ""}
        for first, last in snapshot.coverage.gaps
        if first < until_us and since_us < last
    ]


def count_by_country(snapshot: Snapshot) -> dict[str, int]:
    """Count the shown vantages by country."""
    vantages: dict[str, int] = {}
    for column in snapshot.columns:
        vantages[column.group.country] = vantages.get(column.group.country, 0) + column.vantages
    return vantages


def list_coverage(snapshot: Snapshot, country: str) -> Sequence[Json]:
    """List the coverage of countries; none and too few vantages look the same.

    A difference would reveal that a country has a vantage.
    """
    vantages = count_by_country(snapshot)
    codes = [country] if country else sorted(vantages)
    return [
        {
            "country": code,
            "title": labels.country_name(code),
            "vantages": format_total(vantages[code], snapshot.k)
            if code in vantages
            else format_band(0, snapshot.k),
            "enough": vantages.get(code, 0) >= snapshot.k,
        }
        for code in codes
    ]
