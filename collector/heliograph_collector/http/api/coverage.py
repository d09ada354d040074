"""`/api/v1/coverage`: coverage gaps with reasons, and countries' coverage."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Protocol

from aiohttp import web

from heliograph.timestamps import format_time
from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.aggregate.disclosure import BIN_US, find_instant
from heliograph_collector.http import labels
from heliograph_collector.http.anonymity import format_band
from heliograph_collector.http.api.parameters import COUNTRY, SINCE, UNTIL, parse
from heliograph_collector.http.api.status import format_total
from heliograph_collector.http.backend import BlindTimeSource, SiteSource
from heliograph_collector.http.headers import respond_json
from heliograph_collector.http.incident_cache import IncidentCache
from heliograph_collector.http.problem import bad_parameter
from heliograph_collector.http.snapshot import Snapshot
from heliograph_collector.http.snapshot_cache import SnapshotCache
from heliograph_collector.model.published.status import (
    BlindnessDocument,
    CountryCoverage,
    GapDocument,
)
from heliograph_collector.model.records import BlindTime

COVERAGE = (COUNTRY, SINCE, UNTIL)
MAX_GAPS = 1_000
_WEEK_US = 7 * DAY_US
_MAX_SPAN_US = 366 * DAY_US
UNMEASURED = "nobody_measured"
TOO_FEW = "too_few_vantages"  # it begins when one vantage leaves, and ends when one comes
_BY_FEW = (TOO_FEW, "common_mode")  # the latter begins when three fall silent (Thresholds.burst)


class CoverageSource(BlindTimeSource, SiteSource, Protocol):
    """The gaps, and the license of them."""


class CoverageApi:
    def __init__(
        self, feed: CoverageSource, incident_cache: IncidentCache, snapshot_cache: SnapshotCache
    ) -> None:
        self._feed = feed
        self._incident_cache = incident_cache
        self._snapshot_cache = snapshot_cache

    async def __call__(self, request: web.Request) -> web.Response:
        values = parse(request.query, COVERAGE)
        country = values.get(COUNTRY, "")
        now_us = self._feed.clock.wall_us() // SECOND_US * SECOND_US
        until_us = values.get(UNTIL, now_us)
        since_us = values.get(SINCE, until_us - _WEEK_US)
        check_span(since_us, until_us)
        snapshot = await self._snapshot_cache.current_snapshot()
        shown_countries = set(count_by_country(snapshot)) | {
            incident.scope.country for incident in self._incident_cache.all_incidents()
        }
        blind_times = [
            *list_public_gaps(
                self._feed.list_gaps(since_us, until_us), snapshot, since_us, until_us
            ),
            *_list_unmeasured(snapshot, since_us, until_us),
        ]
        gaps = list_gaps(blind_times, country, shown_countries if snapshot.k > 1 else None)
        document = BlindnessDocument(
            at=format_time(now_us),
            since=format_time(since_us),
            until=format_time(until_us),
            k_anonymity=snapshot.k,
            license=self._feed.site.publisher.license,
            blind=tuple(gaps[-MAX_GAPS:]),
            complete=len(gaps) <= MAX_GAPS,
            countries=tuple(list_coverage(snapshot, country)),
        )
        return respond_json(request, document, max_age_s=15)


def check_span(since_us: int, until_us: int) -> None:
    """Check that a window is in order and not too long. Raises Problem."""
    if not 0 < until_us - since_us <= _MAX_SPAN_US:
        raise bad_parameter(
            "since",
            "The parameter since must be before until, by a year at most.",
            f"a time in the 366 days before {format_time(until_us)}",
        )


def list_public_gaps(
    blind_times: Iterable[BlindTime], snapshot: Snapshot, since_us: int, until_us: int
) -> list[BlindTime]:
    """List the gaps that the public may see.

    A gap that few vantages begin or end is replaced by the bins in which the released cells have
    nobody (known for the last hours): a person in no released cell changes no gap either.
    """
    if snapshot.k <= 1:
        return list(blind_times)
    step_us = BIN_US
    ended_us = find_instant(snapshot.at_us, snapshot.k) // step_us * step_us
    return [b for b in blind_times if not is_of_few(b, snapshot.k)] + [
        BlindTime(
            since_us=first_us,
            until_us=None if last_us >= ended_us else last_us,
            reason=TOO_FEW,
            country=country,
        )
        for country, gaps in snapshot.coverage.country_gaps.items()
        for first_us, last_us in gaps
        if first_us < until_us and since_us < last_us
    ]


def is_of_few(blind: BlindTime, k: int) -> bool:
    """Return whether fewer than k vantages may begin or end a gap."""
    return k > 1 and blind.reason in _BY_FEW


def list_gaps(
    blind_times: Iterable[BlindTime], country: str, shown_countries: set[str] | None
) -> list[GapDocument]:
    """List gaps in order of time.

    A gap of a country that is not shown is withheld: it would reveal a vantage there.
    """
    shown = [
        blind
        for blind in blind_times
        if (not blind.country or shown_countries is None or blind.country in shown_countries)
        and (not country or blind.country in ("", country))
    ]
    return [build_gap(blind) for blind in sorted(shown, key=attrgetter("since_us", "country"))]


def build_gap(blind: BlindTime) -> GapDocument:
    """Build a gap, widened to whole seconds.

    The exact time may be that at which one vantage connected or disconnected.
    """
    return GapDocument(
        since=format_time(blind.since_us // SECOND_US * SECOND_US),
        until=None
        if blind.until_us is None
        else format_time(-(-blind.until_us // SECOND_US) * SECOND_US),
        because=blind.reason,
        sentence=labels.GAP_REASONS.get(blind.reason, blind.reason.replace("_", " ")),
        country=blind.country,
    )


def _list_unmeasured(snapshot: Snapshot, since_us: int, until_us: int) -> list[BlindTime]:
    """List times without any vote; they are known only for the last hours."""
    return [
        BlindTime(since_us=first_us, until_us=last_us, reason=UNMEASURED)
        for first_us, last_us in snapshot.coverage.gaps
        if first_us < until_us and since_us < last_us
    ]


def count_by_country(snapshot: Snapshot) -> dict[str, int]:
    """Count the shown vantages by country."""
    vantages: dict[str, int] = {}
    for column in snapshot.columns:
        vantages[column.group.country] = vantages.get(column.group.country, 0) + column.vantages
    return vantages


def list_coverage(snapshot: Snapshot, country: str) -> list[CountryCoverage]:
    """List the coverage of countries; none and too few vantages look the same.

    A difference would reveal that a country has a vantage.
    """
    vantages = count_by_country(snapshot)
    return [
        CountryCoverage(
            country=code,
            title=labels.country_name(code),
            vantages=format_total(vantages[code], snapshot.k)
            if code in vantages
            else format_band(0, snapshot.k),
            enough=vantages.get(code, 0) >= snapshot.k,
        )
        for code in ([country] if country else sorted(vantages))
    ]
