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
