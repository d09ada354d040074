"""Parser of timestamps in common formats to microseconds UTC."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Annotated

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.sources.typed_reader import as_number

_LATEST_US = 4_102_444_800 * SECOND_US  # year 2100
_MAX_DISTANCE_US = 200 * DAY_US
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = r"(?:[\s,T]+(?P<clock>\d.*))?"
_ORDERS = tuple(
    re.compile(pattern + _CLOCK)
    for pattern in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<month>\d{1,2})[/-](?P<day>\d{1,2})[/-](?P<year>\d{4}|\d\d)",  # of the US
        r"(?P<month>[A-Z][a-z]+)\.? (?P<day>\d{1,2}),? (?P<year>\d{4})",  # and of JavaScript
        r"(?P<day>\d{1,2})[ -](?P<month>[A-Z][a-z]+)\.?[ -](?P<year>\d{4})",  # RFC 5322
    )
)
_WEEKDAY = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+")
# "17:00:00 PM" means 5 p.m.: an hour above 12 decides alone.
_HOUR = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?P<second>:\d{1,2})?(?P<rest>[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)


def parse_timestamp(value: object, zone: tzinfo = UTC) -> int | None:
    """Parse seconds to nanoseconds since 1970, ISO 8601, RFC 5322, or US dates.

    None means no time between 1970 and 2100.

    Args:
        zone: Of a time that names none.
    """
    seconds = as_number(value)
    if seconds is not None:
        return _check_range(_scale_to_us(seconds))
    if not isinstance(value, str):
        return None
    parsed = _parse_text(value.strip())
    if parsed is None:
        return None
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)
    return _check_range(round(parsed.timestamp() * SECOND_US))


Timestamp = Annotated[int | None, parse_timestamp]  # a field of a Struct


def find_time_range(timestamps: Sequence[int]) -> tuple[int, int]:
    """Return [earliest, latest] of plausible times: 200 days around the median.

    Otherwise one clock that is years off would turn a file of one day into one of decades.
    """
    middle = sorted(timestamps)[len(timestamps) // 2] if timestamps else 0
    return middle - _MAX_DISTANCE_US, middle + _MAX_DISTANCE_US


def _scale_to_us(value: float) -> int:
    if abs(value) < 1e11:
        return round(value * SECOND_US)
    if abs(value) < 1e14:
        return round(value * 1_000)
    return round(value) if abs(value) < 1e17 else round(value / 1_000)


def _check_range(at_us: int) -> int | None:
    return at_us if 0 < at_us < _LATEST_US else None


def _parse_text(cell: str) -> datetime | None:
    for order in (str, _order_parts):  # most are in order
        try:
            return datetime.fromisoformat(order(cell))
        except ValueError:
            continue
    return None


def _order_parts(cell: str) -> str:
    """Return a time as ISO 8601 has it; as it is where it is none."""
    cell = _WEEKDAY.sub("", cell, count=1).partition(" (")[0]  # JavaScript names the zone twice
    cell = re.sub(r"\s*\b(?:UTC|GMT)(?=$|[+-])", "", cell).replace(" +", "+").replace(" -", "-")
    match = next(filter(None, (order.fullmatch(cell) for order in _ORDERS)), None)
    if match is None:
        return cell
    month = match["month"]
    number = month if month.isdecimal() else str(1 + _MONTHS.index(month[:3]))
    date = f"{match['year']:>04}-{number:>02}-{match['day']:>02}"
    date = f"20{date[2:]}" if len(match["year"]) == 2 else date
    return f"{date}T{_order_clock(match['clock'])}" if match["clock"] else date


def _order_clock(cell: str) -> str:
    match = _HOUR.fullmatch(cell)
    if match is None:
        return cell
    hour = int(match["hour"])
    if match["half"] and hour <= 12:
        hour = hour % 12 + 12 * match["half"].upper().startswith("P")
    second = f":{match['second'][1:]:>02}" if match["second"] else ""
    minute = match["minute"] or "00"
    return f"{hour:02}:{minute:>02}{second}{match['rest'] or ''}{match['zone'] or ''}"
