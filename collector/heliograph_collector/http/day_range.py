"""The days that a reader chose, and the bins in which a chart shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode

from heliograph.timestamps import format_day
from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph_collector.http.api.parameters import FIRST_DAY, LAST_DAY, QueryValues
from heliograph_collector.http.history_rows import FULL_SHARE, find_worst
from heliograph_collector.http.problem import bad_parameter
from heliograph_collector.model.history import HOURS

MAX_DAYS = 1_100  # also of the aggregation
LAST_DAYS: Mapping[str, int] = {"week": 7, "month": 30}
DEFAULT_DAYS = 30  # where one end alone is given
# Up to so many days a bin has so many hours: 360 bins at most, but of more than a year.
_BIN_HOURS = ((7, 1), (60, 6))


@dataclass(frozen=True, slots=True)
class DayRange:
    """Whole days of UTC, the last one excluded."""

    since_us: int
    until_us: int

    @property
    def days(self) -> int:
        return (self.until_us - self.since_us) // DAY_US

    @property
    def bin_hours(self) -> int:
        return next((hours for days, hours in _BIN_HOURS if self.days <= days), HOURS)

    @property
    def starts(self) -> range:
        return range(self.since_us, self.until_us, self.bin_hours * HOUR_US)

    @property
    def bin_s(self) -> int:
        return self.starts.step // SECOND_US

    @property
    def parameters(self) -> Mapping[str, str]:
        """Return the canonical parameters of an address: both days are included."""
        last_us = self.until_us - DAY_US
        return {"since": format_day(self.since_us), "until": format_day(last_us)}


def read_day_range(values: QueryValues, now_us: int) -> DayRange:
    """Return the chosen days up to today, as whole days; 30 if one end is missing.

    Raises Problem.
    """
    since_us = values.get(FIRST_DAY)
    until_us = values.get(LAST_DAY)
    tomorrow_us = (now_us // DAY_US + 1) * DAY_US
    if until_us is None:
        until_us = tomorrow_us if since_us is None else since_us + DEFAULT_DAYS * DAY_US
    if since_us is None or since_us < tomorrow_us:
        until_us = min(until_us, tomorrow_us)  # an axis of days to come would look empty
    if since_us is None:
        since_us = until_us - DEFAULT_DAYS * DAY_US
    if since_us >= until_us:
        raise bad_parameter(
            "until", "The last day must not be before the first one.", LAST_DAY.allowed
        )
    day_range = DayRange(since_us // DAY_US * DAY_US, -(-until_us // DAY_US) * DAY_US)
    if day_range.days > MAX_DAYS:
        raise bad_parameter(
            "since",
            f"That is {day_range.days} days; {MAX_DAYS} at most are shown.",
            f"a day after {format_day(day_range.until_us - (MAX_DAYS + 1) * DAY_US)}",
        )
    return day_range


def encode_past_days(country: str, starts: range) -> str:
    """Return the query of a country's past days in a window, without today.

    "" for a window of a day or less, of which little is in the files of days.
    """
    days = DayRange(starts.start // DAY_US * DAY_US, (starts.stop - 1) // DAY_US * DAY_US)
    return urlencode({"country": country, **days.parameters}) if days.days > 1 else ""


def encode_last_days(at_us: int, days: int) -> str:
    """Return the parameters of the last days, the one in progress included."""
    tomorrow_us = (at_us // DAY_US + 1) * DAY_US
    return urlencode(DayRange(tomorrow_us - days * DAY_US, tomorrow_us).parameters)


@lru_cache(maxsize=1024)  # most days are like the day before
def merge_day(hours: bytes, shares: bytes, width: int) -> Sequence[tuple[int, int]]:
    """Merge a day's hours to bins of `width` hours: (code, share in 255ths), or 0.

    A code is one of MARKS.
    """
    parts = [slice(first, first + width) for first in range(0, HOURS, width)]
    return [_merge_hours(hours[part], shares[part]) for part in parts]


@lru_cache(maxsize=4096)  # most parts of a day are equal
def _merge_hours(hours: bytes, shares: bytes) -> tuple[int, int]:
    """Merge hours to the worst mark, with the share of the judged hours that have it."""
    code, share = find_worst(hours)
    parts = [part for hour, part in zip(hours, shares, strict=True) if hour == code]
    return code, max(1, share * sum(parts) // (len(parts) * FULL_SHARE)) if code else 0
