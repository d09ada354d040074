"""Machines of one network that switch off at one time daily are no cut by day 3."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from support.presence_model import Signals, at, confirmed, country, drop, live, people, world

HOUR, DAY = 3_600.0, 86_400.0
BELL = 8 * HOUR
SCHOOL = people(VantageLocation("KZ", "ALA", 299, "fixed"), 14)
ANNEX = people(VantageLocation("KZ", "ALA", 298, "fixed"), 14)


def switch_off(
    machines: Sequence[VantageRef],
    rng: Random,
    day: int,
    *,
    is_cut: bool = False,
    away_s: float = 17 * HOUR,
    late_s: float = 0.0,
) -> Signals:
    """Let all machines go within ten minutes, and start again in the morning.

    Args:
        is_cut: They first measure that no anchor answers.
        away_s: The time from the bell until they begin.
        late_s: The time from the bell until the first goes.
    """
    signals: Signals = []
    for machine in machines:
        heard_s = BELL + day * DAY + late_s + rng.uniform(0, 300)
        back_s = BELL + day * DAY + away_s + rng.uniform(0, 600)
        signals.append(VantageLoss(at(heard_s + 37.5), machine.nym, at(heard_s)))
        signals.append(VantageArrival(at(back_s), machine, uptime_s=100))
        told = at(heard_s), at(back_s)
        report = OfflineReport(
            at(back_s + 5), machine.nym, *told, alive=is_cut, online=False if is_cut else None
        )
        signals.append(report)
    return signals


def _list_days(signals: Signals, days: int) -> list[int]:
    """List the days on which an incident of the bell's hour was confirmed."""
    incidents = confirmed(detect_silence(signals, at(BELL + days * DAY - HOUR)).incidents)
    return sorted({_find_day(incident) for incident in incidents})


def _find_day(incident: Incident) -> int:
    day_us = int(DAY * 1_000_000)
    return round((incident.started.earliest_us - at(BELL)) / day_us)


def _play(machines: Sequence[VantageRef], days: int, *, is_cut: bool = False) -> list[int]:
    rng = Random(1)
    signals = live(country() + list(machines) + world(), rng, 24 * days, churn=0.0)
    for day in range(days):
        signals += switch_off(machines, rng, day, is_cut=is_cut)
    return _list_days(signals, days)


def test_school_bell_is_told_twice_and_suspected_then() -> None:
    assert _play(SCHOOL, 5) == [0, 1]


@pytest.mark.parametrize("case", ["two networks", "no anchor answers"])
def test_nightly_cut_is_told_each_night(case: str) -> None:
    is_cut = case == "no anchor answers"
    machines = SCHOOL if is_cut else [*SCHOOL, *ANNEX]
    assert _play(machines, 5, is_cut=is_cut) == [0, 1, 2, 3, 4]


STAFF = [people(VantageLocation("KZ", "", asn, "fixed"), 20) for asn in (291, 292, 293)]
OFFICES = [v for group in STAFF for v in group[:14]]
SERVERS = [v for group in STAFF for v in group[14:]]


def _play_offices(days: int, *, is_curfew: bool = False, absent: int = 0) -> list[int]:
    """Play a country of offices.

    Args:
        days: So many.
        is_curfew: From the third day on a curfew takes their servers too.
        absent: So many machines stay on, each day others.
    """
    rng = Random(2)
    signals = live(OFFICES + SERVERS + world(), rng, 24 * days, churn=0.0)
    for day in range(days):
        signals += switch_off(rng.sample(OFFICES, len(OFFICES) - absent), rng, day)
        if is_curfew and day >= 2:
            signals += drop(SERVERS, BELL + day * DAY + 150, rng, BELL + day * DAY + 17 * HOUR)
    return _list_days(signals, days)


@pytest.mark.parametrize("absent", [0, 6])
def test_offices_that_close_in_several_networks_are_told_twice_and_suspected_then(
    absent: int,
) -> None:
    assert _play_offices(5, absent=absent) == [0, 1]


