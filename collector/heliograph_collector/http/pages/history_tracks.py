"""Build rows of chosen days: marks of each place and service, and the worst. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from heliograph.units import HOUR_US
from heliograph_collector.http import labels
from heliograph_collector.http.charts import timeline_rows
from heliograph_collector.http.day_range import DayRange, merge_day
from heliograph_collector.http.history_rows import FULL_SHARE, find_worst
from heliograph_collector.http.i18n import Locale
from heliograph_collector.http.pages.country_timeline import HOUR_MARKS, BinMark, TimelineRow
from heliograph_collector.model.history import HOURS, MARKS, TROUBLE_MARKS, Axis, DayRow

_NO_HOURS = bytes(HOURS)
_RowId = tuple[Axis, str, str, int, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One row over the chosen days."""

    id: _RowId
    row: TimelineRow
    worst: str  # a mark; "" without data
    bad_days: int  # with that mark
    seen_days: int  # with any mark
    first_us: int  # start of the first hour with that mark
    last_us: int  # end of the last one
    vantages: int  # the largest published count of one of its cells
    layer: str
    method: str


def build_tracks(days: Sequence[DayRow], day_range: DayRange) -> list[Track]:
    """Build the rows over the chosen days, in the order of their keys."""
    by_id: dict[_RowId, list[DayRow]] = {}
    for day in days:
        by_id.setdefault(day[:6], []).append(day)
    starts = day_range.starts
    width = day_range.bin_hours
    return [_build_track(key, by_id[key], starts, width) for key in sorted(by_id)]


def _build_track(key: _RowId, rows: Sequence[DayRow], starts: range, width: int) -> Track:
    marks: list[BinMark | None] = [None] * len(starts)
    shares = [1.0] * len(starts)
    for row in rows:
        first = (row.day_us - starts.start) // starts.step
        day_marks, day_shares = _draw_day(row.hours, row.shares, width)
        if 0 <= first < len(starts):
            marks[first : first + len(day_marks)] = day_marks
            shares[first : first + len(day_marks)] = day_shares
    worst, _ = find_worst(b"".join(row.hours for row in rows))
    bad_rows = [row for row in rows if worst and worst in row.hours]
    cause = next((row for row in reversed(bad_rows) if row.method or row.layer), None)
    return Track(
        id=key,
        row=TimelineRow(marks=tuple(marks), shares=tuple(shares)),
        worst=MARKS[worst],
        bad_days=len(bad_rows),
        seen_days=sum([row.hours != _NO_HOURS for row in rows]),
        first_us=bad_rows[0].day_us + bad_rows[0].hours.index(worst) * HOUR_US if bad_rows else 0,
        last_us=bad_rows[-1].day_us + (bad_rows[-1].hours.rindex(worst) + 1) * HOUR_US
        if bad_rows
        else 0,
        vantages=max(row.vantages for row in rows),
        layer=cause.layer if cause else "",
        method=cause.method if cause else "",
    )


@lru_cache(maxsize=1024)  # most days are like the day before
def _draw_day(
    hours: bytes, shares: bytes, width: int
) -> tuple[Sequence[BinMark | None], Sequence[float]]:
    """Return the marks and shares of the bins of a day."""
    bins = merge_day(hours, shares, width)
    return (
        [HOUR_MARKS[code] for code, _ in bins],
        [share / FULL_SHARE if code else 1.0 for code, share in bins],
    )


def rank_track(track: Track) -> tuple[int, int, _RowId]:
    """Rank troubles first, those of most days first."""
    is_trouble = track.worst in TROUBLE_MARKS
    return 0 if is_trouble else 1, -track.bad_days if is_trouble else 0, track.id


def describe_track(track: Track, t: Locale) -> str:
    """Return how many days, from when to when, and how."""
    if track.worst not in TROUBLE_MARKS:
        return t("history.seen_days", n=track.seen_days)
    facts = [
        t("history.bad_days", n=track.bad_days, total=track.seen_days),
        t(
            "history.from_to",
            since=timeline_rows.format_time(track.first_us, t),
            until=timeline_rows.format_time(track.last_us, t),
        ),
    ]
    if track.worst == BinMark.BLOCKED and (track.layer or track.method):
        facts.append(labels.describe_method(track.layer, track.method, t.lang))
    return " · ".join(facts)
