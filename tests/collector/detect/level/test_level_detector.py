"""The level detector: drops below a robust past in three states, without vantages."""

import math
import random
from collections.abc import Sequence

import pytest

from heliograph.units import DAY_US, HOUR_US, MINUTE_US
from heliograph_collector.detect.level.detector import detect_levels
from heliograph_collector.detect.level.drop_test import DropStage, DropTest
from heliograph_collector.detect.level.habit import LevelHabit
from heliograph_collector.incidents.incident import Bracket, Incident, IncidentState
from heliograph_collector.model.level import LevelReading
from heliograph_collector.model.scope import Scope
from support.examples import only_in_soak

Values = Sequence[float | None]
U, W, S, C = DropStage.UNKNOWN, DropStage.WELL, DropStage.SUSPECTED, DropStage.CONFIRMED
IR = Scope("IR")


def stages(values: Values, step_us: int = HOUR_US) -> list[DropStage]:
    test = DropTest(LevelHabit(step_us))
    return [test.observe(value) for value in values]


def readings(
    values: Values, source: str = "bgp", scope: Scope = IR, step_us: int = HOUR_US
) -> list[LevelReading]:
    return [LevelReading(i * step_us, step_us, scope, source, v) for i, v in enumerate(values)]


def found(*series: list[LevelReading]) -> list[Incident]:
    every = [reading for one in series for reading in one]
    return list(detect_levels(every, max(reading.until_us for reading in every)))


def days(n: int, low: float = 20.0, high: float = 60.0) -> list[float]:
    """Hours of a country that sleeps."""
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle - half * math.cos(2 * math.pi * (h % 24) / 24) for h in range(24 * n)]


def test_without_a_past_nothing_is_known_and_a_night_is_no_drop() -> None:
    assert stages([50.0] * 11 + [0.0]) == [U] * 12
    assert stages([50.0] * 12 + [0.0])[-1] is C
    assert set(stages(days(10))[12:]) == {W}


@pytest.mark.parametrize(("share", "stage"), [(0.9, W), (0.7, S), (0.4, C)])
def test_how_low_is_low(share: float, stage: DropStage) -> None:
    assert stages([*days(10), share * days(11)[24 * 10]])[-1] is stage


def test_one_step_of_half_an_hour_far_below_all_that_was_seen_is_confirmed() -> None:
    """One step of half an hour, far below all earlier ones, is confirmed.

    Probes of Iran on 8 January 2026: 97 % by day, 89 % the evening before, then 53 %.
    """
    draw = random.Random(8)
    past = [97 + draw.gauss(0, 1) for _ in range(48 * 5)]
    past[-44:-36] = [89.0] * 8
    for step_us, stage in ((30 * MINUTE_US, C), (10 * MINUTE_US, S)):  # one round may fail itself
        assert stages([*past * 3, 53.3], step_us)[-1] is stage
    assert stages([*past[: 48 * 2], 53.3], 30 * MINUTE_US)[-1] is S  # two days are too few
    assert stages([*past, 64.0], 30 * MINUTE_US)[-1] is S


@pytest.mark.parametrize("hours", [16, 20])
def test_the_nights_after_a_long_drop_are_none_where_no_night_was_seen_before(hours: int) -> None:
    """The file begins on the day of the drop, so its middle is that of an afternoon."""
    before = days(2)[6 : 6 + hours]
    drop = [1.0] * 24 * 19
    after = [*days(30)[: 24 * 30]][(6 + hours) % 24 :]
    told = stages([*before, *drop, *after])
    assert told[hours + 1] is C
    assert C not in told[hours + 24 * 19 + 24 :]


def test_a_restless_level_must_fall_further() -> None:
    """A restless level must fall further.

    Every other hour is half of the one before: 70 % of the middle is nothing unusual.
    """
    noisy = [100.0 if h % 2 else 50.0 for h in range(24 * 10)]
    assert stages([*noisy, 40.0])[-1] is W
    assert stages([*noisy, 24.0])[-1] is C  # below half of all that ever was


def test_first_weekend_of_a_level_that_swings_by_day_is_no_drop() -> None:
    weekend = [0.72 * value for value in days(1)]
    assert set(stages([*days(5), *weekend])[24 * 5 :]) == {W}
    assert S in stages([*[100.0] * 24 * 5, *[72.0] * 24])  # nothing that people do shows in it


def test_one_outage_of_the_past_is_no_habit() -> None:
    flat = [100.0] * 24 * 28
    flat[-7 * 24] = 50.0  # a week ago, at this hour
    assert stages([*flat, 70.0])[-1] is S
    flat[-3 * 24 - 1 : -3 * 24 + 2] = [0.0] * 3
    habit = LevelHabit(HOUR_US, list(flat))
    usual = habit.find_usual()
    assert usual is not None
    assert (usual.spread, usual.weekday_lowest) == (2.0, 100.0)


