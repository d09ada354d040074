"""An operator that falls in the minute in which power fails in some regions is cut."""

from collections.abc import Iterable
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import at, drop, list_people, live, people, world

ONSET = 7_200.0
REGIONS = ("ALA", "AST", "VOS", "KAR")
LINES = list_people(REGIONS, (201, 202, 203), "fixed", 1)
PHONES = [
    phone for region in REGIONS for phone in people(VantageLocation("KZ", region, 101, "mobile"), 3)
]


def _list_operator(regions: Iterable[str]) -> list[VantageRef]:
    """List two phones and a line of one operator in each of these regions."""
    return [
        vantage
        for region in regions
        for access, count in (("mobile", 2), ("fixed", 1))
        for vantage in people(VantageLocation("KZ", region, 301, access), count)
    ]


@pytest.mark.parametrize(
    ("regions", "state", "held"),
    [
        (REGIONS, IncidentState.CONFIRMED, ()),
        (REGIONS[2:], IncidentState.SUSPECTED, ("power",)),
    ],
    ids=["everywhere", "where power fails"],
)
def test_an_operator_with_its_phones_is_cut_beside_a_power_failure_of_regions(
    regions: Iterable[str], state: IncidentState, held: tuple[str, ...]
) -> None:
    """An operator falls in the minute in which power fails in two of four regions.

    If it falls in the others too, it is an order: version 151 held it as a power failure until
    hours later, since other phones live. If it is in these two alone, its masts have no batteries.
    """
    rng = Random(4)
    operator = _list_operator(regions)
    home = [*LINES, *PHONES, *people(VantageLocation("KZ", "ALA", 102, "mobile"), 6), *operator]
    signals = live(home + world(), rng, 4, churn=1.0)
    signals += drop([v for v in LINES if v.place.region in REGIONS[2:]], ONSET, rng)
    signals += drop(operator, ONSET, rng)
    told = detect_silence(signals, at(ONSET + 600)).incidents
    (fallen,) = [i for i in told if i.scope.country == "KZ"]
    assert (fallen.state, fallen.kind) == (state, IncidentKind.SILENCE)
    assert fallen.held == held
