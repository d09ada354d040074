"""A country is cut minutes after a cut of some cities that was too short."""

from random import Random

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident
from heliograph_collector.model.scope import Scope
from support.presence_model import Signals, at, country, drop, live, world

FIRST = 7_200.0
RETRY_S = 60.0
HOUR = 3_600.0


def detect(signals: Signals, until_s: float) -> list[Incident]:
    home = country(each=1) + world(each=2)
    quiet = live(home, Random(1), FIRST / HOUR, churn=0.5)
    return [*detect_silence(quiet + signals, at(until_s)).incidents]


@pytest.mark.parametrize(("lasts_s", "gap_s"), [(60.0, 40.0), (60.0, 120.0), (90.0, 40.0)])
def test_country_is_told_though_most_of_it_was_cut_and_back_just_before(
    lasts_s: float, gap_s: float
) -> None:
    """The country's cut is found though most of it was cut and back just before.

    Version 121 took the second for sessions that flap: 359 to 520 s, in a young world never.
    """
    home = country(each=1)
    cities = [vantage for vantage in home if vantage.place.region != "VOS"]
    second_s = FIRST + lasts_s + RETRY_S + gap_s
    signals = drop(cities, FIRST, Random(2), FIRST + lasts_s)
    signals += drop(home, second_s, Random(3), second_s + 4 * HOUR)
    cuts = [
        incident
        for incident in detect(signals, second_s + HOUR)
        if incident.confirmed_us and Scope("KZ") in [part.scope for part in incident.parts]
    ]
    (cut,) = cuts
    assert cut.confirmed_us is not None
    assert cut.confirmed_us <= at(second_s) + 125 * SECOND_US


def test_sessions_that_all_break_and_are_back_within_a_minute_are_no_cut() -> None:
    """Sessions that all break and are back within a minute are no cut.

    A middlebox that forgets its connections ends all at one moment, again and again.
    """
    home = country(each=1)
    signals = [
        signal
        for number in range(6)
        for signal in drop(
            home, FIRST + 240.0 * number, Random(number), FIRST + 240.0 * number + 45.0
        )
    ]
    told = [i for i in detect(signals, FIRST + HOUR) if i.scope.country == "KZ"]
    assert [incident for incident in told if incident.confirmed_us] == []
