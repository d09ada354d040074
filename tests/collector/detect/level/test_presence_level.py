"""The level channel on vantages finds fades and drains, and learns habits."""

from random import Random

import pytest

from heliograph_collector.detect.level.local_time import is_busy_hour
from heliograph_collector.detect.silence.detector import SilenceDetector
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    VantageArrival,
    VantageLocation,
    VantageLoss,
    sort_signals,
)
from support.examples import only_in_soak
from support.outages import build_outage
from support.presence_model import Signals, at, country, drop, live
from support.presence_model import people as make_people
from support.small_nights import DAY, EVENING, HOUR, NOON, arrived, back, off, watched


def test_a_fade_of_three_hours_is_told_as_it_grows_and_is_one_incident() -> None:
    rng = Random(1)
    people = country(each=2)
    signals = [*arrived(people), *off(people, NOON, 3 * HOUR, rng)]
    early, late, end = watched(signals, 8.5, 9.5, 11)
    assert [(i.state, i.label) for i in early] == [(IncidentState.SUSPECTED, "national")]
    assert [(i.state, i.id) for i in late] == [(IncidentState.CONFIRMED, early[0].id)]
    assert [i.id for i in end] == [early[0].id]
    assert end[0].parts[0].share > 0.95
    assert early[0].parts[0].share < late[0].parts[0].share < end[0].parts[0].share
    assert early[0].started.earliest_us <= at(NOON + 0.3 * HOUR) <= early[0].started.latest_us


@pytest.mark.parametrize(
    ("size", "gone", "left", "since_s"),
    [(7, 0, 1, NOON), (12, 2, 0, NOON)],
    ids=["of few", "of few, two of whom were away"],
)
def test_fade_of_an_hour_that_no_bedtime_explains_is_told(
    size: int, gone: int, left: int, since_s: float
) -> None:
    rng = Random(11)
    people = rng.sample(country(each=2), size)
    signals = [*arrived(people), *off(people[:gone], 60, 60, rng)]
    signals += off(people[gone + left :], since_s, HOUR, rng)
    (told,) = watched(signals, since_s / HOUR + 1.3)
    assert [(i.state, i.label) for i in told] == [(IncidentState.CONFIRMED, "national")]


def test_a_fleet_that_is_minutes_old_and_dark_is_suspected_until_it_is_back() -> None:
    """Up to version 147 it knew nothing for three hours, and was used to its fall after six."""
    rng = Random(3)
    people = rng.sample(country(each=1), 13)
    signals: Signals = [VantageArrival(at(EVENING), each) for each in people]
    signals += off(people, EVENING + 600, 0.4 * HOUR, rng)
    signals += back(people, EVENING + 9 * HOUR, HOUR / 6, rng)
    early, late, end = watched(signals, 17.8, 25.9, 27)
    assert [(i.state, i.label) for i in early] == [(IncidentState.SUSPECTED, "national")]
    assert [i.id for i in late] == [early[0].id]
    assert end == []


def test_a_country_that_drains_is_told_while_a_third_is_left() -> None:
    """A country that drains is found while a third is left.

    It falls from 36 to 1 in twelve hours, without goodbyes.
    """
    rng = Random(2)
    people = country(each=2)
    order = rng.sample(people, 36)[1:]
    leaving = [s for i, v in enumerate(order) for s in drop([v], NOON + i * 1_234, rng)]
    (told,) = watched([*arrived(people), *leaving], 7 + 8)
    assert [i.scope.is_national for i in told] == [True]
    assert told[0].parts[0].votes >= 30  # enough to be shown


@pytest.mark.long
@pytest.mark.parametrize(
    "over_s", [1_200.0, pytest.param(2 * HOUR, marks=only_in_soak)], ids=["fast", "slow"]
)
def test_evenings_are_learned_and_the_first_is_a_doubt_at_most(over_s: float) -> None:
    rng = Random(3)
    people = country(each=2)
    sleepers = rng.sample(people, 27)  # three quarters
    signals = arrived(people)
    for day in range(6):
        signals += off(sleepers, day * DAY + EVENING, over_s, rng)
        signals += back(sleepers, day * DAY + EVENING + 9 * HOUR, HOUR, rng)
    found = [incident for at_hour in watched(signals, *range(1, 144)) for incident in at_hour]
    assert all(i.confirmed_us is None and i.confidence <= 0.5 for i in found)
    assert not [i for i in found if i.suspected_us > at(2 * DAY)]
    # … and on a learned evening a cut is still a cut.
    rest = [each for each in people if each not in sleepers]
    signals += off(rest, 5 * DAY + EVENING + 3 * HOUR, HOUR, rng)
    (cut,) = watched(signals, 5 * 24 + 17 + 5)
    assert [i.state for i in cut] == [IncidentState.CONFIRMED]


