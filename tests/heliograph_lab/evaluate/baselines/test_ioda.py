"""Thresholds on a median, on levels with known answers; Iran, 8 January 2026."""

import math
from datetime import UTC, datetime

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    VantageArrival,
    VantageLocation,
    VantageLoss,
    VantageRef,
)
from heliograph_collector.sources.replay import Replay, Series
from heliograph_lab.evaluate.baselines.ioda import (
    BGP,
    PROBING,
    TELESCOPE,
    Excursion,
    IodaRule,
    find_excursions,
    ioda,
    ioda_routes,
    ioda_warnings,
)

STEP_US = 600 * SECOND_US
SMALL = IodaRule(step_s=600, window_s=6_000, warning=0.8, critical=0.5, least=3, paint_s=1_800)
HALF_HOUR_US = 1_800 * SECOND_US
DECEMBER = int(datetime(2025, 12, 1, tzinfo=UTC).timestamp()) * SECOND_US


def series(*values: float | None) -> Series:
    return Series(Scope("KZ"), "ping-slash24", 0, STEP_US, values)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((10, 10, 10, 10), []),
        ((10, 10, 0, 10), []),  # too little past
        ((10, 10, 10, 8, 10), []),  # 80 % is not below it
        ((10, 10, 10, 7, 10), [Excursion(3, 4, None)]),
        ((10, 10, 10, 4, 10), [Excursion(3, 4, 3)]),
        ((10, 10, 10, 7, 4, 7, 10), [Excursion(3, 6, 4)]),
        ((10, 10, 10, 4, 4), [Excursion(3, None, 3)]),
        ((10, 10, 10, 4, None, 4, 10), [Excursion(3, 6, 3)]),  # a hole ends nothing
        ((10, 10, 10, None, 10), []),  # and begins nothing
        ((10, 20, 30, 14, 30), [Excursion(3, 4, None)]),  # the median, not the mean or the last
    ],
)
def test_below_a_share_of_the_median(
    values: tuple[float | None, ...], found: list[Excursion]
) -> None:
    assert find_excursions(series(*values), SMALL) == found


def test_an_alert_does_not_become_its_own_past_but_not_for_ever() -> None:
    """An alert does not become its own past, but not without end.

    It is left out for three steps, then counted: the lasting change of level ends by itself.
    """
    few = IodaRule(step_s=600, window_s=3_600, warning=0.8, critical=0.5, least=3, paint_s=1_800)
    values = [10.0] * 6 + [6.0] * 12
    (found,) = find_excursions(series(*values), few)
    assert found.first == 6
    assert found.last is not None
    assert 6 + 3 + 3 <= found.last <= 6 + 3 + 6


DAY_US = 86_400 * SECOND_US
TEN = [
    VantageArrival(0, VantageRef(f"v{i}", f"v{i}", VantageLocation("KZ", "", 101)))
    for i in range(10)
]


def dent(count: int, *more: VantageArrival, until_us: int = 2 * DAY_US) -> Replay:
    """Lose some of ten vantages a minute into the second day."""
    gone = [VantageLoss(DAY_US + 60 * SECOND_US, f"v{i}", DAY_US) for i in range(count)]
    return Replay("dent", 0, 0, until_us, [*TEN, *gone, *more], (), (), ())


def test_an_alarm_is_readable_when_its_step_is_over_and_summed_up() -> None:
    back = [VantageArrival(DAY_US + 3_600 * SECOND_US + 1, a.witness) for a in TEN]
    made = dent(10, *back)
    national = [a for a in ioda(made) if a.scope == Scope("KZ")]
    assert [(a.at_us, a.ended_at_us, a.confirmed) for a in national] == [
        (DAY_US + 1_200 * SECOND_US, DAY_US + (3_600 + 600 + 600) * SECOND_US, True)
    ]
    assert national[0].started == (DAY_US, DAY_US + 600 * SECOND_US)
    assert [a.scope for a in ioda(made)] == [Scope("KZ"), Scope("KZ", asn=101)]  # none is merged
    (routes, _) = ioda_routes(made)
    assert routes.at_us == DAY_US + 900 * SECOND_US


