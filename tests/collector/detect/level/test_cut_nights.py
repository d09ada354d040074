"""A country, or a city, that is cut while people sleep is told by the time they should be back."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from support.presence_model import at, country, list_people, world
from support.small_nights import DAY, EVENING, HOUR, arrived, back, off, watched

MORNING = 27 * HOUR  # after the midnight that a day begins with: eight in the morning


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cut_by_night_from_which_nobody_is_back_is_told_in_the_morning(seed: int) -> None:
    """Of 16 people 13 sleep each night, and the last three are cut in the fifth.

    So dark is a usual night. Version 177 never told it: nobody fell since the country was well.
    """
    rng = Random(seed)
    everyone = rng.sample(country(each=2), 16)
    signals = arrived([*everyone, *world()])
    for night in range(5):
        asleep = rng.sample(everyone, 13)
        signals += off(asleep, night * DAY + EVENING, 3 * HOUR, rng)
        if night < 4:
            signals += back(asleep, night * DAY + MORNING, 2 * HOUR, rng)
        else:
            awake = [v for v in everyone if v not in asleep]
            signals += off(awake, night * DAY + 22 * HOUR, 0.5 * HOUR, rng)
    (noon,) = watched(signals, 5 * 24 + 9)
    assert [incident.state for incident in noon] == [IncidentState.CONFIRMED]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_people_who_sleep_longer_on_a_holiday_are_no_cut(seed: int) -> None:
    """On the fifth morning those who sleep stay away until two; the three others are here."""
    rng = Random(seed)
    everyone = rng.sample(country(each=2), 16)
    asleep = everyone[:13]
    signals = arrived([*everyone, *world()])
    for night in range(5):
        signals += off(asleep, night * DAY + EVENING, 3 * HOUR, rng)
        late = 6 * HOUR if night == 4 else 0
        signals += back(asleep, night * DAY + MORNING + late, 2 * HOUR, rng)
    for hours in (4, 6, 8):
        (now,) = watched(signals, 5 * 24 + hours)
        assert IncidentState.CONFIRMED not in {incident.state for incident in now}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_city_that_is_dark_from_its_second_evening_is_told_by_noon(seed: int) -> None:
    """Seven tenths of the country sleep in the first night; of the city nobody is back.

    Version 177 compared it with that night alone, and withdrew it after a day.
    """
    rng = Random(seed)
    city = list_people(("ALA",), (101, 102, 201, 202, 203), "fixed", 3)
    city += list_people(("ALA",), (101, 102, 103), "mobile", 2)
    rest = country(regions=("AST", "VOS", "SHY"), each=4)
    asleep = rng.sample([*city, *rest], round(0.7 * (len(city) + len(rest))))
    signals = arrived([*city, *rest, *world()])
    signals += off(asleep, EVENING, 3 * HOUR, rng) + back(asleep, MORNING, 2 * HOUR, rng)
    signals += off(city, DAY + EVENING - HOUR, HOUR, rng)
    others = [v for v in asleep if v.place.region != "ALA"]
    signals += off(others, DAY + EVENING, 3 * HOUR, rng)
    signals += back(others, DAY + MORNING, 2 * HOUR, rng)
    found = detect_silence(signals, at(2 * DAY + 9 * HOUR)).incidents
    (told,) = [i for i in found if i.confirmed_us and i.scope.country == "KZ"]
    assert told.scope == Scope("KZ", "ALA")
