"""List when other sources date an incident's start, beside our window. Pure.

A source has a row only where its data of the same place and time show the start. Ours are the times
of the public incident; theirs were imported or fetched by the operator and keep their license.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from heliograph.timestamps import format_time
from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.http import i18n, labels
from heliograph_collector.http.backend import Publisher
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.incident_document import parse_us
from heliograph_collector.http.pages import incident_text
from heliograph_collector.http.pages.imported_rows import REPORTERS, decide_imported
from heliograph_collector.incidents.published.incident import IncidentDocument
from heliograph_collector.model.imported import (
    IMPORT_SOURCES,
    ImportedFilter,
    ImportedHistory,
    ImportedRow,
    ReportedOutage,
)
from heliograph_collector.model.records import VerdictState

MAX_TARGETS = 4  # of one incident: a test, or one page
# An outage that begins further from our window is another event; assumed. IODA's steps are of five
# to ten minutes, and its alerts come up to hours after a slow decline.
_NEAR_US = 6 * HOUR_US
_NEAR_DAYS = 7  # as far back as a day of measurements is searched for; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSeenRow:
    """One source: when it dates the start, and how that compares with our window."""

    source: str
    subject: str
    start: str
    comparison: str
    delay: str
    license: str
    url: str
    order_us: int


def build_filter(incident: IncidentDocument) -> ImportedFilter | None:
    """Build the query for imported results; None for a region, which no import names."""
    scope = incident.scope
    if scope.region:
        return None
    is_site = "/" in scope.service
    return ImportedFilter(
        since_us=parse_us(incident.started.earliest) - _NEAR_DAYS * DAY_US,
        until_us=parse_us(incident.started.latest) + _NEAR_DAYS * DAY_US,
        country=scope.country,
        asn=scope.asn or None,
        test="" if is_site else scope.service,
        target=scope.service if is_site else None,
    )


def list_first_seen(
    incident: IncidentDocument, imported: ImportedHistory, publisher: Publisher, t: Locale
) -> list[FirstSeenRow]:
    """List the sources, the earliest first; none where no other source has the start."""
    if incident.state == "withdrawn":
        return []
    if incident.scope.service:
        others = list(_list_days(incident, imported, t))
    else:
        others = list(_list_outages(incident, imported.outages, t))
    if not others:
        return []
    return sorted([_build_own(incident, publisher, t), *others], key=lambda row: row.order_us)


def _build_own(incident: IncidentDocument, publisher: Publisher, t: Locale) -> FirstSeenRow:
    earliest_us = parse_us(incident.started.earliest)
    delay_us = parse_us(incident.suspected) - earliest_us
    return FirstSeenRow(
        source="Heliograph",
        subject=t("first.ours"),
        start=incident_text.describe_bracket(incident.started, t),
        comparison="",
        delay=t("first.suspected", time=_format_time(delay_us, t)),
        license=publisher.license,
        url=publisher.license_url,
        order_us=earliest_us,
    )


def _list_outages(
    incident: IncidentDocument, outages: Sequence[ReportedOutage], t: Locale
) -> Iterator[FirstSeenRow]:
    """List the first outage of each signal that began near our window."""
    earliest_us = parse_us(incident.started.earliest)
    latest_us = parse_us(incident.started.latest)
    first: dict[tuple[str, str], ReportedOutage] = {}
    for outage in outages:
        if not earliest_us - _NEAR_US <= outage.since_us <= latest_us + _NEAR_US:
            continue
        if outage.until_us is not None and outage.until_us < earliest_us:
            continue  # over before ours began
        earliest = first.setdefault((outage.source, outage.signal), outage)
        if outage.since_us < earliest.since_us:
            first[outage.source, outage.signal] = outage
    for outage in first.values():
        yield FirstSeenRow(
            source=REPORTERS.get(outage.source, outage.source),
            subject=f"{outage.signal} · {_name_place(outage, t)}",
            start=incident_text.format_timestamp(format_time(outage.since_us), t),
            comparison=_compare(outage.since_us, earliest_us, latest_us, t),
            delay=t("first.read", time=_format_time(outage.read_us - outage.since_us, t)),
            license=outage.attribution,
            url=outage.url,
            order_us=outage.since_us,
        )


def _name_place(outage: ReportedOutage, t: Locale) -> str:
    return f"AS{outage.asn}" if outage.asn else labels.country_name(outage.country, t.lang)


def _compare(at_us: int, earliest_us: int, latest_us: int, t: Locale) -> str:
    if at_us < earliest_us:
        return t("first.earlier", time=_format_time(earliest_us - at_us, t))
    if at_us > latest_us:
        return t("first.later", time=_format_time(at_us - latest_us, t))
    return t("first.inside")


def _list_days(
    incident: IncidentDocument, imported: ImportedHistory, t: Locale
) -> Iterator[FirstSeenRow]:
    """List the first day of each source on which its measurements are blocked."""
    day_us = parse_us(incident.started.latest) // DAY_US * DAY_US
    first: dict[str, int] = {}
    for row in imported.rows:
        start_us = _find_first_day(row, day_us)
        if start_us is not None:
            first[row.source] = min(start_us, first.get(row.source, start_us))
    for source, start_us in first.items():
        origin = IMPORT_SOURCES[source]
        yield FirstSeenRow(
            source=origin.name,
            subject=t("first.by_day"),
            start=i18n.format_day(t.lang, i18n.to_datetime(start_us)),
            comparison=_compare_days(start_us, day_us, t),
            delay=t(
                "first.newest", time=_format_time(imported.imported_us - imported.newest_us, t)
            ),
            license=origin.license,
            url=origin.license_url,
            order_us=start_us,
        )


def _find_first_day(row: ImportedRow, day_us: int) -> int | None:
    """Return the first blocked day of the run at or after the incident's day."""
    first_us = None
    for at_us, counts in sorted(row.days.items()):
        state = decide_imported(counts)
        if state is VerdictState.BLOCKED and first_us is None:
            first_us = at_us
        elif state is VerdictState.REACHABLE and at_us < day_us:
            first_us = None
    return first_us


def _compare_days(start_us: int, day_us: int, t: Locale) -> str:
    if start_us == day_us:
        return t("first.same_day")
    key = "first.earlier" if start_us < day_us else "first.later"
    return t(key, time=_format_time(abs(start_us - day_us), t))


def _format_time(length_us: int, t: Locale) -> str:
    return i18n.format_length(t.lang, timedelta(microseconds=max(0, length_us)))