def test_a_warning_is_an_alarm_only_where_it_is_taken_for_one() -> None:
    assert {a.confirmed for a in ioda(dent(3))} == {False}
    assert {a.confirmed for a in ioda_warnings(dent(3))} == {True}


def test_the_end_of_the_replay_is_no_end_of_the_alarm() -> None:
    cut = dent(10, until_us=DAY_US + 3_600 * SECOND_US)
    assert [a.ended_at_us for a in ioda(cut)] == [None, None]


# Iran, 8 January 2026: series of the shape that the public ones have, in steps of half an hour from
# 1 December 2025. What is known of them: no false alarm in the 38 days before; active probing falls
# from 16:30 (below 80 %) through 17:00 (below half) to 3.35 %; routes to 86.5 %, below 99 % from
# 18:00; the telescope below a quarter at 18:30, below a tenth at midnight.


def moment(text: str) -> int:
    at = datetime.fromisoformat(f"2026-01-{text}:00+00:00")
    return (int(at.timestamp()) * SECOND_US - DECEMBER) // HALF_HOUR_US


def day_of_people(step: int) -> float:
    """Between 20 at night and 50 at noon, as the telescope sees a country that sleeps."""
    return 35.0 + 15.0 * math.sin(2 * math.pi * (step % 48 - 12) / 48)


def iran(source: str) -> Series:
    last = moment("15 00:00")
    at = {text: moment(text) for text in ("08 16:30", "08 17:00", "08 18:00", "08 18:30")}
    midnight = moment("09 00:00")

    def probing(step: int) -> float:
        if step < at["08 16:30"]:
            return 97.5 + 1.5 * math.sin(2 * math.pi * (step % 48) / 48)
        return 70.0 if step < at["08 17:00"] else max(3.35, 40.0 - 8 * (step - at["08 17:00"]))

    def routes(step: int) -> float:
        if step < at["08 18:00"]:
            return 99.6 + 0.2 * math.sin(step)
        return max(86.5, 98.0 - 2 * (step - at["08 18:00"]))

    def telescope(step: int) -> float:
        if step < at["08 18:30"]:
            return day_of_people(step)
        return 7.0 if step < midnight else 0.0

    shape = {"ping-slash24": probing, "bgp": routes, "merit-nt": telescope}[source]
    values = [shape(step) for step in range(last)]
    return Series(Scope("IR"), source, DECEMBER, HALF_HOUR_US, values)


@pytest.mark.parametrize(
    ("source", "rule", "warned", "critical"),
    [
        ("ping-slash24", PROBING, "08 16:30", "08 17:00"),
        ("bgp", BGP, "08 18:00", None),
        ("merit-nt", TELESCOPE, "08 18:30", "09 00:00"),
    ],
)
def test_iran_is_seen_over_two_hours_and_never_critically_in_routes(
    source: str, rule: IodaRule, warned: str, critical: str | None
) -> None:
    found = find_excursions(iran(source), rule)
    assert [one.first for one in found] == [moment(warned)]
    assert found[0].critical == (moment(critical) if critical else None)


def test_imported_series_speak_beside_the_vantages_each_by_its_own_rule() -> None:
    every = [iran("ping-slash24"), iran("bgp"), Series(Scope("IR"), "mozilla", 0, 1, [1.0, 0.0])]
    until_us = DECEMBER + moment("15 00:00") * HALF_HOUR_US
    made = Replay("iran", 0, DECEMBER, until_us, (), (), (), (), series=every)
    waited = HALF_HOUR_US + 600 * SECOND_US
    told = [((a.at_us - waited - DECEMBER) // HALF_HOUR_US, a.confirmed) for a in ioda(made)]
    expected = {"08 16:30": False, "08 17:00": True, "08 18:00": False}
    assert told == [(moment(text), confirmed) for text, confirmed in expected.items()]
