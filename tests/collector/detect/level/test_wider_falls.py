"""A cut of operators grows to the country only if half of the rest falls too."""

from random import Random

import pytest

from heliograph.units import MINUTE_US
from heliograph_collector.detect import detect_silence
from heliograph_collector.incidents.incident import IncidentState
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


def test_a_suspicion_of_the_country_ends_once_a_region_explains_it() -> None:
    """A region of 30 fades in 90 minutes; nine of the 60 others are away by chance.

    Version 133 suspected the country for as long as the region was cut.
    """
    rng = Random(1)
    people = country(each=5) + world()
    onset_s = 29 * 3_600.0
    back_s = onset_s + 8 * 3_600
    signals = live(people, rng, 38, churn=1.0)
    taken = [v for v in people if KZ(v) and v.place.region == "ALA"]
    away = [v for v in people if KZ(v) and v.place.region != "ALA"]
    rng.shuffle(taken)
    rng.shuffle(away)
    for number, vantage in enumerate(taken):
        signals += drop([vantage], onset_s + 180 * number, rng, back_s)
    for number, vantage in enumerate(away[:9]):
        signals += drop([vantage], onset_s + 600 * number, rng, back_s)
    incidents = [
        incident
        for incident in detect_silence(signals, at(onset_s + 9 * 3_600)).incidents
        if incident.scope.country == "KZ"
    ]
    (region,) = confirmed(incidents)
    (wider,) = [incident for incident in incidents if incident.scope.is_national]
    assert region.scope.region == "ALA"
    assert region.confirmed_us is not None
    assert wider.state is IncidentState.WITHDRAWN
    assert wider.closed_us is not None
    assert wider.closed_us <= region.confirmed_us + 70 * MINUTE_US