def test_what_sees_a_country_dimly_still_sees_it_go() -> None:
    """A dim source still detects that a country is dark.

    A telescope's level wanders by a third from day to day; then there is nothing at all.
    """
    usual = [value * (1.3 if h // 24 % 2 else 0.8) for h, value in enumerate(days(15))]
    assert set(stages([*usual, 0.0])[24 * 5 : -1]) == {W}
    assert stages([*usual, 0.0])[-1] is C


WELL = [100.0] * 48


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([70.0, 100.0], [S, W]),
        ([70.0, 70.0, 100.0, 100.0], [S, C, C, W]),  # two confirm, two end it
        ([70.0, 70.0, 100.0, 70.0], [S, C, C, C]),
        ([10.0], [C]),
        ([None, None, 100.0], [U, U, W]),  # what is not known begins nothing and ends nothing
        ([None, 10.0, None, 10.0], [U, C, U, C]),
    ],
)
def test_low_steps_suspect_and_confirm(values: Values, expected: list[DropStage]) -> None:
    assert stages([*WELL, *values])[48:] == expected


def test_one_step_of_minutes_confirms_nothing() -> None:
    """A telescope's five minutes are halved by noise about once a month."""
    five_us = 5 * MINUTE_US
    assert stages([*[100.0] * 288, 10.0, 100.0], five_us)[-2:] == [S, W]
    assert stages([*[100.0] * 288, 10.0, 10.0], five_us)[-2:] == [S, C]
    assert stages([*[100.0] * 144, 10.0], 2 * five_us)[-1] is C


def test_a_slow_fall_adds_up_where_no_step_stands_out() -> None:
    rng = random.Random(3)
    usual = [100 + rng.gauss(0, 4) for _ in range(24 * 14)]
    assert S not in stages(usual)
    assert stages([*usual, 75.0])[-1] is W  # five spreads: not enough for one step
    assert stages([*usual, *[75.0] * 6])[-1] is C


def test_an_incident_brackets_the_fall_and_names_its_source() -> None:
    (incident,) = found(readings([*WELL, None, 10.0, 10.0, 100.0, 100.0, 100.0]))
    assert (incident.scope, incident.layer, incident.label) == (IR, "bgp", "national")
    assert incident.state is IncidentState.CLOSED
    assert incident.parts[0].votes == 0  # levels have no vantages
    assert incident.started == Bracket(47 * HOUR_US, 50 * HOUR_US)  # good in step 47, bad in 49
    assert incident.confirmed_us == 50 * HOUR_US  # when the step is over
    assert incident.ended == Bracket(50 * HOUR_US, 52 * HOUR_US)
    assert incident.closed_us == 53 * HOUR_US


@pytest.mark.parametrize(("level", "most_days"), [(70.0, 7), (10.0, 28)])
def test_a_lasting_fall_becomes_the_past_after_a_week_and_a_deep_one_after_four(
    level: float, most_days: int
) -> None:
    (incident,) = found(readings([*[100.0] * 24 * 20, *[level] * 24 * 50]))
    assert incident.confirmed_us is not None
    assert incident.closed_us is not None
    lasted_us = incident.closed_us - 480 * HOUR_US
    assert most_days * DAY_US < lasted_us < (most_days + 10) * DAY_US


def test_sources_of_one_country_are_one_incident_until_the_last_is_back() -> None:
    bgp = readings([*WELL, 100.0, 10.0, 10.0, *[100.0] * 4])
    ping = readings([*WELL, 10.0, 10.0, 10.0, 10.0, *[100.0] * 3], "ping-slash24")
    region = readings([*WELL, 10.0, 10.0, 10.0, 10.0, *[100.0] * 3], "bgp", Scope("IR", "Tehran"))
    (incident,) = found(bgp, ping, region)
    assert (incident.layer, incident.scope) == ("bgp,ping-slash24", IR)
    assert incident.started.latest_us == 49 * HOUR_US
    assert incident.closed_us == 54 * HOUR_US


def test_a_publisher_that_fails_everywhere_cuts_nobody() -> None:
    worlds = [readings([*WELL, 0.0, 0.0, 100.0], scope=Scope(f"X{c}")) for c in "ABCD"]
    assert found(*worlds) == []
    fine = [readings([*WELL, 100.0, 100.0, 100.0], scope=Scope(f"X{c}")) for c in "ABC"]
    assert len(found(worlds[3], *fine)) == 1


@only_in_soak
def test_minutes_of_a_fortnight_are_judged_in_bearable_time() -> None:
    (incident,) = found(readings([*[100.0] * (15 * 1_440), 10.0, 10.0], step_us=MINUTE_US))
    assert incident.suspected_us == 15 * DAY_US + MINUTE_US
    assert incident.confirmed_us == 15 * DAY_US + 2 * MINUTE_US


