"""Parser of timestamps in common formats to microseconds UTC."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.sources.typed_reader import as_number

_LATEST_US = 4_102_444_800 * SECOND_US  # year 2100
_MAX_DISTANCE_US = 200 * DAY_US
# "7/28/2020  17:00:00 PM" means 5 p.m.: an hour above 12 decides alone.
_AMERICAN = re.compile(
    r"(?:[A-Za-z]+,\s*)?(?:(\d{1,2})/(\d{1,2})/(\d{4})|([A-Z][a-z]+) (\d{1,2}), (\d{4}),?)"
    r"\s+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?\s*([AP]M)?"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_timestamp(value: object) -> int | None:
    """Parse seconds, milliseconds or microseconds since 1970, ISO 8601, or US dates.

    A time without a zone is UTC. None means no time between 1970 and 2100.
    """
    seconds = as_number(value)
    if seconds is not None:
        return _check_range(_scale_to_us(seconds))
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.strip().removesuffix(" UTC").replace(" +", "+"))
    except ValueError:
        return _parse_american(value.strip())
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
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
    return round(value * 1_000) if abs(value) < 1e14 else round(value)


def _check_range(at_us: int) -> int | None:
    return at_us if 0 < at_us < _LATEST_US else None


def _parse_american(value: str) -> int | None:
    match = _AMERICAN.fullmatch(value)
    if match is None:
        return None
    month_number, day, year, month, day_of, year_of, *clock = match.groups()
    hour = int(clock[0])
    minute = int(clock[1])
    second = int(clock[2] or 0)
    if hour <= 12 and clock[3]:
        hour = hour % 12 + (12 if clock[3] == "PM" else 0)
    try:
        number_of = int(month_number) if month_number else _MONTHS.index(month[:3]) + 1
        at = datetime(
            int(year or year_of), number_of, int(day or day_of), hour, minute, second, tzinfo=UTC
        )
    except ValueError:
        return None
    return _check_range(int(at.timestamp()) * SECOND_US)
