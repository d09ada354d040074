"""Format and parse timestamps: RFC 3339 in UTC, to the microsecond or the second.

Those for people are exact to the minute.

format_timestamp(1_641_412_800_000_001) == "2022-01-05T20:00:00.000001Z"
"""

from datetime import UTC, datetime, timedelta

from heliograph.units import SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_timestamp(timestamp: str) -> int:
    """Parse an RFC 3339 time, by default in UTC, to microseconds. Raises ValueError."""
    parsed = datetime.fromisoformat(timestamp)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    seconds = int(parsed.replace(microsecond=0).timestamp())
    return seconds * SECOND_US + parsed.microsecond


def format_timestamp(at_us: int) -> str:
    """Format a time without floats, which round."""
    seconds, rest_us = divmod(at_us, SECOND_US)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_us:06d}Z"


def format_time(at_us: int) -> str:
    """Format a time with fractions only if needed."""
    formatted = (_EPOCH + timedelta(microseconds=at_us)).isoformat()
    return formatted.removesuffix("+00:00") + "Z"


def format_second(at_us: int) -> str:
    """Format the second in which a time is, as RFC 3339."""
    return f"{datetime.fromtimestamp(at_us // SECOND_US, UTC):%Y-%m-%dT%H:%M:%SZ}"


def format_minute(at_us: int) -> str:
    """Format the minute in which a time is, for people."""
    return f"{datetime.fromtimestamp(at_us // SECOND_US, UTC):%Y-%m-%d %H:%M} UTC"


def format_day(at_us: int) -> str:
    """Format the day in which a time is."""
    return f"{datetime.fromtimestamp(at_us // SECOND_US, UTC):%Y-%m-%d}"
