"""Estimation of how far a probe's clock was off, by clocks of others in its document.

The helper's page has its server's date, `report_id` the time at which OONI's server opened the
report, and `measurement_uid` that at which it got the measurement (formats: ooni/spec, df-000).
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.sources.ooni.document import OoniDocument
from heliograph_collector.sources.ooni.http_facts import decode_headers, get_header, parse_scheme

# assumed; caches repeat dates of hours ago, and certificates are renewed days before they expire
MIN_OFFSET_US = DAY_US
MAX_RUN_US = 2 * DAY_US  # assumed; a report is open for one run over a list of sites
MAX_DELAY_US = 60 * DAY_US  # assumed; probes without a network upload later, and not after months
_REPORT = re.compile(r"(\d{8}T\d{6})Z_")
_UID = re.compile(r"(\d{14})(?:\.\d+)?_")


def estimate_offset_us(document: OoniDocument, started_us: int) -> int | None:
    """Estimate the true time minus the probe's; None if nothing shows it, 0 if about right."""
    if not started_us:
        return None
    offsets = sorted(date_us - started_us for date_us in _list_dates(document))
    if offsets:
        return _drop_small(offsets[len(offsets) // 2])
    return _compare_with_server(document, started_us)


def _compare_with_server(document: OoniDocument, started_us: int) -> int | None:
    opened_us = _parse_time(_REPORT, document.report_id, "%Y%m%dT%H%M%S")
    received_us = _parse_time(_UID, document.measurement_uid, "%Y%m%d%H%M%S")
    latest_us = received_us or (opened_us + MAX_RUN_US if opened_us else 0)
    if latest_us and started_us > latest_us + MIN_OFFSET_US:
        return (received_us or opened_us) - started_us
    if opened_us and started_us < opened_us - MAX_DELAY_US:
        return opened_us - started_us
    return None


def _drop_small(offset_us: int) -> int:
    return offset_us if abs(offset_us) >= MIN_OFFSET_US else 0


def _list_dates(document: OoniDocument) -> Iterator[int]:
    """List the dates of servers: of the helper's page, else of replies over verified TLS."""
    keys = document.test_keys
    page = keys.control.http_request
    date_us = 0
    if page is not None and page.status_code > 0:
        headers = decode_headers(page.headers)
        date_us = parse_date(headers.get("date", ""), headers.get("age", ""))
    if date_us:
        yield date_us
        return
    for row in keys.requests:
        if parse_scheme(row.request.url) == "https" and row.response.code:
            date = get_header(row.response, "date")
            date_us = parse_date(date, get_header(row.response, "age"))
            if date_us:
                yield date_us


def parse_date(date: str, age: str = "") -> int:
    """Parse a Date header and the Age of a cached reply, in µs; 0 if there is none."""
    try:
        sent = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
    seconds = int(age) if age.isdecimal() and len(age) < 10 else 0
    if sent.tzinfo is None:
        sent = sent.replace(tzinfo=UTC)
    return (int(sent.timestamp()) + seconds) * SECOND_US


def _parse_time(pattern: re.Pattern[str], text: str, form: str) -> int:
    match = pattern.match(text)
    if match is None:
        return 0
    try:
        stamp = datetime.strptime(match.group(1), form).replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(stamp.timestamp()) * SECOND_US