@pytest.mark.parametrize("left", [0.05, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("step_us", [10 * MINUTE_US, HOUR_US])
def test_a_source_that_loses_a_part_of_all_countries_has_failed_itself(
    left: float, step_us: int
) -> None:
    """A source that loses a part of all countries has failed itself.

    A lost prober takes a fifth or half of every country, for an hour or six.
    """
    draw = random.Random(5)
    a_day = DAY_US // step_us
    fault = range(a_day, a_day + 6)

    def values(lost_alone: float) -> list[float | None]:
        dip = left * draw.uniform(0.85, 1.15)
        return [
            1_000
            * draw.uniform(0.99, 1.01)
            * (dip if step in fault else 1)
            * (lost_alone if step in fault[2:] else 1)
            for step in range(a_day + 24)
        ]

    names = ("IR", "TR", "KZ", "PK", "SN", "UG")
    calm = [readings(values(1.0), "ping-slash24", Scope(name), step_us) for name in names]
    assert not found(*calm)
    calm[0] = readings(values(0.1), "ping-slash24", IR, step_us)
    told = [incident.scope for incident in found(*calm) if incident.confirmed_us is not None]
    assert told == ([IR] if left >= 0.3 else [])  # of 5 % nothing can be told


@pytest.mark.parametrize("lasts_min", [0, 30, 120])
def test_a_handful_of_networks_is_missed_by_chance_for_less_than_an_hour(lasts_min: int) -> None:
    """A handful of networks may be missed by chance for less than an hour.

    It is an islet of four or so, of which a probing round misses some or all at times.
    """
    draw = random.Random(3)
    values = [max(0, round(draw.gauss(4, 0.8))) for _ in range(20 * 144)]
    low = range(15 * 144, 15 * 144 + lasts_min // 10)
    series = readings(
        [0 if i in low else v for i, v in enumerate(values)],
        "ping-slash24",
        step_us=10 * MINUTE_US,
    )
    told = [incident for incident in found(series) if incident.confirmed_us is not None]
    assert len(told) == (lasts_min == 120)


def test_two_of_five_countries_behind_one_cable_fell_by_themselves() -> None:
    shares = {"CI": 0.2, "LR": 0.4, "SN": 1.0, "UG": 1.0, "KZ": 1.0}
    series = [
        readings([100.0] * 24 * 3 + [100.0 * share] * 5, "ping-slash24", Scope(name))
        for name, share in shares.items()
    ]
    assert {incident.scope.country for incident in found(*series)} == {"CI", "LR"}


@pytest.mark.parametrize(
    ("left", "sources", "is_confirmed"),
    [
        (0.6, ("radar",), False),  # a holiday on a weekend
        (0.3, ("radar",), True),
        (0.6, ("radar", "gtr"), True),
        (0.6, ("gtr", "gtr.maps", "gtr-norm"), False),  # of one publisher
        (0.3, ("gtr", "gtr.maps", "gtr-norm"), True),
    ],
)
def test_what_a_holiday_could_take_from_one_series_alone_is_suspected(
    left: float, sources: Sequence[str], is_confirmed: bool
) -> None:
    values = days(23)
    values[22 * 24 + 6 : 22 * 24 + 14] = [left * v for v in values[22 * 24 + 6 : 22 * 24 + 14]]
    told = found(*(readings(values, source) for source in sources))
    assert [incident.confirmed_us is not None for incident in told] == [is_confirmed]


@pytest.mark.parametrize(("deepest", "is_confirmed"), [(0.28, False), (0.45, True)])
def test_shallow_dip_by_day_of_a_series_with_shallow_nights_may_be_a_holiday(
    deepest: float, *, is_confirmed: bool
) -> None:
    """Nights take a fifth of it; the dip comes with the day, and goes with it."""
    values = days(23, 88.0, 112.0)
    for hour in range(4, 23):
        values[22 * 24 + hour] *= 1 - deepest * math.sin(math.pi * (hour - 4) / 19)
    told = found(readings(values, "ping-slash24"), readings([900.0] * len(values)))
    assert [incident.confirmed_us is not None for incident in told] == [is_confirmed]


@pytest.mark.parametrize(("left", "is_confirmed"), [(0.75, False), (0.2, True)])
def test_after_a_month_of_late_nights_people_may_sleep_earlier(
    left: float, *, is_confirmed: bool
) -> None:
    """Ramadan ends with a holiday: an evening falls over hours to what a night leaves."""
    late = [15 + 22.5 * (1 - math.cos(math.tau * (h - 4) / 24)) for h in range(24 * 28)]
    early = [left * (15 + 22.5 * (1 - math.cos(math.tau * h / 24))) for h in range(24)]
    told = found(readings([*late, *early], "requests"))
    assert any(incident.confirmed_us is not None for incident in told) == is_confirmed


@pytest.mark.parametrize("left", [0.5, 0.1])
def test_a_level_that_stays_down_is_one_drop_and_not_one_each_morning(left: float) -> None:
    """A feed that counts in another unit from some day on, or a cut, for five days."""
    draw = random.Random(13)
    usual = [value * (1 + draw.gauss(0, 0.02)) for value in days(30)]
    values = [value * (left if 24 * 23 <= h < 24 * 28 else 1) for h, value in enumerate(usual)]
    (drop,) = [i for i in found(readings(values, "value")) if i.confirmed_us is not None]
    assert drop.ended is not None
    assert abs(drop.ended.latest_us - 24 * 28 * HOUR_US) <= 12 * HOUR_US
