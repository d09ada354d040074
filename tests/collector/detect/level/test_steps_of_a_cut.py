"""A country that fades hours after its phones were cut has two dated steps."""

from random import Random

import pytest

from heliograph.units import HOUR_US, MINUTE_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import PhaseDirection
from support.presence_model import KZ, at, confirmed, country, drop, live, world

ONSET = 4 * 3_600.0  # 10:00 in Kazakhstan
FADE = ONSET + 3 * 3_600
HOURS = 11.0


@pytest.mark.parametrize("beside", [0, 5])
def test_a_fade_hours_after_a_cut_has_a_date_of_its_own(beside: int) -> None:
    """A fade hours after a cut has a separate date.

    As Iran's on 8 January 2026: one family of addresses at noon, the rest in the evening. A few of
    other operators fall with the first step. Up to version 97 they dated the fade, and the country
    was shown as dark since noon.
    """
    rng = Random(3)
    people = country(each=4) + world(each=2)
    home = [v for v in people if KZ(v)]
    networks = sorted({v.place.asn for v in home})
    first = [v for v in home if v.place.asn == networks[0]]
    others = [v for v in home if v.place.asn != networks[0]]
    rng.shuffle(others)
    signals = live(people, rng, ONSET / 3_600, churn=0.2)
    signals += drop([*first, *others[:beside]], ONSET, rng)
    for number, vantage in enumerate(others[beside:]):
        signals += drop([vantage], FADE + 200 * number, rng)
    told = confirmed(detect_silence(signals, at(HOURS * 3_600)).incidents)
    (cut,) = [incident for incident in told if incident.scope.is_national]
    assert cut.started.latest_us <= at(ONSET) + MINUTE_US
    steps = [turn for turn in cut.turns if turn.way is PhaseDirection.CUT]
    assert [part.scope.asn for part in steps[0].parts] == [networks[0]]
    assert steps[1].when.earliest_us >= at(FADE) - MINUTE_US
    assert steps[1].when.latest_us <= at(FADE) + 3 * HOUR_US