@pytest.mark.parametrize(("size", "left"), [(36, 4), (18, 1), (9, 0)])
def test_a_fade_of_a_first_night_is_told_when_nobody_is_back_by_day(size: int, left: int) -> None:
    """A fade of a first night is confirmed when none is back by day.

    Until eleven in the morning all of it may be sleep.
    """
    rng = Random(7)
    people = rng.sample(country(each=2), size)
    signals = [*arrived(people), *off(people[left:], EVENING, 2 * HOUR, rng)]
    night, day = watched(signals, 24 + 5.9, 24 + 6.2)
    assert [(i.state, i.held) for i in night] == [(IncidentState.SUSPECTED, ("habit",))]
    assert [(i.state, i.id) for i in day] == [(IncidentState.CONFIRMED, night[0].id)]
    assert (day[0].confidence <= 0.5) == (size < 10)


@pytest.mark.parametrize(("slept", "confirmed"), [(6, ["national"]), (18, [])])
def test_a_fade_of_a_second_night_is_confirmed_where_few_slept_in_the_first(
    slept: int, confirmed: list[str]
) -> None:
    rng = Random(8)
    people = rng.sample(country(each=2), 36)
    signals = [*arrived(people), *off(people[:slept], EVENING, HOUR, rng)]
    signals += back(people[:slept], EVENING + 9 * HOUR, HOUR, rng)
    signals += off(people[:27], DAY + EVENING, HOUR, rng)
    (told,) = watched(signals, 24 + 17 + 1.5)
    assert told
    assert [i.label for i in told if i.confirmed_us] == confirmed


@pytest.mark.parametrize(("gone", "confirmed"), [(20, ["national"]), (15, [])])
def test_a_known_night_explains_the_share_that_it_took_and_no_more(
    gone: int, confirmed: list[str]
) -> None:
    """A usual night explains the share that it took and no more.

    Of twenty people eight slept in the only night so far.
    """
    rng = Random(12)
    people = rng.sample(country(each=2), 20)
    signals = [*arrived(people), *off(people[:8], EVENING, HOUR, rng)]
    signals += back(people[:8], EVENING + 9 * HOUR, HOUR, rng)
    signals += off(people[:gone], DAY + EVENING, HOUR, rng)
    (told,) = watched(signals, 24 + 17 + 1.5)
    assert [i.label for i in told if i.confirmed_us] == confirmed


@pytest.mark.parametrize(
    ("gone", "confirmed"), [(11, ["national"]), (8, [])], ids=["all but one", "half of the others"]
)
def test_people_awake_in_the_first_night_are_expected_awake_in_the_next(
    gone: int, confirmed: list[str]
) -> None:
    """People who did not sleep in the first night do not in the next.

    Of twelve people five slept: eleven asleep are not explained by that share alone.
    """
    rng = Random(13)
    people = rng.sample(country(each=2), 12)
    signals = [*arrived(people), *off(people[:5], EVENING, HOUR, rng)]
    signals += back(people[:5], EVENING + 9 * HOUR, HOUR, rng)
    signals += off(people[:gone], DAY + EVENING, HOUR, rng)
    (told,) = watched(signals, 24 + 17 + 1.5)
    assert [i.label for i in told if i.confirmed_us] == confirmed


def test_seven_lines_that_fade_beside_a_data_center_are_told_as_lines() -> None:
    rng = Random(14)
    lines = [one for one in country(each=3) if one.place.access == "fixed"][:7]
    servers = make_people(VantageLocation("KZ", "ALA", 9, "hosting"), 1)
    signals = [*arrived([*lines, *servers]), *off(lines, DAY + NOON, HOUR, rng)]
    (told,) = watched(signals, 24 + 7 + 1.5)
    assert [(i.state, i.label) for i in told] == [(IncidentState.CONFIRMED, "fixed-only")]


def test_a_small_country_nearly_all_of_which_is_one_network_falls_as_it() -> None:
    """One of eight has another network: neither it nor the country could be told until 142."""
    rng = Random(15)
    people = make_people(VantageLocation("KZ", "ALA", 1, "mobile"), 3)
    people += make_people(VantageLocation("KZ", "AST", 1, "fixed"), 4)
    other = make_people(VantageLocation("KZ", "ALA", 2, "mobile"), 1)
    signals = [*arrived([*people, *other]), *off(people, DAY + NOON, 2 * HOUR, rng)]
    (told,) = watched(signals, 24 + 7 + 2.5)
    assert [(i.state, i.label) for i in told] == [(IncidentState.CONFIRMED, "one-operator")]


