"""A service that fails in many countries at once is broken, whichever of its networks show it."""

from random import Random

import pytest

from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.incidents.incident import Incident, State
from heliograph_collector.model.signals import Opinion, Standing, Witness
from support.dark_world import at, country, world

pytestmark = pytest.mark.replay

ONSET, END, UNTIL = 3_600.0, 7_200.0, 9_000.0
SITES = {("KZ", 101), ("KZ", 202), ("XA", 201), ("XB", 103), ("XC", 102), ("XC", 203)}


def votes(
    seed: int, failing: dict[str, float], sites: set[tuple[str, int]] | None = None
) -> list[Opinion]:
    """A test a minute. `failing`: by country, from when on its networks (of `sites`) fail."""
    rng, found = Random(seed), []
    for witness in country(each=2) + world(6, each=2):
        now = rng.uniform(0, 60)
        while now < UNTIL:
            since = failing.get(witness.place.country, UNTIL)
            hit = since <= now < END and (sites is None or _site(witness) in sites)
            found.append(_opinion(witness, now, hit or rng.random() < 0.02))
            now += 60
    return found


def _site(witness: Witness) -> tuple[str, int]:
    return witness.place.country, witness.place.asn


def _opinion(witness: Witness, now: float, bad: bool) -> Opinion:
    if bad:
        return Opinion(at(now), witness, "telegram", Standing.BLOCKED, "tcp", "timeout")
    return Opinion(at(now), witness, "telegram", Standing.GOOD)


def told(seed: int, failing: dict[str, float], **more: set[tuple[str, int]]) -> list[Incident]:
    return list(reach(votes(seed, failing, **more), at(0), at(UNTIL)))


@pytest.mark.parametrize("seed", range(2))
def test_sites_that_fail_in_many_countries_are_the_services_own_fault(seed: int) -> None:
    found = told(seed, {name: ONSET for name, _ in SITES}, sites=SITES)
    assert {i.scope.country for i in found} >= {"KZ"}  # said, and why it is held
    assert [i for i in found if i.confirmed_us is not None] == []
    assert {i.held for i in found} == {("elsewhere",)}
    assert {i.state for i in found} == {State.WITHDRAWN}  # it passed


@pytest.mark.parametrize("seed", range(2))
def test_neighbours_that_block_in_the_same_hour_are_both_told(seed: int) -> None:
    together = told(seed, {"KZ": ONSET, "XA": ONSET})
    assert {i.scope.country for i in together if i.confirmed_us is not None} == {"KZ", "XA"}
    hour = {"KZ": ONSET, "XA": ONSET + 900, "XB": ONSET + 1_800}  # one after another
    apart = told(seed, hour)
    assert {i.scope.country for i in apart if i.confirmed_us is not None} == set(hour)


@pytest.mark.parametrize("seed", range(2))
def test_a_block_during_such_a_fault_is_told(seed: int) -> None:
    """The sites went an hour ago in three other countries; here the whole country goes now."""
    abroad = {("XA", 201), ("XB", 103), ("XC", 102)}
    everybody = {("KZ", asn) for asn in (101, 102, 103, 201, 202, 203)}
    failing = {"KZ": ONSET + 1_200, "XA": ONSET, "XB": ONSET, "XC": ONSET}
    found = told(seed, failing, sites=abroad | everybody)
    (incident,) = [i for i in found if i.confirmed_us is not None]
    assert incident.scope.country == "KZ"
    assert (incident.confirmed_us or 0) - at(ONSET + 1_200) <= 300_000_000
