"""Machines and masts on batteries fall silent long after the power failed."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.level.batteries import is_battery_order
from heliograph_collector.detect.silence.switched_off import went_one_by_one
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from heliograph_collector.incidents.record import incident_record
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, confirmed, list_people, live, world

HOUR, MINUTE = 3_600.0, 60.0
ONSET = 5 * HOUR
BACK = ONSET + 4 * HOUR
REGIONS = ("ALA", "AST", "VOS", "KAR")
LINES = list_people(REGIONS, (201, 202, 203), "fixed", 4)
PHONES = list_people(REGIONS, (101, 102), "mobile", 3)


def _lose(vantage: VantageRef, heard_s: float, *, on_battery: bool | None = None) -> VantageLoss:
    return VantageLoss(at(heard_s + 37.5), vantage.nym, at(heard_s), on_battery=on_battery)


def _start_again(vantage: VantageRef, rng: Random) -> Signals:
    return [VantageArrival(at(BACK + rng.uniform(60, 900)), vantage, uptime_s=50)]


def _run_on(vantage: VantageRef, heard_s: float, rng: Random) -> Signals:
    """Come back as a laptop does: it ran on behind a dead router."""
    back_s = BACK + rng.uniform(30, 900)
    told = at(back_s + 3), vantage.nym, at(heard_s + 20), at(back_s)
    return [
        VantageArrival(at(back_s), vantage, on_battery=False),
        OfflineReport(*told, alive=True, online=False),
    ]


def _fail_by_ups(rng: Random) -> Signals:
    """Cut the power of all lines: of ten three have a UPS, four are laptops, three boxes."""
    signals: Signals = []
    for number, line in enumerate(LINES):
        heard_s = ONSET - rng.uniform(0, 15)
        if number % 10 < 3:
            signals += [
                VantageArrival(at(60), line, on_battery=False),
                VantageArrival(at(ONSET + rng.uniform(1, 14)), line, on_battery=True),
            ]
            heard_s = ONSET + rng.uniform(15, 60) * MINUTE
            signals.append(_lose(line, heard_s, on_battery=True))
            signals += _run_on(line, heard_s, rng)
        elif number % 10 < 7:
            signals += [VantageArrival(at(60), line, on_battery=False), _lose(line, heard_s)]
            signals += _run_on(line, heard_s, rng)
        else:
            signals += [_lose(line, heard_s), *_start_again(line, rng)]
    return signals


@pytest.mark.parametrize("seed", [1, 2])
def test_a_ups_that_told_as_the_power_failed_tells_of_it_when_it_is_empty(seed: int) -> None:
    """Up to version 143 only the last 15 min before its loss counted: this ended as a cut."""
    rng = Random(seed)
    signals = live(LINES + PHONES + world(), rng, 11, churn=1.0)
    signals += _fail_by_ups(rng)
    for until_s in (ONSET + 2 * HOUR, BACK + 400, BACK + 1.5 * HOUR):
        (told,) = confirmed(detect_silence(signals, at(until_s)).incidents)
        assert told.kind is IncidentKind.POWER, until_s
    assert told.confidence >= 0.6


@pytest.mark.parametrize("seed", [1, 2])
def test_laptops_that_people_unplug_in_a_fade_make_no_power_failure(seed: int) -> None:
    rng = Random(seed)
    signals = live(LINES + PHONES + world(), rng, 11, churn=1.0)
    for number, vantage in enumerate(LINES + PHONES):
        heard_s = ONSET + rng.uniform(0, HOUR)
        if number % 10 == 0:
            unplugged_s = rng.uniform(ONSET, heard_s)
            signals.append(VantageArrival(at(60), vantage, on_battery=False))
            signals.append(VantageArrival(at(unplugged_s), vantage, on_battery=True))
        signals += [_lose(vantage, heard_s), *_run_on(vantage, heard_s, rng)]
    for until_s in (ONSET + 2 * HOUR, BACK + 1.5 * HOUR):
        told = confirmed(detect_silence(signals, at(until_s)).incidents)
        assert {incident.kind for incident in told} == {IncidentKind.SILENCE}


def _let_masts_die(rng: Random, phones: list[VantageRef]) -> Signals:
    return [_lose(phone, ONSET + rng.uniform(0.5, 3) * HOUR) for phone in phones]


def _return_phones(rng: Random, phones: list[VantageRef]) -> Signals:
    return [VantageArrival(at(BACK + rng.uniform(300, 1_500)), phone) for phone in phones]


@pytest.mark.parametrize("seed", [1, 2])
def test_phones_follow_lines_that_are_held_for_the_power_and_share_their_cause(seed: int) -> None:
    """Up to version 143 they were suspicions beside it, and withdrawn in the end."""
    rng = Random(seed)
    signals = live(LINES + PHONES + world(), rng, 11, churn=1.0)
    for line in LINES:
        signals += [_lose(line, ONSET - rng.uniform(0, 15)), *_start_again(line, rng)]
    signals += _let_masts_die(rng, PHONES) + _return_phones(rng, PHONES)
    home = [
        i
        for i in detect_silence(signals, at(ONSET + 3.5 * HOUR)).incidents
        if i.scope.country == "KZ" and i.state is not IncidentState.WITHDRAWN
    ]
    (silence,) = home
    assert (silence.kind, silence.held) == (IncidentKind.SILENCE, ("power",))
    assert silence.confidence <= 0.5
    assert len(silence.cuts) == 2
    (told,) = confirmed(detect_silence(signals, at(BACK + 1.5 * HOUR)).incidents)
    assert told.kind is IncidentKind.POWER
    phases = incident_record(told).phases
    assert "mobile" in {phase.scope.access for phase in phases if phase.kind == "power"}


def _create(location: VantageLocation, name: str, lost_s: float | None) -> VantagePresence:
    vantage = VantagePresence(VantageRef(name, name, location, 0))
    if lost_s is not None:
        vantage.mark_silent(at(lost_s - 30), at(lost_s))
    return vantage


@pytest.mark.parametrize("lit_share", [0.0, 1.0])
def test_phones_that_fade_where_lines_have_power_follow_no_power_failure(lit_share: float) -> None:
    rng = Random(4)
    vantages: list[VantagePresence] = []
    for number, location in enumerate(v.place for v in LINES + PHONES):
        is_dark = location.region in ("ALA", "AST", "VOS")
        lost_s: float | None = None
        if location.access == "mobile" and (is_dark or rng.random() < lit_share):
            lost_s = ONSET + rng.uniform(0.5, 3) * HOUR
        elif location.access == "fixed" and is_dark:
            lost_s = ONSET + rng.uniform(0, 20)
        vantages.append(_create(location, f"v{number}", lost_s))
    assert is_battery_order(vantages, at(ONSET - 60)) is (lit_share == 0.0)


def test_phones_follow_lines_that_fell_before_the_others() -> None:
    """A region that is dark for longer than the rest of its country has no power either."""
    rng = Random(5)
    vantages: list[VantagePresence] = []
    for number, location in enumerate(v.place for v in LINES + PHONES):
        lost_s = ONSET + rng.uniform(0.5, 3) * HOUR
        if location.access == "fixed":
            lost_s = ONSET - 600 if location.region == "KAR" else ONSET + rng.uniform(0, 20)
        vantages.append(_create(location, f"v{number}", lost_s))
    assert is_battery_order(vantages, at(ONSET - 60))


@pytest.mark.parametrize("late", [3, 9])
def test_most_that_went_at_once_went_together_however_late_the_others(late: int) -> None:
    """A minority with a UPS follows within the hour; nine late of 19 are nearly half."""
    location = LINES[0].place
    times_s = [ONSET + n for n in range(10)]
    times_s += [ONSET + HOUR * (n + 1) / late for n in range(late)]
    machines = [_create(location, f"m{n}", lost_s) for n, lost_s in enumerate(times_s)]
    assert all(machine.status is PresenceStatus.SILENT for machine in machines)
    assert not went_one_by_one(machines)
