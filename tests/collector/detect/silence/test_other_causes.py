"""A power failure beside a cut is no part of it, and the reverse."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import VantageLocation
from support.presence_model import at, drop, list_people, live, people, world

ONSET = 7_200.0
LATER = ONSET + 1_500.0
REGIONS = ("ALA", "AST", "VOS")
LINES = list_people(REGIONS, (201, 202, 203), "fixed", 3)
PHONES = list_people(REGIONS, (101, 102), "mobile", 3)
OPERATOR = people(VantageLocation("KZ", "KAR", 301, "fixed"), 9)
CITY = [line for line in LINES if line.place.region == "ALA"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("is_cut_first", [True, False])
def test_a_region_without_power_is_held_while_an_operator_elsewhere_is_cut(
    seed: int, *, is_cut_first: bool
) -> None:
    """A region without power is held while an operator elsewhere is cut.

    Up to version 113 the second became a part of the first, and both a confirmed cut.
    """
    rng = Random(seed)
    signals = live(LINES + PHONES + OPERATOR + world(), rng, 4, churn=1.0)
    signals += drop(OPERATOR, ONSET if is_cut_first else LATER, rng)
    signals += drop(CITY, LATER if is_cut_first else ONSET, rng)
    found = detect_silence(signals, at(LATER + 1_200)).incidents
    states = {(i.scope.region, i.scope.asn): (i.state, i.held) for i in found}
    assert states.pop(("ALA", 0)) == (IncidentState.SUSPECTED, ("power",))
    assert [state for state, _ in states.values()] == [IncidentState.CONFIRMED]


def test_lines_that_follow_the_phones_of_their_city_extend_its_cut() -> None:
    rng = Random(3)
    signals = live(LINES + PHONES + OPERATOR + world(), rng, 4, churn=1.0)
    signals += drop([phone for phone in PHONES if phone.place.region == "ALA"], ONSET, rng)
    signals += drop(CITY, LATER, rng)
    (incident,) = detect_silence(signals, at(LATER + 1_200)).incidents
    assert (incident.state, incident.scope.region) == (IncidentState.CONFIRMED, "ALA")
    assert len(incident.cuts) == 2


def test_operators_that_follow_each_other_in_the_country_are_one_cut() -> None:
    rng = Random(4)
    signals = live(LINES + PHONES + OPERATOR + world(), rng, 4, churn=1.0)
    for number, asn in enumerate((201, 202, 203)):
        lines = [line for line in LINES if line.place.asn == asn]
        signals += drop(lines, ONSET + 900.0 * number, rng)
    (incident,) = detect_silence(signals, at(LATER + 3_000)).incidents
    assert incident.state is IncidentState.CONFIRMED