def test_a_power_failure_of_a_night_is_a_doubt_at_most_when_masts_have_failed_as_well() -> None:
    rng = Random(9)
    people = country(each=2)
    lines = [each for each in people if each.place.access == "fixed"]
    phones = [each for each in people if each.place.access == "mobile"]
    signals = [*arrived(people), *off(lines[2:], EVENING, 2 * HOUR, rng)]
    signals += off(phones[2:], EVENING + 3 * HOUR, 6 * HOUR, rng)  # their batteries last longer
    found = [i for seen in watched(signals, 24 + 4, 24 + 6) for i in seen]
    assert found
    assert all(i.confirmed_us is None for i in found)


def test_a_free_day_of_offices_and_late_risers_is_a_doubt_at_most() -> None:
    """The first free day that is seen: two thirds of the lines stand in offices."""
    rng = Random(8)
    people = country(each=2)
    lines = [each for each in people if each.place.access == "fixed"]
    offices = rng.sample(lines, 11)
    sleepers = rng.sample([each for each in people if each not in offices], 20)
    signals = [*arrived(people), *off(offices, 13 * HOUR, HOUR, rng)]
    signals += off(sleepers, EVENING, 2 * HOUR, rng)
    signals += back(sleepers, DAY + 3 * HOUR, 4 * HOUR, rng)  # from eight to noon
    found = [i for seen in watched(signals, *range(24, 40)) for i in seen]
    assert found
    assert all(i.confirmed_us is None for i in found)


def test_a_cut_at_an_hour_at_which_many_sleep_is_told_within_a_minute_each_day() -> None:
    """Exam hours: the whole country, at five in the morning, day after day."""
    rng = Random(6)
    people = country(each=2)
    sleepers = rng.sample(people, 15)
    signals = arrived(people)
    for day in range(6):
        signals += off(sleepers, day * DAY + EVENING, 2 * HOUR, rng)
        signals += back(sleepers, day * DAY + EVENING + 10 * HOUR, HOUR, rng)
    awake = [each for each in people if each not in sleepers]
    days = (3, 4, 5)
    for day in days:
        signals += drop(awake, day * DAY, rng, day * DAY + 2 * HOUR)
    moments = [day * 24 + 100 / 3_600 for day in days]
    for incidents in watched(signals, *moments):
        (cut,) = [i for i in incidents if i.ended is None]
        assert cut.state is IncidentState.CONFIRMED


def test_a_region_that_is_cut_at_night_is_told_where_nights_are_dark() -> None:
    """Half of all people sleep each night; that explains nobody who goes in the same seconds."""
    rng = Random(9)
    people = country(each=4)
    region = people[0].place.region
    in_region = [each for each in people if each.place.region == region]
    awake = rng.sample(in_region, 6)
    others = [each for each in people if each.place.region != region]
    sleepers = [each for each in in_region if each not in awake] + rng.sample(others, 18)
    signals = arrived(people)
    for day in range(4):
        signals += off(sleepers, day * DAY + EVENING, 2 * HOUR, rng)
        signals += back(sleepers, day * DAY + EVENING + 9 * HOUR, HOUR, rng)
    cut_s = 3 * DAY + EVENING + 4 * HOUR
    signals += drop(awake, cut_s, rng, cut_s + 4 * HOUR)
    (told,) = watched(signals, cut_s / HOUR + 0.1)
    assert [(i.scope.region, i.state) for i in told if i.suspected_us >= at(cut_s)] == [
        (region, IncidentState.CONFIRMED)
    ]


def test_churn_alone_confirms_nothing() -> None:
    signals = live(country(each=2), Random(4), 72, churn=12)
    (found,) = watched(signals, 72)
    assert [i for i in found if i.confirmed_us is not None] == []


def test_a_state_goes_on_where_it_was() -> None:
    rng = Random(5)
    people = country(each=2)
    signals = sort_signals([*arrived(people), *off(people, NOON, HOUR, rng)])
    detector = SilenceDetector()
    for signal in signals:
        detector.on_signal(signal)
    detector = SilenceDetector.from_state(detector.state())
    detector.advance_to(at(NOON + 2 * HOUR))
    (told,) = detector.findings().incidents
    assert told.state is IncidentState.CONFIRMED
    assert isinstance(signals[-1], VantageLoss)


def test_the_hours_at_which_few_switch_off_are_local() -> None:
    assert is_busy_hour("KZ", at(NOON))
    assert not is_busy_hour("KZ", at(22 * HOUR))  # in Ramadan many go to bed at five
    assert not is_busy_hour("KZ", at(EVENING))
    assert not is_busy_hour("ZZ", at(NOON))


