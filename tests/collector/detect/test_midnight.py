"""At midnight lines get new names: none counts twice, and no cut is missed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from heliograph.units import DAY_US, SECOND_US
from heliograph_collector.model.line_names import LineKey
from heliograph_collector.model.records import JournalRow
from heliograph_collector.model.signals import (
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.detector_run import DetectorRun
from support.journal_rows import SECRET, row_of
from support.presence_model import at, country, people

MIDNIGHT = 86_400.0
ONSET = MIDNIGHT + 600  # half of the sessions are renewed by then
HOME = VantageLocation("KZ", "ALA", 1, "fixed")


def list_rows(vantages: Sequence[VantageRef], line_count: int) -> Iterator[JournalRow]:
    for number, vantage in enumerate(vantages):
        line = LineKey(SECRET, b"line %d" % (number % line_count))
        arrivals = [MIDNIGHT - 900, *([MIDNIGHT + 300] if number % 8 < 4 else [])]
        signals = [VantageArrival(at(second), vantage) for second in arrivals]
        loss = VantageLoss(at(ONSET) + 37 * SECOND_US, vantage.nym, at(ONSET) + number)
        for row in (*map(row_of, signals), row_of(loss)):
            yield replace(row, prefix=line.name_day(row.received_us // DAY_US))


@pytest.mark.parametrize(
    ("vantages", "line_count", "states"),
    [
        pytest.param(country(each=1), 18, ["confirmed"], id="a country of eighteen lines"),
        pytest.param(people(HOME, 8), 8, ["confirmed"], id="eight lines of a network"),
        pytest.param(people(HOME, 8), 4, [], id="flatmates on four lines"),
    ],
)
async def test_a_cut_after_midnight_has_as_many_votes_as_lines(
    tmp_path: Path, vantages: list[VantageRef], line_count: int, states: list[str]
) -> None:
    async with DetectorRun(tmp_path, start_s=MIDNIGHT - 960) as run:
        await run.play(list_rows(vantages, line_count), ONSET + 240)
        assert [logged.state for logged in run.detector.book.incidents()] == states
