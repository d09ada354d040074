"""Sessions that are ended to begin again are no cut; what only looks alike is one."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.signals import VantageArrival, VantageLocation, VantageRef
from support.examples import draw_seeds
from support.presence_model import (
    KZ,
    Signals,
    at,
    confirmed,
    country,
    drop,
    live,
    people,
    world,
)

AT = 7_200.0
HOUR, DAY = 3_600.0, 86_400.0
LINES = people(VantageLocation("KZ", "ALA", 201, "fixed"), 6)
LINES += people(VantageLocation("KZ", "AST", 201, "fixed"), 8)


def renew(
    vantages: Sequence[VantageRef], at_s: float, rng: Random, within_s: float, down: Sequence[float]
) -> Signals:
    """Sessions end within some seconds, and each is back after its own time."""
    signals: Signals = []
    for vantage in vantages:
        since_s = at_s + rng.uniform(0, within_s)
        back_s = since_s + max(25.0, rng.uniform(*down))
        (loss,) = drop([vantage], since_s, rng)
        if loss.at_us < at(back_s):
            signals.append(loss)
        moved = replace(vantage, prefix=f"{vantage.prefix} {at_s:.0f}")
        signals.append(VantageArrival(at(back_s), moved))
    return signals


def cuts(signals: Signals, until_s: float) -> list[Incident]:
    return confirmed(detect_silence(signals, at(until_s)).incidents)


RENEWALS = {
    "lines dial in again": (LINES, 30.0, (25.0, 150.0)),
    "their server is flooded": (LINES, 30.0, (30.0, 220.0)),
    "all lines of the country": (
        [w for w in country() if w.place.access == "fixed"],
        30,
        (30, 200),
    ),
    "phones attach to 2G": ([w for w in country() if w.place.access == "mobile"], 20, (30, 200)),
}


@pytest.mark.parametrize("case", RENEWALS)
def test_sessions_that_begin_again_one_by_one_are_no_cut(case: str) -> None:
    vantages, within_s, down = RENEWALS[case]
    for seed in draw_seeds(4):
        rng = Random(seed)
        signals = live(country() + LINES + world(), rng, 3, churn=1.0)
        signals += renew(vantages, AT, rng, within_s, down)
        assert cuts(signals, 3 * 3_600) == [], seed


def test_lines_that_were_silent_at_this_time_of_earlier_days_may_be_so_again() -> None:
    """Lines that were silent at this time of earlier days may be so again.

    None is back before two minutes: only the habit separates it from a cut.
    """
    rng = Random(1)
    signals = live(country() + LINES + world(), rng, 74, churn=1.0)
    for day in range(3):
        signals += renew(LINES, AT + day * DAY + rng.uniform(0, 300), rng, 20, (150, 240))
    incidents = cuts(signals, AT + 2 * DAY + 3_600)
    assert [i for i in incidents if i.started.earliest_us > at(DAY)] == []
    signals += drop(LINES, AT + 2 * DAY + 4_000, rng)
    (late,) = [i for i in cuts(signals, AT + 2 * DAY + 4_120) if i.started.earliest_us > at(DAY)]
    assert late.confirmed_us is not None, "at another time it is no habit"


def test_habit_delays_a_cut_by_twice_its_length_and_hides_none() -> None:
    rng = Random(2)
    signals = live(country() + LINES + world(), rng, 51, churn=1.0)
    signals += renew(LINES, AT, rng, 20, (150, 240))
    signals += renew(LINES, AT + DAY, rng, 20, (150, 240))
    signals += drop(LINES, AT + 2 * DAY, rng)
    (cut,) = [i for i in cuts(signals, AT + 2 * DAY + 900) if i.started.earliest_us > at(DAY)]
    assert cut.kind is IncidentKind.SILENCE
    assert 300 * SECOND_US < (cut.confirmed_us or 0) - at(AT + 2 * DAY) < 800 * SECOND_US


@pytest.fixture
def nights() -> Signals:
    """Return two nights in which lines dial in at various times, without suspicion."""
    rng = Random(3)
    signals = live(country() + LINES + world(), rng, 51, churn=1.0)
    for day in range(2):
        for number, line in enumerate(LINES):
            signals += renew([line], AT + day * DAY + 107 * number, rng, 20, (150, 240))
    assert detect_silence(signals, at(AT + 2 * DAY - HOUR)).incidents == ()
    return signals


def test_lines_that_dial_in_by_their_own_clocks_may_all_do_so_at_once(nights: Signals) -> None:
    nights += renew(LINES, AT + 2 * DAY + 750, Random(3), 20, (150, 240))
    assert cuts(nights, AT + 2 * DAY + HOUR) == []


@pytest.mark.parametrize(("after_s", "least_s", "most_s"), [(0, 300, 600), (3 * HOUR, 0, 120)])
def test_lines_that_are_cut_when_they_dial_in_are_told_once_they_should_be_back(
    nights: Signals, after_s: float, least_s: float, most_s: float
) -> None:
    since_s = AT + 2 * DAY + 750 + after_s
    nights += drop(LINES, since_s, Random(4))
    (cut,) = cuts(nights, since_s + 900)
    assert least_s < ((cut.confirmed_us or 0) - at(since_s)) / SECOND_US < most_s


@pytest.mark.parametrize("seed", draw_seeds(3))
def test_brief_cut_is_found_although_all_return(seed: int) -> None:
    rng = Random(seed)
    signals = live(country(each=2) + world(), rng, 3, churn=4.0)
    signals += drop(list(filter(KZ, country(each=2))), AT, rng, AT + 200)
    (cut,) = cuts(signals, 3 * 3_600)
    assert (cut.kind, cut.state) == (IncidentKind.SILENCE, IncidentState.CLOSED)
    assert (cut.confirmed_us or 0) - at(AT) <= 75 * SECOND_US


@pytest.mark.parametrize("is_repaired", [True, False])
def test_countries_that_return_together_soon_were_cut_off_by_us(is_repaired: bool) -> None:
    """Countries that return together soon were cut off by us.

    Our transit looks like a cable at first; a cable is not repaired in half an hour.
    """
    rng = Random(5)
    home = country(each=2)
    others = world(5, each=2)
    fallen = [w for w in home + others if w.place.country in ("KZ", "XA", "XB")]
    signals = live(home + others, rng, 4, churn=1.0)
    signals += drop(fallen, AT, rng, AT + (720 if is_repaired else 5_400))
    early = cuts(signals, AT + 600)
    assert sorted(i.scope.country for i in early) == ["KZ", "XA", "XB"]
    assert {i.confidence for i in early} == {0.5}
    assert cuts(signals, AT + 480) == []
    expected = IncidentState.WITHDRAWN if is_repaired else IncidentState.CLOSED
    assert {i.state for i in cuts(signals, 4 * 3_600)} == {expected}


NIGHT = 22 * HOUR  # 3 o'clock in KZ


@pytest.mark.parametrize(
    ("within_s", "down"), [(60, (150, 300)), (300, (150, 400)), (600, (180, 480))]
)
def test_lines_that_dial_in_one_after_another_in_a_first_night_are_no_cut(
    within_s: float, down: tuple[float, float]
) -> None:
    """Lines that dial in one after another in a first night are no cut.

    None is back for minutes, and no habit is known yet.
    """
    for seed in draw_seeds(2):
        rng = Random(seed)
        signals = live(country() + LINES + world(), rng, 24, churn=1.0)
        signals += renew(LINES, NIGHT, rng, within_s, down)
        assert cuts(signals, NIGHT + HOUR) == [], seed


@pytest.mark.parametrize(("within_s", "most_s"), [(10, 120), (60, 420), (600, 960)])
def test_lines_of_one_network_that_are_cut_at_night_are_told(
    within_s: float, most_s: float
) -> None:
    for seed in draw_seeds(2):
        rng = Random(seed)
        signals = live(country() + LINES + world(), rng, 24, churn=1.0)
        for line in LINES:
            signals += drop([line], NIGHT + rng.uniform(0, within_s), rng)
        (cut,) = cuts(signals, NIGHT + HOUR)
        assert ((cut.confirmed_us or 0) - at(NIGHT)) / SECOND_US < most_s, seed


PHONES = people(VantageLocation("KZ", "AST", 103, "mobile"), 7)  # more than the operator's others


@pytest.mark.parametrize(
    ("is_back", "at_s", "least_s"), [(True, NIGHT, None), (False, NIGHT, 300), (False, AT, 0)]
)
def test_a_few_phones_that_attach_to_other_nats_at_night_are_no_cut(
    *, is_back: bool, at_s: float, least_s: float | None
) -> None:
    """They fall together, and are back from two to ten minutes later. A cut is told after five."""
    rng = Random(6)
    signals = live(country(each=1) + PHONES + world(), rng, 24, churn=0.0)
    fallen = [v for v in country(each=1) if KZ(v) and v.place.asn == 103][:2] + PHONES
    signals += renew(fallen, at_s, rng, 11, (150, 600)) if is_back else drop(fallen, at_s, rng)
    found = cuts(signals, at_s + HOUR)
    assert (least_s is None) == (not found)
    for cut in found:
        told_s = ((cut.confirmed_us or 0) - at(at_s)) / SECOND_US
        assert (least_s or 0) <= told_s <= (least_s or 60) + 120
