"""Flapping of sessions where many vantages share one address."""

import pytest

from heliograph.units import MINUTE_US, SECOND_US
from heliograph_collector.detect.silence.steadiness import (
    are_gone_at_once,
    are_steady,
    has_flapped,
    is_flapping,
)
from heliograph_collector.detect.silence.vantage_presence import PresenceStatus, VantagePresence
from heliograph_collector.model.scope import AffectedCell, Scope
from heliograph_collector.model.signals import VantageLocation, VantageRef

KZ = VantageLocation("KZ", "A", 10, "fixed")


def build_silent(name: str, prefix: str, rejoined_min: float, lost_min: float) -> VantagePresence:
    return VantagePresence(
        VantageRef(name, prefix, KZ),
        PresenceStatus.SILENT,
        lost_us=int(lost_min * MINUTE_US),
        rejoined_us=int(rejoined_min * MINUTE_US),
    )


def build_lines(again: int) -> list[VantagePresence]:
    """Build four lines at separate addresses, some of which were back in between."""
    return [
        build_silent(f"line{n}", f"p{n}", 3 * n + 1.0 if n < again else 0, 3 * n + 2.5)
        for n in range(4)
    ]


def build_city(again: int) -> list[VantagePresence]:
    """Forty people behind one address, of whom some were back in between."""
    return [
        build_silent(f"city{n}", "nat", n / 4 + 0.5 if n < again else 0, n / 4 + 2.0)
        for n in range(40)
    ]


def test_two_of_a_city_who_were_lost_again_are_not_its_vote() -> None:
    assert not has_flapped([*build_lines(again=2), *build_city(again=2)], 1)


def test_city_most_of_which_was_lost_again_flaps() -> None:
    assert has_flapped([*build_lines(again=2), *build_city(again=30)], 1)


CITY = AffectedCell(Scope("KZ", "A"), 10.0, 0.7, 3)
NOW_S = 7 * 3_600.0  # noon in Kazakhstan


def build_line(number: int, region: str, silent_s: float | None) -> VantagePresence:
    """A line that has been silent for so long; None: it is here."""
    place = VantageLocation("KZ", region, 10, "fixed")
    vantage = VantagePresence(VantageRef(f"{region}{number}", f"{region}{number}", place))
    if silent_s is not None:
        vantage.status = PresenceStatus.SILENT
        vantage.lost_us = at(NOW_S - silent_s)
    return vantage


def at(second: float) -> int:
    return int(second * SECOND_US)


FALLS_S = 60.0  # from the first to the last of a city whose sessions break by themselves


def is_steady(
    city: tuple[int, int], last_s: float, rest: list[float | None], falls_s: float = FALLS_S
) -> bool:
    """Judge a city of which so many are silent, the last of them for so long."""
    silent, size = city
    step_s = falls_s / (silent - 1)
    lines = [build_line(n, "A", last_s + step_s * n) for n in range(silent)]
    lines += [build_line(n, "A", None) for n in range(silent, size)]
    lines += [build_line(n, "B", silent_s) for n, silent_s in enumerate(rest)]
    burst_us = at(NOW_S - last_s - falls_s)
    return are_steady([CITY], lines, burst_us, at(NOW_S))


@pytest.mark.parametrize(
    ("silent", "last_s", "falls_s", "expected"),
    [
        (20, 10.0, FALLS_S, True),  # of 25: nearly all, and 60 % of them for a heartbeat
        (19, 1.0, FALLS_S, False),
        (17, 50.0, FALLS_S, False),  # agents whose sessions broke try again within a minute
        (17, 61.0, FALLS_S, True),
        (17, 16.0, 5.0, True),  # at once
    ],
)
def test_cell_of_which_a_quarter_lives_must_be_silent_for_longer(
    silent: int, last_s: float, falls_s: float, *, expected: bool
) -> None:
    assert is_steady((silent, 25), last_s, [None] * 20, falls_s) is expected