def test_offices_whose_habit_is_known_are_suspected() -> None:
    """Offices with a learned habit are suspected.

    Once it is learned, the level decides; a weekend lies between.
    """
    rng = Random(1)
    signals = live(OFFICES + SERVERS + world(), rng, 24 * 10, churn=0.0)
    for day in (0, 1, 2, 3, 4, 7, 8, 9):
        signals += switch_off(OFFICES, rng, day, away_s=(65 if day == 4 else 17) * HOUR)
    assert _list_days(signals, 10) == [0, 1]


def test_offices_of_one_entrance_that_close_first_are_no_block() -> None:
    """The others of their network use another entrance, and close some minutes later."""
    rng = Random(1)
    firsts = [replace(v, carrier="post/1") for v in OFFICES[:8]]
    others = [replace(v, carrier="session/1") for v in OFFICES[8:] + SERVERS + world()]
    witness = replace(people(VantageLocation("XA", "", 77), 1)[0], carrier="post/1")
    signals = live([*firsts, *others, witness], rng, 24 * 4, churn=0.0)
    for day in range(4):
        signals += switch_off(firsts, rng, day)
        signals += switch_off(others[: len(OFFICES) - 8], rng, day, late_s=600)
    assert _list_days(signals, 4) == [0, 1]


def test_curfew_at_the_hour_at_which_offices_close_is_told_each_night() -> None:
    assert _play_offices(5, is_curfew=True) == [0, 1, 2, 3, 4]


def test_cut_of_the_country_after_the_bell_is_told() -> None:
    rng = Random(1)
    signals = live(country() + SCHOOL + world(), rng, 96, churn=0.0)
    for day in range(4):
        signals += switch_off(SCHOOL, rng, day)
    cut_s = BELL + 3 * DAY + HOUR
    signals += drop(country(), cut_s, rng)
    incidents = confirmed(detect_silence(signals, at(cut_s + 600)).incidents)
    (cut,) = [i for i in incidents if i.started.earliest_us >= at(cut_s - 60)]
    assert cut.scope.is_national
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= at(cut_s + 120)


STREET = [
    people(VantageLocation("KZ", "ALA", asn, "fixed"), n) for asn, n in ((297, 24), (296, 12))
]
TENANTS = [v for group in STREET for v in group]
WORKDAYS = [day for day in range(12) if day % 7 < 5]


def _place(region: str) -> VantageLocation:
    return VantageLocation("KZ", region, 297, "fixed")


def _go_home(rng: Random) -> Signals:
    """Let the staff of two networks go home within half an hour, some of them late.

    Those who work late are others each day. Two lines of each network are of homes.
    """
    signals: Signals = []
    for day in WORKDAYS:
        for group in STREET:
            staff = group[2:]
            for machine in rng.sample(staff, len(staff) * 3 // 4):
                signals += switch_off([machine], rng, day, late_s=rng.uniform(0, 1_200))
    return signals


@pytest.mark.parametrize("seed", [1, 2])
def test_staff_that_goes_home_at_various_minutes_is_suspected_on_the_third_day(seed: int) -> None:
    rng = Random(seed)
    signals = live(TENANTS + country() + world(), rng, 24 * 12, churn=0.0)
    assert _list_days(signals + _go_home(rng), 12) == [0, 1]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("late_s", [0, 900])
@pytest.mark.parametrize(("scope", "told_s"), [("country", 180), ("operator", 960)])
def test_order_beside_staff_that_goes_home_is_told(
    scope: str, told_s: float, late_s: float, seed: int
) -> None:
    """Homes fall while offices close: those of the country, or of the offices' operator alone.

    The operator's may wait for the level, as its sessions may be renewed at this time of day.
    """
    rng = Random(seed)
    homes = [v for region in ("AST", "KAR", "SHY") for v in people(_place(region), 14)]
    signals = live(TENANTS + homes + country() + world(), rng, 24 * 12, churn=0.0)
    cut_s = BELL + 11 * DAY + late_s
    signals += _go_home(rng) + drop(country() if scope == "country" else homes, cut_s, rng)
    incidents = confirmed(detect_silence(signals, at(cut_s + 1_200)).incidents)
    (cut,) = [i for i in incidents if at(cut_s - 1_800) <= i.started.latest_us]
    assert cut.scope.is_national == (scope == "country")
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= at(cut_s + told_s)
