"""The onset of a cut that takes minutes, whose burst is found late."""

from random import Random

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.signals import VantageLocation, VantageRef
from support.presence_model import Signals, at, country, drop, live, people, world

ONSET = 7_200.0
HOUR = 3_600.0
PHONES = people(VantageLocation("KZ", "ALA", 77, "mobile"), 36)


def play(home: list[VantageRef], signals: Signals) -> Incident:
    quiet = live([*home, *world(each=3)], Random(3), ONSET / HOUR, churn=0.2)
    incidents = detect_silence(quiet + signals, at(ONSET + HOUR)).incidents
    (cut,) = [i for i in incidents if i.scope.country == "KZ" and i.confirmed_us is not None]
    return cut


def drop_by_turns(vantages: list[VantageRef], since_s: float, over_s: float) -> Signals:
    return [
        signal
        for number, vantage in enumerate(vantages)
        for signal in drop([vantage], since_s + over_s * number / len(vantages), Random(number))
    ]


def test_a_fade_began_with_its_first_and_not_with_the_burst_that_showed_it() -> None:
    """Phones of one operator lose their registration over ten minutes.

    Version 141 dated 36 such phones by the last two minutes alone.
    """
    cut = play([*country(each=4), *PHONES], drop_by_turns(PHONES, ONSET, 600.0))
    assert (cut.label, cut.scope.asn) == ("one-operator", 77)
    assert abs(cut.started.earliest_us - at(ONSET)) <= 120 * SECOND_US
    assert cut.started.latest_us >= at(ONSET + 360)  # it is confirmed while it spreads


def test_people_who_leave_before_a_step_do_not_date_it() -> None:
    leaving, cut_off = PHONES[:14], PHONES[14:]
    signals = drop_by_turns(leaving, ONSET - 5_400.0, 5_400.0) + drop(cut_off, ONSET, Random(5))
    cut = play([*country(each=4), *PHONES], signals)
    assert cut.started.earliest_us >= at(ONSET - 16)
