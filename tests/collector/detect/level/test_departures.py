"""An app removed from phones over a day is no cut, nor are people who leave."""

import math
from pathlib import Path
from random import Random

import pytest

from heliograph.units import DAY_US, HOUR_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.detect.level.departures import (
    have_said_goodbye,
    may_be_departures,
    may_be_removal,
)
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import Goodbye, VantageLocation, VantageRef
from support.foreign_world import AT, DAY, HOUR, SEEDS, Down, create_land, play
from support.presence_model import at, confirmed, country, drop, live, world

PHONES = Scope("KZ", access="mobile")


def lose(hours: list[float], access: str = "mobile") -> list[VantagePresence]:
    place = VantageLocation("KZ", "", 20, access)
    return [
        VantagePresence(
            VantageRef(f"v{number}", f"v{number}", place),
            PresenceStatus.SILENT,
            lost_us=round(DAY_US + hour * HOUR_US),
        )
        for number, hour in enumerate(hours)
    ]


@pytest.mark.parametrize(
    ("scope", "hours", "access", "lasts_h", "is_doubted"),
    [
        (PHONES, [2.0 * n for n in range(12)], "mobile", 22, True),
        (PHONES, [1.0 * n for n in range(12)], "mobile", 11, True),
        (PHONES, [0.35 * n for n in range(12)], "mobile", 5, False),  # a cut that fades in four
        (PHONES, [0, 5, 9, *(20 + 0.2 * n for n in range(9))], "mobile", 22, False),
        (PHONES, [20 + 0.2 * n for n in range(9)], "mobile", 30, True),  # its first ones are gone
        (Scope("KZ"), [2.0 * n for n in range(12)], "mobile", 22, False),  # no line stands
        (Scope("KZ", asn=10), [2.0 * n for n in range(12)], "fixed", 22, False),
    ],
)
def test_phones_that_went_over_a_day_confirm_nothing(
    scope: Scope, hours: list[float], access: str, lasts_h: int, *, is_doubted: bool
) -> None:
    assert may_be_removal(scope, lose(hours, access), lasts_h * HOUR_US) is is_doubted


@pytest.mark.parametrize(
    ("hours", "before", "is_doubted"),
    [
        ([2.0 * n for n in range(12)], 0, True),
        ([2.0 * n for n in range(12)], 12, True),  # as many in the day before
        ([2.0 * n for n in range(12)], 13, False),  # most fell before, unseen
        ([*(2.0 * n for n in range(8)), *(18 + 0.4 * n for n in range(8))], 0, False),  # sleep, cut
        ([0.35 * n for n in range(12)], 0, False),
        ([], 8, False),
    ],
)
def test_departures_of_a_day_confirm_nothing(
    hours: list[float], before: int, *, is_doubted: bool
) -> None:
    of_a_day = lose(hours, "fixed")
    fallen = [*of_a_day, *lose([-10.0] * before)]
    assert may_be_departures(fallen, of_a_day) is is_doubted


def remove_from_phones(seed: int, over: float, tmp_path: Path) -> list[Incident]:
    land = create_land(seed, 30)
    land.settle()
    for phone in land.select(access="mobile"):
        if land.rng.random() < 0.9:
            phone.downs.append(Down(AT + land.rng.random() * over, math.inf))
    return play(land, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("over", [12 * HOUR, DAY])
def test_a_removal_is_no_confirmed_cut(over: float, seed: int, tmp_path: Path) -> None:
    assert not remove_from_phones(seed, over, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_cut_of_phones_that_fades_over_four_hours_is_told(seed: int, tmp_path: Path) -> None:
    (incident,) = remove_from_phones(seed, 4 * HOUR, tmp_path)
    assert [part.scope for part in incident.parts] == [PHONES]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
def test_people_who_leave_one_by_one_are_no_confirmed_cut(seed: int, tmp_path: Path) -> None:
    """People who leave one by one are no confirmed cut.

    As after arrests; up to version 81 this was a cut of the country in six plays of six.
    """
    land = create_land(seed, 30)
    land.settle()
    for vantage in land.select():
        if land.rng.random() < 0.75:
            vantage.downs.append(Down(AT + land.rng.random() * DAY, math.inf))
    assert not play(land, tmp_path)


AFTERNOON = 33 * HOUR  # 14 o'clock in KZ, when a day and a night are known


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_people_who_leave_over_hours_by_day_and_say_goodbye_are_no_cut(share: float) -> None:
    """People who leave over hours by day and say goodbye are no cut.

    As before a holiday; in a cut that fades as fast there are no goodbyes.
    """
    rng = Random(1)
    people = country(each=3)
    signals = live(people + world(), rng, 40, churn=0.5)
    for person in rng.sample(people, round(0.85 * len(people))):
        left_s = AFTERNOON + rng.uniform(0, 4 * HOUR)
        if rng.random() < share:
            signals.append(Goodbye(at(left_s), person.nym))
        else:
            signals += drop([person], left_s, rng)
    told = confirmed(detect_silence(signals, at(AFTERNOON + 7 * HOUR)).incidents)
    assert len(told) == (share == 0.0)


@pytest.mark.parametrize(
    ("left", "of_country", "of_part"), [(1, False, False), (2, False, True), (3, True, True)]
)
def test_fewer_goodbyes_are_enough_of_a_part_of_a_country_that_people_leave(
    left: int, *, of_country: bool, of_part: bool
) -> None:
    noon_h = 60 * 24 + 8  # 13 o'clock there, when all are established
    silent = lose([noon_h + 0.1 * n for n in range(11)], "fixed")
    away = lose([noon_h] * left, "fixed")
    since_us = silent[0].lost_us - HOUR_US
    for vantage in silent:
        vantage.heard_us = vantage.lost_us
    for vantage in away:
        vantage.status = PresenceStatus.AWAY
        vantage.left_us = vantage.lost_us
    members = silent + away, silent, since_us
    assert have_said_goodbye(*members) is of_country
    assert have_said_goodbye(*members, is_part=True) is of_part
