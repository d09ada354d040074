"""Hours of a past day, decided from the numbers of its daily file alone."""

from pathlib import Path

import pytest

from heliograph.units import HOUR_US
from heliograph_collector.aggregate.disclosure import Disclosure
from heliograph_collector.http.api.parquet import DayFile
from heliograph_collector.http.history_rows import (
    FULL_SHARE,
    HourCount,
    build_day_rows,
    find_worst,
    read_day_rows,
)
from heliograph_collector.model.history import MARK_CODES, MARKS, Axis, DayRow
from heliograph_collector.model.records import Cell, VerdictState
from support.fake_feed import TITLES
from support.past_days import JAN_1, SITE, build_hour, count, silence

BLOCKED = ("blocked", "tls", "reset_after_hello")


def mark_of(rows: list[DayRow], axis: Axis, service: str = "", asn: int = 0) -> tuple[str, int]:
    """The mark and share of the first hour of a row; ("", 0) without a row."""
    found = [r for r in rows if (r.axis, r.service, r.asn) == (axis, service, asn)]
    return (MARKS[found[0].hours[0]], found[0].shares[0]) if found else ("", 0)


@pytest.mark.parametrize(
    ("counts", "mark"),
    [
        ([count(9198, "telegram", votes=110), count(9198, "telegram", BLOCKED, votes=10)],
         "reachable"),  # five minutes of an hour are no block of it
        ([count(9198, "telegram", votes=40), count(9198, "telegram", BLOCKED, votes=80)],
         "blocked"),
        ([count(9198, "telegram", votes=60), count(9198, "telegram", BLOCKED, votes=60)],
         "unknown"),
        ([count(9198, "telegram", ("partial", "", "web"))], "partial"),
        ([count(9198, "telegram", ("unknown", "", ""))], "unknown"),
        ([count(9198, "telegram", BLOCKED, votes=10),
          count(9198, "telegram", ("unknown", "", ""), votes=110)], "unknown"),
        ([silence(9198)], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_an_hour_is_what_two_thirds_of_its_cells_say(counts: list[HourCount], mark: str) -> None:
    rows = build_day_rows({0: counts}, JAN_1)
    assert mark_of(rows, Axis.NETWORK_SERVICE, "telegram", 9198)[0] == mark


def test_a_country_has_the_worst_of_its_networks_with_their_share() -> None:
    counts = [count(9198, "telegram", BLOCKED), count(29355, "telegram"), silence(206026)]
    rows = build_day_rows({0: counts}, JAN_1)
    assert mark_of(rows, Axis.SERVICE, "telegram") == ("blocked", FULL_SHARE // 2)
    assert mark_of(rows, Axis.NETWORK, "", 206026)[0] == "silent"
    assert mark_of(rows, Axis.NETWORK, "", 29355)[0] == "reachable"
    assert mark_of(rows, Axis.REGION)[0] == "blocked"
    (row,) = [r for r in rows if r.axis is Axis.SERVICE]
    assert (row.layer, row.method, row.vantages) == ("tls", "reset_after_hello", 10)


def test_a_dark_country_is_never_green() -> None:
    measured = {hour: [count(9198, "telegram")] for hour in range(12)}
    dark = {hour: [silence(9198), silence(29355)] for hour in range(12, 24)}
    rows = build_day_rows(measured | dark, JAN_1)
    for row in rows:
        later = {MARKS[code] for code in row.hours[12:]}
        assert later <= {"silent", ""}, row.axis
    (service,) = [r for r in rows if r.axis is Axis.SERVICE]
    assert {MARKS[code] for code in service.hours[12:]} == {"silent"}


@pytest.mark.parametrize(
    ("marks", "worst", "share"),
    [
        ([""] * 3, "", 0),
        (["reachable", "", "unknown"], "reachable", FULL_SHARE),
        (["unknown", ""], "unknown", FULL_SHARE),
        (["reachable", "reachable", "blocked", "unknown"], "blocked", FULL_SHARE // 3),
        (["silent", "blocked"], "silent", FULL_SHARE // 2),
        (["silent", "blocked", "blocked"], "blocked", FULL_SHARE * 2 // 3),
    ],
)
def test_the_worst_mark_is_shown_with_its_share(marks: list[str], worst: str, share: int) -> None:
    code, part = find_worst(MARK_CODES[mark] for mark in marks)
    assert (MARKS[code], part) == (worst, share)


def test_sites_are_rows_of_their_own() -> None:
    rows = build_day_rows({0: build_hour(0, 0)}, JAN_1)
    axes = {row.axis for row in rows if row.service == SITE}
    assert axes == {Axis.SITE, Axis.NETWORK_SITE}


def test_a_daily_file_gives_the_same_rows_and_few_are_in_none(tmp_path: Path) -> None:
    """A daily file gives the rows of the stored cells, and few are in none.

    The cells of an hour are released, written to the file and read back.
    """

    def cell(asn: int, vantages: int, state: VerdictState, start_us: int) -> Cell:
        blocked = vantages if state is VerdictState.BLOCKED else 0
        return Cell(
            country="KZ", region="", asn=asn, access="fixed", service="telegram",
            start_us=start_us, bin_s=300, vantages=vantages, reachable=vantages - blocked,
            blocked=blocked, down=0, unknown=0, silent=0, state=state, confidence=0.9,
            layer="tls" if blocked else "", method="", prefixes=vantages, established=vantages,
        )  # fmt: skip

    file = DayFile(tmp_path / "cells.parquet", JAN_1, 5)
    disclosure = Disclosure(5, TITLES, JAN_1 + 100 * HOUR_US)
    for hour, state in ((3, VerdictState.BLOCKED), (4, VerdictState.REACHABLE)):
        starts = range(JAN_1 + hour * HOUR_US, JAN_1 + (hour + 1) * HOUR_US, 300_000_000)
        cells = [cell(9198, 12, state, at) for at in starts]
        cells += [cell(29355, 2, VerdictState.BLOCKED, at) for at in starts]
        file.add(disclosure.release(cells))
    file.close()
    rows = read_day_rows([tmp_path / "cells.parquet"], JAN_1)
    assert {row.asn for row in rows} == {0, 9198}
    (row,) = [r for r in rows if r.axis is Axis.NETWORK_SERVICE]
    assert [MARKS[code] for code in row.hours[2:6]] == ["", "blocked", "reachable", ""]
    assert row.vantages == 10, "the least number of its band"
    (tmp_path / "broken.parquet").write_bytes(b"no Parquet")
    with pytest.raises(OSError, match="no daily file"):
        read_day_rows([tmp_path / "broken.parquet"], JAN_1)
