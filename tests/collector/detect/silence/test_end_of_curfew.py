"""A curfew is over when most are back, although some of its people sleep on."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import Signals, at, confirmed, drop, live, people, world

ONSET, END, MORNING = 7_200.0, 36_000.0, 43_200.0
CELLS = [
    people(VantageLocation("KZ", region, asn, "fixed"), 10)
    for asn in (201, 202)
    for region in ("ALA", "AST", "VOS")
]


def end_curfew(away: list[VantageRef], rng: Random) -> Signals:
    """Cut all; those `away` come back two hours after the others."""
    everyone = [v for cell in CELLS for v in cell]
    signals = live(everyone, rng, 1.9, churn=1.0) + live(world(), rng, 15, churn=1.0)
    signals += drop([v for v in everyone if v not in away], ONSET, rng, END)
    return signals + drop(away, ONSET, rng, MORNING)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_curfew_is_over_although_most_of_one_small_cell_sleep(seed: int) -> None:
    """A curfew is over although most of one small cell sleep.

    Up to version 79 seven of ten in one network of one region kept the country dark.
    """
    asleep = [*CELLS[0][:7], *(v for cell in CELLS[1:] for v in cell[:3])]
    signals = end_curfew(asleep, Random(seed))
    (incident,) = confirmed(detect_silence(signals, at(END + 400)).incidents)
    assert incident.state is IncidentState.CLOSED
    assert incident.ended is not None
    assert incident.ended.earliest_us <= at(END + 60)


@pytest.mark.parametrize(
    "away",
    [[v for cell in CELLS[:2] for v in cell], CELLS[3], CELLS[4][:6]],
    ids=["two regions of an operator", "its network in a region", "six of ten, and nobody else"],
)
def test_a_part_that_stays_dark_keeps_the_curfew_open(away: list[VantageRef]) -> None:
    asleep = [v for cell in CELLS for v in cell[:1] if v not in away] if len(away) > 6 else []
    signals = end_curfew([*away, *asleep], Random(3))
    (incident,) = confirmed(detect_silence(signals, at(MORNING - 600)).incidents)
    assert incident.state is IncidentState.CONFIRMED
    assert incident.ended is None
