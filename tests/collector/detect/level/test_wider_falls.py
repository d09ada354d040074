"""A cut of operators grows to the country only if half of the rest falls too."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from support.presence_model import KZ, at, confirmed, country, drop, live, world

ONSET = 5 * 3_600.0  # 10:00 in Kazakhstan


@pytest.mark.parametrize(("share", "is_national"), [(0.15, False), (1.0, True)])
def test_a_fall_that_is_older_than_the_cut_needs_half_of_the_others(
    share: float, *, is_national: bool
) -> None:
    """A fall that is older than the cut needs half of the others.

    A cable takes operators of two countries: the fall is seen while the cut waits. Version 82
    reported the country as cut where three of 18 others were away by chance.
    """
    rng = Random(4)
    people = country(each=4) + world(each=4)
    home = [v for v in people if KZ(v)]
    networks = sorted({v.place.asn for v in home})
    taken = [v for v in home if v.place.asn in networks[:4]]
    rerouted = [v for v in taken if v.place.asn == networks[0]]
    others = [v for v in home if v not in taken]
    signals = live(people, rng, ONSET / 3_600, churn=0.2)
    signals += drop([v for v in taken if v not in rerouted], ONSET, rng)
    signals += drop([v for v in people if v.place.country == "XA"], ONSET, rng)
    signals += drop(rerouted, ONSET, rng, ONSET + 900)
    away = [*rerouted[:5], *others[: round(share * len(others))]]
    for number, vantage in enumerate(away):
        signals += drop([vantage], ONSET + 3_600 + 120 * number, rng)
    told = confirmed(detect_silence(signals, at(ONSET + 3 * 3_600)).incidents)
    cells = {part.scope for cut in told if cut.scope.country == "KZ" for part in cut.parts}
    assert any(scope.is_national for scope in cells) is is_national
    assert cells
