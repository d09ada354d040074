"""Nights of small fleets: a fall that sleep explains is in doubt, others are cuts."""

from random import Random

import pytest

from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.signals import VantageRef
from support.presence_model import Signals, country, drop
from support.small_nights import DAY, EVENING, HOUR, arrived, back, off, watched

LAST = 24 * 7 + EVENING / HOUR  # the eighth evening, in hours


def sleep_in_turn(people: list[VantageRef], counts: list[int], rng: Random) -> Signals:
    """Let so many sleep each night, random ones, from the evening until seven."""
    signals = arrived(people)
    for night, count in enumerate(counts):
        asleep = rng.sample(people, count)
        signals += off(asleep, night * DAY + EVENING, HOUR, rng)
        signals += back(asleep, night * DAY + EVENING + 9 * HOUR, HOUR, rng)
    return signals


@pytest.mark.parametrize(
    ("gone", "state"), [(8, IncidentState.SUSPECTED), (12, IncidentState.CONFIRMED)]
)
def test_three_nights_of_twelve_people_do_not_bound_the_fourth(
    gone: int, state: IncidentState
) -> None:
    """Three nights of twelve people do not bound the fourth.

    Random ones sleep each night; that eight do comes by chance at times.
    """
    rng = Random(4)
    people = rng.sample(country(each=2), 12)
    signals = sleep_in_turn(people, [1, 3, 2], rng)
    signals += off(rng.sample(people, gone), 3 * DAY + EVENING, 2 * HOUR, rng)
    (night,) = watched(signals, 3 * 24 + EVENING / HOUR + 6)
    assert [i.state for i in night] == [state]


def test_eight_people_who_are_all_gone_are_told_though_five_once_slept() -> None:
    """Eight people who are all gone are found, though five once slept.

    One dark night of seven is not normal for them.
    """
    rng = Random(32)
    people = rng.sample(country(each=2), 8)
    signals = sleep_in_turn(people, [2, 1, 1, 1, 5, 1, 1], rng)
    signals += off(people, 7 * DAY + EVENING, HOUR, rng)
    (night,) = watched(signals, LAST + 3)
    assert [i.state for i in night] == [IncidentState.CONFIRMED]


def test_what_may_be_a_night_is_told_when_sleepers_are_up() -> None:
    """A possible night is confirmed when sleepers are up.

    Half of eight people sleep in each night; in the last seven do, and are not back by noon.
    """
    rng = Random(33)
    people = rng.sample(country(each=2), 8)
    signals = sleep_in_turn(people, [4, 3, 4, 3, 4, 2, 4], rng)
    signals += off(people[:7], 7 * DAY + EVENING, HOUR, rng)
    night, noon = watched(signals, LAST + 8, LAST + 14)
    assert not [i for i in night if i.confirmed_us]
    assert [i.state for i in noon] == [IncidentState.CONFIRMED]


def test_those_that_stay_on_in_known_evenings_are_no_country_by_themselves() -> None:
    """People who stay on in usual evenings are no country by themselves.

    Three quarters switch off each evening, and most of the others in the fifth, one by one.
    """
    rng = Random(34)
    people = country(each=3)
    signals = sleep_in_turn(people, [38, 42, 40, 41], rng)
    order = rng.sample(people, len(people))
    signals += off(order[:40], 4 * DAY + EVENING, HOUR, rng)
    signals += off(order[40:49], 4 * DAY + EVENING + 4 * HOUR, HOUR / 7, rng)
    (found,) = watched(signals, 4 * 24 + EVENING / HOUR + 9)
    assert not [i for i in found if i.confirmed_us]


def test_a_cut_at_an_hour_at_which_most_sleep_is_told_at_once_though_one_went_before_it() -> None:
    rng = Random(35)
    people = country(each=2)
    signals = sleep_in_turn(people, [28, 29, 28, 27], rng)
    cut_s = 4 * DAY + EVENING + HOUR  # on an evening in which all are awake
    signals += drop(people[:1], cut_s - 90, rng) + drop(people[1:], cut_s, rng)
    (told,) = watched(signals, cut_s / HOUR + 100 / 3_600)
    assert [i.state for i in told] == [IncidentState.CONFIRMED]


@pytest.mark.parametrize("is_by_operator", [True, False], ids=["by operator", "one by one"])
def test_phones_that_go_operator_by_operator_in_a_second_evening_are_cut(
    *, is_by_operator: bool
) -> None:
    """Three of each operator at once, 150 s apart. Up to version 152 it was taken for sleep."""
    rng = Random(36)
    people = country(each=1)
    phones = [v for v in people if v.place.access == "mobile"]
    signals = sleep_in_turn(people, [4], rng)
    since_s = DAY + EVENING + HOUR
    for number, asn in enumerate(sorted({v.place.asn for v in phones})):
        for phone in (v for v in phones if v.place.asn == asn):
            late_s = 150 * number if is_by_operator else rng.uniform(0, 1_200)
            signals += drop([phone], since_s + late_s, rng)
    (found,) = watched(signals, since_s / HOUR + 0.2)
    assert [bool(i.confirmed_us) for i in found] == ([True] if is_by_operator else [])
