"""An operator that fades on a fleet's first day, while its neighbors stay, is no bedtime."""

from random import Random

import pytest

from heliograph_collector.detect import detect_silence
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageRef
from heliograph_lab.evaluate.population import OPERATORS
from support.presence_model import at, confirmed, country, world
from support.small_nights import EVENING, HOUR, arrived, off

LINES = next(asn for asn, access in OPERATORS if access == "fixed")
PHONES = next(asn for asn, access in OPERATORS if access == "mobile")


def _pick(people: list[VantageRef], asn: int) -> list[VantageRef]:
    return [v for v in people if v.place.asn == asn]


@pytest.mark.parametrize("asn", [LINES, PHONES], ids=["lines", "phones"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_operator_that_fades_beside_others_is_told_on_a_first_evening(
    seed: int, asn: int
) -> None:
    """At ten in the evening 14 of its 15 go within 40 minutes, and 6 of the 75 others.

    Version 172 held it as a habit that is not known yet until it was over.
    """
    rng = Random(seed)
    people = country(each=5)
    own = _pick(people, asn)
    others = [v for v in people if v not in own]
    signals = arrived(people + world())
    signals += off(own[1:], EVENING, 2_400, rng) + off(rng.sample(others, 6), EVENING, HOUR, rng)
    (told,) = confirmed(detect_silence(signals, at(EVENING + 1.2 * HOUR)).incidents)
    assert told.scope == Scope("KZ", asn=asn)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_operator_that_sleeps_before_the_others_is_not_told(seed: int) -> None:
    """14 of its 15 are in bed within 40 minutes, and 85 of 100 others within two hours."""
    rng = Random(seed)
    people = country(each=5)
    own = _pick(people, LINES)
    signals = arrived(people + world()) + off(own[1:], EVENING, 2_400, rng)
    others = [v for v in people if v not in own and rng.random() < 0.85]
    signals += off(others, EVENING, 2 * HOUR, rng)
    for minutes in (45, 60, 75, 90, 120, 180):
        found = detect_silence(signals, at(EVENING + 60 * minutes)).incidents
        assert not [i for i in confirmed(found) if i.scope.asn]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_phones_of_the_only_mobile_operator_have_no_neighbors(seed: int) -> None:
    """All phones of a country doze, and the lines stay: nothing shows that it is no habit."""
    rng = Random(seed)
    people = [v for v in country(each=5) if v.place.access == "fixed" or v.place.asn == PHONES]
    signals = arrived(people + world()) + off(_pick(people, PHONES)[1:], EVENING, 2_400, rng)
    assert not confirmed(detect_silence(signals, at(EVENING + 3 * HOUR)).incidents)
