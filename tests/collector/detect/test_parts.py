"""One cut is one incident: no part stands beside another that includes it."""

import os
from dataclasses import replace
from functools import cache

import pytest

from heliograph_collector.detect.blocking.detector import detect_blocking
from heliograph_collector.detect.silence.detector import detect_silence
from heliograph_collector.incidents.incident import IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.model.signals import VantageLocation
from heliograph_lab.evaluate.population import ServiceSchedule, vantages_in_country
from heliograph_lab.evaluate.scenario import play_scenario
from heliograph_lab.evaluate.scenario_file import SHIPPED, load_scenario
from heliograph_lab.evaluate.scenario_model import (
    CellSelector,
    Scenario,
    ScenarioEvent,
    other_countries,
)
from support.presence_model import confirmed

pytestmark = pytest.mark.replay
DRAWS = int(os.environ.get("HELIOGRAPH_REPLAYS", "1"))


@cache
def cuts_of(name: str) -> Scenario:
    made = load_scenario(SHIPPED / name)
    return replace(made, services=(), events=tuple(e for e in made.events if e.do == "cut"))


def messenger(do: str, cell: CellSelector, method: str) -> Scenario:
    """Return three hours of a messenger tested each minute, with an hour of trouble."""
    since_us = 1_641_168_000_000_000
    home = vantages_in_country("KZ", ("ALA", "AST", "SHY", "VOS"), 48, 0)
    at_s = 5_400.0
    event = ScenarioEvent(
        do, (at_s, at_s), (cell,), lasts_s=3_600.0, jitter_s=5.0, service="telegram", method=method
    )
    vantages = (*home, *other_countries(since_us))
    countries = {v.place.country for v in vantages}
    return Scenario(
        f"messenger-{do}",
        since_us,
        3 * 3_600.0,
        vantages,
        dict.fromkeys(sorted(countries), 4.0),
        (event,),
        (ServiceSchedule("telegram"),),
    )


@pytest.mark.parametrize("seed", range(1, 1 + DRAWS))
def test_mobiles_cut_over_a_minute_are_mobile_only(seed: int) -> None:
    """Mobiles cut over a minute are mobile only.

    Operators of Belarus with mobile vantages only go first, the others join them.
    """
    replay = play_scenario(cuts_of("belarus-2020.yml"), seed)
    found = detect_silence(replay.signals, replay.until_us).incidents
    assert [i.label for i in found if i.state is not IncidentState.WITHDRAWN] == ["mobile-only"] * 2


@pytest.mark.parametrize(("seed", "asn"), [(0, 101), (2, 203), (4, 102)])
def test_throttled_operator_is_no_evidence_for_overlapping_cells(seed: int, asn: int) -> None:
    cell = CellSelector("KZ", asn=asn)
    replay = play_scenario(messenger("throttle", cell, "throttled"), seed)
    found = detect_blocking(replay.opinions, replay.since_us, replay.until_us)
    parts = [p.scope for i in confirmed(found) for p in i.parts]
    assert parts == [Scope("KZ", asn=asn)]


@pytest.mark.parametrize("seed", [2, 5])
def test_block_that_grows_to_the_country_is_widened(seed: int) -> None:
    """A block that grows from one operator to the country in 20 minutes is widened."""
    replay = play_scenario(messenger("block", CellSelector("KZ"), "timeout"), seed)
    since_us = replay.truths[0].since_us

    def spared(place: VantageLocation, at_us: int) -> bool:
        is_other = place.country == "KZ" and place.asn != 101
        return is_other and since_us <= at_us < since_us + 20 * 60_000_000

    opinions = [
        replace(o, standing=o.standing.GOOD) if spared(o.witness.place, o.at_us) else o
        for o in replay.opinions
    ]
    (incident,) = confirmed(detect_blocking(opinions, replay.since_us, replay.until_us))
    assert Scope("KZ") in {p.scope for p in incident.parts}
    assert incident.started.earliest_us <= since_us <= incident.started.latest_us
