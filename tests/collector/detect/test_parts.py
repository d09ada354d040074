"""One cut is told as one: no part beside another that holds everybody it holds."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import heliograph_lab.evaluate
from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.detect.silence.detector import watch
from heliograph_collector.incidents.incident import State
from heliograph_collector.incidents.scope import Scope
from heliograph_lab.evaluate.corpus import scenario
from heliograph_lab.evaluate.priors import Draw
from heliograph_lab.evaluate.scenario import Scenario, play
from heliograph_lab.evaluate.scenario_file import load

pytestmark = pytest.mark.replay

SCENARIOS = Path(heliograph_lab.evaluate.__file__).parent / "scenarios"


@cache
def cuts_of(name: str) -> Scenario:
    made = load(SCENARIOS / name)
    return replace(made, services=(), events=tuple(e for e in made.events if e.do == "cut"))


@pytest.mark.parametrize("seed", range(1, 9))
def test_mobiles_that_go_over_a_minute_are_mobile_only(seed: int) -> None:
    """Operators of Belarus all of whose vantages are mobile go first, the others join them."""
    replay = play(cuts_of("belarus-2020.yml"), seed)
    found = watch(replay.signals, replay.until_us).incidents
    assert [i.label for i in found if i.state is not State.WITHDRAWN] == ["mobile-only"] * 2


@pytest.mark.parametrize(("seed", "asn"), [(0, 101), (2, 203), (4, 102)])
def test_a_throttled_operator_is_no_evidence_for_cells_that_share_its_votes(
    seed: int, asn: int
) -> None:
    replay = play(scenario(Draw("throttle", seed)), seed)
    found = reach(replay.opinions, replay.since_us, replay.until_us)
    parts = [p.scope for i in found if i.confirmed_us is not None for p in i.parts]
    assert parts == [Scope("KZ", asn=asn)]


@pytest.mark.parametrize("seed", [2, 5])
def test_what_grows_to_the_country_is_still_seen_to_grow(seed: int) -> None:
    """One operator first, all of them 20 minutes later."""
    replay = play(scenario(Draw("block", seed)), seed)
    since_us = replay.truths[0].since_us
    late_us = 20 * 60_000_000

    def spared(asn: int, at_us: int) -> bool:
        return asn != 101 and since_us <= at_us < since_us + late_us

    opinions = [
        replace(o, standing=o.standing.GOOD)
        if spared(o.witness.place.asn, o.at_us) and o.witness.place.country == "KZ"
        else o
        for o in replay.opinions
    ]
    (incident,) = [
        i for i in reach(opinions, replay.since_us, replay.until_us) if i.confirmed_us is not None
    ]
    assert Scope("KZ") in {p.scope for p in incident.parts}
    assert incident.started.earliest_us <= since_us <= incident.started.latest_us
