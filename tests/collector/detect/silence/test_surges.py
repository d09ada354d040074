"""Phones that come on for an alarm and go off again are no cut; a cut of all phones is one."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import HoldReason, Incident
from heliograph_collector.model.signals import VantageArrival, VantageLocation
from support.presence_model import Signals, at, confirmed, country, drop, live, people, world
from support.small_nights import DAY, HOUR, back, off

ALARM = 5 * DAY + 6 * HOUR  # 11 o'clock local time
END = ALARM + 1_500
OPERATORS = ((701, 16), (702, 14), (703, 10))  # of phones, of which four each are always on
PHONES = {asn: people(VantageLocation("KZ", "ALA", asn, "mobile"), n) for asn, n in OPERATORS}
LINES = [v for v in country() if v.place.access == "fixed"]
STEADY = [phone for phones in PHONES.values() for phone in phones[:4]]
CALLED = [phone for phones in PHONES.values() for phone in phones[4:]]


def render_days(rng: Random) -> Signals:
    """Render all, of whom those that are called are on for an hour each day."""
    signals = live([*LINES, *STEADY, *world()], rng, 150, churn=0.5)
    for phone in CALLED:
        for day in range(5):
            on_s = day * DAY + rng.uniform(0, 16) * HOUR
            signals += [VantageArrival(at(on_s), phone), *drop([phone], on_s + HOUR, rng)]
    return signals


def find_told(signals: Signals, since_s: float, until_s: float) -> list[Incident]:
    found = detect_silence(signals, at(until_s)).incidents
    return [i for i in found if i.scope.country == "KZ" and i.suspected_us >= at(since_s)]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("leave_s", [60, 120, 420])
def test_phones_of_an_alarm_that_leave_are_suspected_at_most(seed: int, leave_s: float) -> None:
    signals = (
        render_days(Random(seed))
        + back(CALLED, ALARM, 150, Random(1))
        + off(CALLED, END, leave_s, Random(2))
    )
    found = find_told(signals, END, END + 4 * HOUR)
    assert not confirmed(found)
    assert {i.held for i in found if i.closed_us is None} <= {(HoldReason.HABIT,)}


@pytest.mark.parametrize("seed", [1, 2])
def test_cut_of_all_phones_after_an_alarm_is_told(seed: int) -> None:
    """Those that were here before the alarm fall too."""
    signals = render_days(Random(seed)) + back(CALLED, ALARM, 150, Random(1))
    signals += off([*STEADY, *CALLED], END, 30, Random(2))
    found = confirmed(find_told(signals, END, END + 600))
    assert min(i.confirmed_us or 0 for i in found) <= at(END + 180)


@pytest.mark.parametrize("seed", [1, 2])
def test_second_cut_that_spares_the_same_few_is_told(seed: int) -> None:
    """Phones that come back from a cut together, and are cut again, are no surge."""
    signals = render_days(Random(seed)) + back(CALLED, ALARM - 5 * HOUR, 150, Random(1))
    signals += off(CALLED, ALARM - 2 * HOUR, 30, Random(2)) + back(CALLED, ALARM, 150, Random(1))
    signals += off(CALLED, END, 30, Random(2))
    first, *_ = confirmed(find_told(signals, ALARM - 2 * HOUR, END - 60))
    assert first.closed_us
    later = confirmed(find_told(signals, ALARM - 2 * HOUR, END + 600))
    assert any(i.closed_us is None for i in later)


@pytest.mark.parametrize("seed", [1, 2])
def test_operator_cut_soon_after_a_start_of_the_collector_is_told(seed: int) -> None:
    """All of it had come together; one that came first lives by another way."""
    rng = Random(seed)
    spared, *others = PHONES[701]
    signals = live([*LINES, *world()], rng, 4, churn=0.5) + back(others, 300, 300, rng)
    signals += [VantageArrival(at(60), spared), *off(others, 1.5 * HOUR, 30, rng)]
    found = confirmed(find_told(signals, 1.5 * HOUR, 1.5 * HOUR + 600))
    assert [incident.scope.asn for incident in found] == [701]
