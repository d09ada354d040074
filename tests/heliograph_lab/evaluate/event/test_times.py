"""Times of tables, as spreadsheets, browsers, databases and people write them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliograph.units import HOUR_US, SECOND_US
from heliograph_collector.app.commands import load_event
from heliograph_collector.sources.complaints import ImportRefusedError, ImportResult

BEGAN = datetime(2026, 1, 2, 3, tzinfo=UTC)
HOURS = [BEGAN + timedelta(hours=hour) for hour in range(150)]  # to 8 January
T0 = int(BEGAN.timestamp()) * SECOND_US
DAYS_1899 = 25_569  # from 1899-12-30 to 1970


def load_table(folder: Path, header: str, format_time: Callable[[datetime], str]) -> ImportResult:
    lines = [header, *(f"{format_time(at)},{90 + i % 7}" for i, at in enumerate(HOURS))]
    path = folder / "IR.csv"
    path.write_text("\n".join(lines) + "\n")
    return load_event(path)


@pytest.mark.parametrize(
    "time_format",
    [
        "%d/%m/%Y %H:%M",  # by that its rows follow each other: no day is over 12
        "%m/%d/%Y %H:%M",
        "%d-%m-%Y %H:%M",
        "%d.%m.%y %H:%M",
        "%m/%d/%y %I:%M %p",
        "%Y/%m/%d %H:%M:%S",
        "%d-%b-%Y %H:%M:%S",
        '"%a, %d %b %Y %H:%M:%S GMT"',
        "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",
        "%Y-%m-%d %H:%M GMT",
        "%Y%m%d%H",
        "%Y%m%d%H%M%S",
        "%s000000000",
    ],
)
def test_a_time_is_read_as_all_of_its_column_have_it(time_format: str, tmp_path: Path) -> None:
    (series,) = load_table(
        tmp_path, "time,value", lambda at: at.strftime(time_format)
    ).replay.series
    assert (series.since_us, series.step_us, len(series.values)) == (T0, HOUR_US, len(HOURS))


def test_a_spreadsheets_days_are_dates(tmp_path: Path) -> None:
    imported = load_table(
        tmp_path, "Time,Value", lambda at: f"{at.timestamp() / 86_400 + DAYS_1899:.6f}"
    )
    (series,) = imported.replay.series
    assert (series.since_us, series.step_us, len(series.values)) == (T0, HOUR_US, len(HOURS))


@pytest.mark.parametrize("header", ["time (UTC+3:30),value", "time [Asia/Tehran],value"])
def test_a_zone_in_the_columns_name_counts(header: str, tmp_path: Path) -> None:
    local = timedelta(hours=3, minutes=30)
    imported = load_table(tmp_path, header, lambda at: f"{at + local:%Y-%m-%d %H:%M}")
    assert imported.replay.since_us == T0
    assert not imported.complaints


def test_local_times_without_a_zone_are_told(tmp_path: Path) -> None:
    imported = load_table(tmp_path, "time_local,value", lambda at: f"{at:%Y-%m-%d %H:%M}")
    assert "names no zone" in imported.complaints[0]


def test_of_two_columns_the_one_in_utc_counts(tmp_path: Path) -> None:
    imported = load_table(
        tmp_path,
        "time_local,time_utc,value",
        lambda at: f"{at + timedelta(hours=5):%Y-%m-%d %H:%M},{at:%Y-%m-%d %H:%M}",
    )
    assert imported.replay.since_us == T0
    assert not imported.complaints


def test_times_that_cannot_be_read_are_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"line 2: 'noon' in column 'time' .* Write 2026"):
        load_table(tmp_path, "time,value", lambda _: "noon")


def test_a_time_may_stand_in_its_parts(tmp_path: Path) -> None:
    imported = load_table(
        tmp_path, "year,month,day,hour,value", lambda at: f"{at.year},{at.month},{at.day},{at.hour}"
    )
    (series,) = imported.replay.series
    assert (series.since_us, series.step_us, len(series.values)) == (T0, HOUR_US, len(HOURS))


def test_times_that_a_spreadsheet_rounded_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match=r"has rounded its times \(1\.767323E\+12\)"):
        load_table(tmp_path, "ts,value", lambda at: f"{at.timestamp() * 1000:.6E}")