def test_what_fades_beside_a_cut_makes_it_grow_and_is_no_second_incident() -> None:
    """The phones are cut at once; the lines fade one by one over an hour and a half."""
    rng = Random(8)
    people = country(each=2)
    phones = [v for v in people if v.place.access == "mobile"]
    lines = [v for v in people if v.place.access == "fixed"]
    signals = [*arrived(people), *drop(phones, NOON, rng), *off(lines, NOON + 1_800, 5_400, rng)]
    cut, end = watched(signals, 7.3, 10)
    assert [(i.state, i.label) for i in cut] == [(IncidentState.CONFIRMED, "mobile-only")]
    assert [(i.id, i.state, i.label) for i in end] == [
        (cut[0].id, IncidentState.CONFIRMED, "national")
    ]
    assert [turn.when.earliest_us > at(NOON + 600) for turn in end[0].cuts] == [False, True]


def test_the_last_few_of_a_fading_country_make_it_a_cut_although_they_are_too_few_alone() -> None:
    """Five of nine go one by one, then the last four at once: a burst of four votes."""
    rng = Random(9)
    people = rng.sample(country(regions=("ALA", "AST"), each=1), 9)
    fade = [s for i, v in enumerate(people[:5]) for s in drop([v], NOON + i * 500, rng)]
    signals = [*arrived(people), *fade, *drop(people[5:], NOON + 2_800, rng)]
    (told,) = watched(signals, 9)
    assert [(i.state, i.label) for i in told] == [(IncidentState.CONFIRMED, "national")]


def test_a_fire_in_a_data_center_lasts_and_is_no_outage_of_its_region() -> None:
    rng = Random(10)
    people = country(regions=("ALA", "AST", "SHY", "VOS"), each=1)
    servers = make_people(VantageLocation("KZ", "ALA", 9, "hosting"), 14)
    signals = [*arrived([*people, *servers]), *drop(servers, NOON, rng)]
    early, late = watched(signals, 7.1, 9)
    assert [(i.state, i.scope.asn) for i in early] == [(IncidentState.CONFIRMED, 9)]
    assert [(i.id, i.state) for i in late] == [(early[0].id, IncidentState.CONFIRMED)]


def test_a_cut_in_a_fall_began_with_it_and_its_last_silences_are_no_fall_of_their_own() -> None:
    rng = Random(14)
    people = rng.sample(country(each=3), 40)
    detector = SilenceDetector()
    for signal in sort_signals([*arrived(people), *off(people[:20], NOON, 1_200, rng)]):
        detector.on_signal(signal)
    detector.advance_to(at(NOON + 1_500))
    (fall,) = detector.findings().incidents
    presence, levels = detector._presence, detector._levels
    cut = build_outage(Scope("KZ"), NOON + 1_500)
    cut.confirm(at(NOON + 1_600))
    levels.evaluate(presence, "KZ", at(NOON + 1_600), [cut])
    assert cut.from_us == fall.started.earliest_us
    levels.evaluate(presence, "KZ", at(NOON + 3_600), [])
    assert {cell.well_us for scope, cell in levels.cells.items() if scope.country == "KZ"} == {
        at(NOON + 3_600)
    }


def test_half_of_a_country_of_eight_that_goes_one_by_one_for_long_is_suspected() -> None:
    rng = Random(15)
    people = rng.sample(country(each=2), 8)
    signals = [*arrived(people), *off(people[:4], NOON, HOUR, rng)]
    soon, later = watched(signals, NOON / HOUR + 1, NOON / HOUR + 1.8)
    assert soon == []
    assert [(i.state, i.label) for i in later] == [(IncidentState.SUSPECTED, "national")]


@pytest.mark.parametrize("label", ["national", "one-operator"])
def test_three_of_a_country_of_eight_that_stay_away_for_hours_are_suspected(label: str) -> None:
    """Three of a country of eight that stay away for hours are suspected.

    One of them was gone before, so that only two went since the country was well.
    """
    rng = Random(16)
    people = rng.sample(country(each=2), 8)
    if label == "one-operator":  # the only one of a small country
        lines = make_people(VantageLocation("KZ", "ALA", 201, "fixed"), 4)
        people = lines + make_people(VantageLocation("KZ", "ALA", 201, "mobile"), 4)
    gone = [*off(people[:1], NOON - HOUR, 0, rng), *off(people[1:3], NOON, HOUR, rng)]
    soon, later = watched([*arrived(people), *gone], NOON / HOUR + 3, NOON / HOUR + 4.2)
    assert soon == []
    assert [(i.state, i.label) for i in later] == [(IncidentState.SUSPECTED, label)]