@pytest.mark.parametrize(
    ("rest", "last_s", "falls_s", "expected"),
    [
        ([None] * 20, 61.0, FALLS_S, True),
        ([20.0] * 3 + [None] * 17, 61.0, FALLS_S, True),  # churn
        ([20.0] * 6 + [None] * 14, 61.0, FALLS_S, False),
        ([20.0] * 2 + [90.0] * 4 + [None] * 14, 61.0, FALLS_S, False),
        ([70.0] * 6 + [None] * 14, 61.0, FALLS_S, True),  # it stands still
        ([20.0] * 6 + [None] * 14, 250.0, FALLS_S, True),  # it has waited for long enough
        ([320.0] * 10 + [20.0] * 2 + [None] * 12, 61.0, FALLS_S, True),  # most fell in another cut
        ([20.0] * 3, 61.0, FALLS_S, True),  # too few to compare
        ([20.0] * 6 + [None] * 14, 61.0, 10.0, True),  # the city fell at once
    ],
)
def test_city_is_no_part_while_the_rest_of_the_country_falls(
    rest: list[float | None], last_s: float, falls_s: float, *, expected: bool
) -> None:
    assert is_steady((9, 10), last_s, rest, falls_s) is expected


def test_slow_fall_of_an_evening_is_the_level_s_if_it_waits() -> None:
    """A slow fall of an evening is left to the level detector if it waits.

    Otherwise a cut of a night would wait: it would be found after ten minutes.
    """
    place = VantageLocation("KZ", "A", 10, "fixed")
    lines = [
        VantagePresence(VantageRef(f"{n}", f"{n}", place), lost_us=at(14 * 3_600 + 3 * n))
        for n in range(25)
    ]
    for vantage in lines[:17]:
        vantage.status = PresenceStatus.SILENT
    evening_us = at(14 * 3_600 + 70)
    assert are_steady([CITY], lines, at(14 * 3_600 - 60), evening_us)


@pytest.mark.parametrize(
    ("spread_s", "away_s", "back", "are_gone"),
    [
        (5.0, 80.0, 0, True),
        (5.0, 80.0, 1, True),
        (5.0, 50.0, 0, False),  # who only has to try again is back by a minute
        (5.0, 80.0, 3, False),
        (240.0, 80.0, 0, False),  # one by one, as sessions break
    ],
)
def test_a_vantage_lost_once_that_stays_away_does_not_flap(
    spread_s: float, away_s: float, back: int, *, are_gone: bool
) -> None:
    first_s = NOW_S - away_s - spread_s
    lines = [build_line(n, "A", NOW_S - first_s - spread_s * n / 9) for n in range(10)]
    for line in lines[:back]:
        line.status = PresenceStatus.LIVE
    assert are_gone_at_once(lines, at(first_s), at(NOW_S)) is are_gone


@pytest.mark.parametrize(
    ("silent", "lasts_s", "back_s", "expected"),
    [
        (5, 240.0, 40.0, True),  # the rest came back one after another in the last 20 minutes
        (6, 75.0, 40.0, False),  # all of it within seconds are no chance
        (5, 240.0, 5.0, False),  # the rest came back together, from one fault
        (5, 240.0, None, False),  # no other session broke
        (3, 1_200.0, 300.0, False),  # a few of the rest came back, as on any day
    ],
    ids=["throttled", "cut at once", "after a fault", "calm", "churn"],
)
def test_a_few_are_silent_by_chance_where_sessions_break_all_over_the_country(
    silent: int, lasts_s: float, back_s: float | None, *, expected: bool
) -> None:
    step_s = (lasts_s - 60) / 6  # one after another
    vantages = [
        build_line(n, "A", lasts_s - 10 - n * step_s if n < silent else None) for n in range(6)
    ]
    for number in range(44):
        line = build_line(number, "B", None)
        if back_s is not None and number % 2:
            line.rejoined_us = at(NOW_S - 300 - number / 2 * back_s)
        vantages.append(line)
    since_us = at(NOW_S - lasts_s)
    assert is_flapping([CITY], vantages, since_us, [], at(NOW_S)) == expected
