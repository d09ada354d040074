"""One operator of a country that sleeps goes within minutes, and its people come back later."""

from collections.abc import Iterable
from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import Incident, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import (
    OfflineReport,
    VantageArrival,
    VantageLocation,
    VantageRef,
)
from support.presence_model import Signals, at, confirmed, country, people, world
from support.small_nights import DAY, HOUR, arrived, back, off

NIGHT = 5 * DAY + 0.5 * HOUR  # half past five in the morning
BACK = NIGHT + 16 * HOUR
OWN = [
    vantage
    for region in ("ALA", "AST", "VOS")
    for access, count in (("fixed", 4), ("mobile", 1))
    for vantage in people(VantageLocation("KZ", region, 250, access), count)
]
AWAKE = [vantage for number, vantage in enumerate(OWN) if number % 5 > 1]


def _render_nights(asleep: Iterable[VantageRef], rng: Random) -> Signals:
    """Let the same people sleep in each of six nights."""
    signals: Signals = []
    for day in range(6):
        bedtime_s = day * DAY - 7 * HOUR
        if day:
            signals += off(asleep, bedtime_s, 2 * HOUR, rng)
        signals += back(asleep, bedtime_s + 9 * HOUR, 2 * HOUR, rng)
    return signals


def _render(rng: Random, over_s: float = 150) -> Signals:
    """Let eight of an operator's nine that are up at night fall silent."""
    others = country(each=3)
    asleep = [v for v in OWN if v not in AWAKE]
    asleep += [v for number, v in enumerate(others) if number % 5 < 2]
    signals = arrived([*OWN, *others, *world()]) + _render_nights(asleep, rng)
    return signals + off(AWAKE[1:], NIGHT, over_s, rng)


def _find(signals: Signals, until_s: float) -> list[Incident]:
    found = detect_silence(signals, at(until_s)).incidents
    return [i for i in found if i.started.latest_us >= at(NIGHT) and i.scope.country == "KZ"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_operator_that_goes_beside_others_by_night_is_told_in_minutes(seed: int) -> None:
    """Nine of its fifteen were up. The country is dark each night, but nobody else goes."""
    (told,) = confirmed(_find(_render(Random(seed), 240), NIGHT + 600))
    assert told.scope == Scope("KZ", asn=250)
    assert (told.confirmed_us or 0) <= at(NIGHT + 400)


@pytest.mark.parametrize("tellers", [0, 1, 3])
def test_a_cut_stands_if_some_that_ran_do_not_tell(tellers: int) -> None:
    """Four come back one by one whose machines ran; those who tell say that no anchor answered."""
    rng = Random(1)
    signals = _render(rng)
    for number, vantage in enumerate(AWAKE[1:]):
        back_s = BACK + 300 * number
        signals.append(VantageArrival(at(back_s), vantage, same_boot=number < 4))
        if number in range(4, 4 + tellers):
            told = at(NIGHT + 60), at(back_s - 60)
            signals.append(
                OfflineReport(at(back_s + 5), vantage.nym, *told, alive=True, online=False)
            )
    found = _find(signals, BACK + 3 * HOUR)
    (cut,) = [i for i in found if i.started.latest_us <= at(NIGHT + HOUR)]
    assert cut.state is (IncidentState.CLOSED if tellers else IncidentState.WITHDRAWN)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_phones_of_one_operator_that_were_woken_and_sleep_again_are_not_told(seed: int) -> None:
    """Seventeen of its twenty-one sleep each night, and one of the four others is away in the last.

    The seventeen come on for an alarm, are off again within five minutes, and so once more.
    """
    rng = Random(seed)
    places = [VantageLocation("KZ", region, 251, "mobile") for region in ("ALA", "AST", "VOS")]
    phones = [vantage for place in places for vantage in people(place, 7)]
    others = country(each=3)
    asleep = [*phones[4:], *(v for number, v in enumerate(others) if number % 5 < 2)]
    signals = arrived([*phones, *others, *world()]) + _render_nights(asleep, rng)
    signals += off(phones[:1], NIGHT - 5 * HOUR, 600, rng)
    for alarm_s in (NIGHT - 2.25 * HOUR, NIGHT - 0.75 * HOUR):
        signals += back(phones[4:], alarm_s, 120, rng)
        signals += off(phones[4:], alarm_s + 0.75 * HOUR, 300, rng)
    assert not confirmed(_find(signals, NIGHT + HOUR))
