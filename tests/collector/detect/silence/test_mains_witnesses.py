"""Machines that are here by another way show whether silent lines have power."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import HoldReason, IncidentKind, IncidentState
from heliograph_collector.model.signals import VantageArrival, VantageRef
from support.presence_model import Signals, at, country, drop, live, world

ONSET = 7_200.0
HOME = country("KZ", ("ALA", "AST", "VOS", "KAR"), each=2)
LINES = [v for v in HOME if v.place.access == "fixed" and v.place.region != "KAR"]
PHONES = [v for v in HOME if v.place.access == "mobile"]
NEAR = [phone for phone in PHONES if phone.place.region != "KAR"]


def _tell(phones: list[VantageRef], at_s: float, rng: Random, *, on_battery: bool) -> Signals:
    return [
        VantageArrival(at(at_s + rng.uniform(0, 15)), phone, on_battery=on_battery)
        for phone in phones
    ]


@pytest.mark.parametrize(
    ("charging", "lost", "kind", "state", "held"),
    [
        (0, 0, IncidentKind.SILENCE, IncidentState.SUSPECTED, (HoldReason.POWER,)),
        (4, 0, IncidentKind.SILENCE, IncidentState.SUSPECTED, (HoldReason.POWER,)),
        (8, 0, IncidentKind.SILENCE, IncidentState.CONFIRMED, ()),
        (8, 4, IncidentKind.SILENCE, IncidentState.SUSPECTED, (HoldReason.POWER,)),
        (8, 8, IncidentKind.POWER, IncidentState.CONFIRMED, ()),
    ],
    ids=["nobody knows", "too few know", "all keep it", "half lose it", "all lose it"],
)
def test_phones_on_chargers_show_whether_the_power_of_silent_lines_failed(
    charging: int, lost: int, kind: IncidentKind, state: IncidentState, held: tuple[str, ...]
) -> None:
    """Lines of three regions fall, and of the phones there some are charged."""
    rng = Random(1)
    signals = live(HOME + world(), rng, ONSET / 3_600, churn=0)
    signals += _tell(NEAR[:charging], ONSET - 3_000, rng, on_battery=False)
    signals += _tell(NEAR[:lost], ONSET, rng, on_battery=True)
    signals += drop(LINES, ONSET, rng)
    (incident,) = detect_silence(signals, at(ONSET + 300)).incidents
    assert (incident.kind, incident.state, incident.held) == (kind, state, held)


def test_phones_of_another_region_show_nothing() -> None:
    rng = Random(2)
    signals = live(HOME + world(), rng, ONSET / 3_600, churn=0)
    far = [phone for phone in PHONES if phone not in NEAR]
    signals += _tell(far, ONSET - 3_000, rng, on_battery=False)
    signals += drop(LINES, ONSET, rng)
    (incident,) = detect_silence(signals, at(ONSET + 300)).incidents
    assert incident.held == (HoldReason.POWER,)


def test_lines_that_stay_show_only_the_power_of_their_own_districts() -> None:
    """Power goes by districts: two thirds of the lines fall, and the others are on mains."""
    rng = Random(3)
    home = country("KZ", ("ALA", "AST", "VOS", "KAR"), each=6)
    lines = [v for v in home if v.place.access == "fixed" and v.place.region != "KAR"]
    staying = lines[::3]
    signals = live(home + world(), rng, ONSET / 3_600, churn=0)
    signals += _tell(staying, ONSET - 3_300, rng, on_battery=True)
    signals += _tell(staying, ONSET - 3_000, rng, on_battery=False)
    signals += drop([line for line in lines if line not in staying], ONSET, rng)
    (incident,) = detect_silence(signals, at(ONSET + 300)).incidents
    assert incident.held == (HoldReason.POWER,)


def test_phones_that_have_never_told_a_change_show_no_power() -> None:
    """They told of their power as their sessions began: an agent of others may say no more."""
    rng = Random(4)
    signals = live([v for v in HOME + world() if v not in NEAR], rng, ONSET / 3_600, churn=0)
    signals += _tell(NEAR, 0, rng, on_battery=False)
    signals += drop(LINES, ONSET, rng)
    (incident,) = detect_silence(signals, at(ONSET + 300)).incidents
    assert incident.held == (HoldReason.POWER,)
