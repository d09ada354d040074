"""A power failure in some regions and a cut of others become two incidents."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import (
    Incident,
    IncidentKind,
    IncidentState,
    PhaseDirection,
)
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_lab.evaluate.population import OPERATORS
from support.presence_model import Signals, at, live, people, world

ONSET, HOUR = 7_200.0, 3_600.0
EAST, WEST = ("VOS", "PAV"), ("ATY", "AKT")
HOME = [
    vantage
    for region in EAST + WEST
    for asn, access in OPERATORS
    for vantage in people(VantageLocation("KZ", region, asn, access), 3)
]


def _return(line: VantageRef, heard_s: float, until_s: float, rng: Random, share: float) -> Signals:
    """Simulate a return: boxes reboot with the power, other machines measured before."""
    if line.place.access == "fixed" and rng.random() < share:
        back_s = until_s + rng.uniform(60, 180)
        return [VantageArrival(at(back_s), line, uptime_s=int(back_s - until_s) - 30)]
    back_s = until_s + rng.uniform(0, 180)
    told = at(back_s + 3), line.nym, at(heard_s + 20), at(back_s)
    return [
        VantageArrival(at(back_s), line, uptime_s=90_000),
        OfflineReport(*told, alive=True, online=False),
    ]


def _play(
    east_h: float, west_h: float, boxes: tuple[float, float], *, with_phones: bool, seed: int = 1
) -> list[Incident]:
    """All lines fall in one minute; in the west with all phones, or without.

    Args:
        east_h: When the east is back, in hours after the onset.
        west_h: The same for the west.
        boxes: The share of lines whose machines begin again, in the east and in the west.
        with_phones: Whether the west loses its phones.
        seed: The source of delays.
    """
    rng = Random(seed)
    signals = live(HOME + world(), rng, ONSET / HOUR, churn=0)
    for vantage in HOME:
        is_east = vantage.place.region in EAST
        if vantage.place.access == "mobile" and (is_east or not with_phones):
            continue
        heard_s = ONSET + rng.uniform(-15, 15)
        signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
        until_s = ONSET + HOUR * (east_h if is_east else west_h)
        signals += _return(vantage, heard_s, until_s, rng, boxes[0 if is_east else 1])
    told = detect_silence(signals, at(ONSET + (max(east_h, west_h) + 1) * HOUR)).incidents
    return [i for i in told if i.scope.country == "KZ" and i.confirmed_us is not None]


@pytest.mark.parametrize("with_phones", [False, True])
@pytest.mark.parametrize(("east_h", "west_h"), [(2, 5), (3, 2), (2, 2)])
def test_each_region_has_its_own_cause_and_end(
    east_h: float, west_h: float, *, with_phones: bool
) -> None:
    """Up to version 133 both were one power failure, or one cut of the country."""
    told = {i.kind: i for i in _play(east_h, west_h, (0.7, 0.0), with_phones=with_phones)}
    assert set(told) == {IncidentKind.POWER, IncidentKind.SILENCE}
    for kind, regions, hours in (
        (IncidentKind.POWER, EAST, east_h),
        (IncidentKind.SILENCE, WEST, west_h),
    ):
        incident = told[kind]
        assert incident.state is IncidentState.CLOSED
        assert {part.scope.region for part in incident.parts} == set(regions)
        has_phones = with_phones and kind is IncidentKind.SILENCE
        access = {part.scope.access for part in incident.parts}
        assert access == {"" if has_phones else "fixed"}
        assert incident.ended is not None
        end_us = at(ONSET + hours * HOUR)
        assert incident.ended.earliest_us - 60_000_000 <= end_us <= incident.ended.latest_us


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_power_failure_that_ends_region_by_region_is_one(share: float, seed: int) -> None:
    """Laptops behind dead routers measure in it, in some regions more of them."""
    (power,) = _play(2, 4, (share, share), with_phones=False, seed=seed)
    assert power.kind is IncidentKind.POWER


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cut_in_which_some_machines_are_restarted_is_one(seed: int) -> None:
    (cut,) = _play(4, 4, (0.15, 0.0), with_phones=True, seed=seed)
    assert cut.kind is IncidentKind.SILENCE


def test_a_cut_that_opened_keeps_its_earlier_steps_whatever_is_told_of_the_last_one() -> None:
    """Machines of one region begin again in the second silence of a cut that had opened.

    Up to version 161 the cut was split by what they tell of it, and dated to its second step.
    """
    rng = Random(1)
    signals = live(HOME + world(), rng, ONSET / HOUR, churn=0)
    for vantage in HOME:
        boxes = 0.7 if vantage.place.region in EAST else 0.0
        for since_s, until_s, share in (
            (ONSET, ONSET + 3 * HOUR, 0.0),
            (ONSET + 4.5 * HOUR, ONSET + 9 * HOUR, boxes),
        ):
            heard_s = since_s + rng.uniform(-15, 15)
            signals.append(VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s)))
            signals += _return(vantage, heard_s, until_s, rng, share)
    incidents = detect_silence(signals, at(ONSET + 10 * HOUR)).incidents
    told = [i for i in incidents if i.scope.country == "KZ" and i.confirmed_us is not None]
    first = min(told, key=lambda incident: incident.started.earliest_us)
    assert first.scope.is_national
    assert first.started.earliest_us <= at(ONSET)
    cuts = [turn.when for turn in first.turns if turn.way is PhaseDirection.CUT]
    assert [when.latest_us > at(ONSET + 4 * HOUR) for when in cuts[-1:]] == [True]
