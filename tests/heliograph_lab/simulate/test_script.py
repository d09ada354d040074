"""Scripts: scaled to a number of agents, sped up, built from a scenario file."""

from pathlib import Path

import pytest

from heliograph_lab.evaluate.scenario_file import load_scenario
from heliograph_lab.simulate import (
    SHIPPED,
    Actor,
    AgentSilence,
    Script,
    ServiceTrouble,
    scale_counts,
)
from heliograph_lab.simulate.from_scenario import build_script
from heliograph_lab.simulate.script import CollectorRestart, ExpectedCut, speed_up

TEXT = """\
since: 2026-01-01T00:00:00Z
until: 2026-01-01T00:10:00Z
countries:
  KZ:
    churn: 0
    vantages:
      - {region: ALA, asn: 29355, access: mobile, count: 6}
      - {region: ALA, asn: 9198, access: fixed, count: 2, days: 3}
      - {asn: 1, count: 4, prefix: one-office}
world: {countries: 0, each: 1}
services:
  telegram: {every: 30s}
events:
  - {do: cut, at: 2026-01-01T00:02:00Z, who: {access: mobile}, for: 2m}
  - {do: sleep, at: 2026-01-01T00:05:00Z, who: {access: fixed}, for: 1m}
  - {do: block, service: telegram, at: 2026-01-01T00:01:00Z, for: 60s}
  - {do: restart, at: 2026-01-01T00:08:00Z, for: 5s}
  - {do: messenger_down, service: telegram, at: 2026-01-01T00:07:00Z, for: 60s}
  - {do: own_block, at: 2026-01-01T00:09:00Z, for: 30s, who: {asn: 1}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yml"
    path.write_text(TEXT)
    return path


def test_scaled_counts_add_up_and_keep_proportions() -> None:
    assert scale_counts([6, 2, 4], 24) == [12, 4, 8]
    assert scale_counts([1, 1, 1], 10) == [4, 3, 3]
    assert sum(scale_counts([7, 11, 13], 1_000)) == 1_000


def test_script_has_the_events_of_its_scenario(file: Path) -> None:
    script = build_script(load_scenario(file), 0)
    by_access = {a.access: a for a in script.actors if not a.control}
    assert by_access["mobile"].silences == [AgentSilence(120.0, 240.0, "cut")]
    assert by_access["fixed"].silences == [AgentSilence(300.0, 360.0, "away")]
    blocked = [silence for a in script.actors if a.asn == 1 for silence in a.silences]
    assert {(s.since_s, s.until_s, s.how) for s in blocked} == {(540.0, 570.0, "blocked")}
    assert all(silence.has_other_way for silence in blocked)
    assert by_access["fixed"].known_days == pytest.approx(3.0)
    outage = ServiceTrouble(420.0, 480.0, "telegram", 1.0)
    assert by_access["mobile"].troubles == [
        ServiceTrouble(60.0, 120.0, "telegram", 1.0),
        outage,
    ]
    assert script.outages == [outage], "of these alone the controls know"
    assert script.cuts == [ExpectedCut(120.0, "KZ", "mobile-only")]
    assert script.restarts == [CollectorRestart(480.0, 485.0)]
    assert (script.seconds, script.services, script.measure_every_s) == (600.0, ["telegram"], 30.0)
    assert not any(a.control for a in script.actors), "they are the collector's, and not a place's"
    assert len({a.number for a in script.actors}) == len(script.actors)


def test_resized_script_keeps_locations_and_shared_networks(file: Path) -> None:
    script = build_script(load_scenario(file), 0, 120)
    volunteers = [a for a in script.actors if not a.control]
    assert len(volunteers) == 120
    assert [sum(a.access == word for a in volunteers) for word in ("mobile", "fixed")] == [60, 20]
    assert {a.network for a in volunteers if a.access == "unknown"} == {"one-office"}
    assert len({a.network for a in volunteers if a.access == "mobile"}) == 60
    assert all(len(a.silences) == 1 for a in volunteers if a.access == "mobile")


def test_sped_up_script_is_the_same_in_less_time() -> None:
    actor = Actor(
        1, "KZ", silences=[AgentSilence(60, 90)], troubles=[ServiceTrouble(10, 20, "signal")]
    )
    slow = Script(
        "s", 120, [actor], [ExpectedCut(60, "KZ", "")], [CollectorRestart(100, 104)], ["signal"],
        30, [ServiceTrouble(40, 60, "signal")],
    )  # fmt: skip
    fast = speed_up(slow, 2)
    assert (fast.seconds, fast.measure_every_s) == (60, 15)
    assert fast.actors[0].silences == [AgentSilence(30, 45)]
    assert fast.actors[0].troubles == [ServiceTrouble(5, 10, "signal")]
    assert fast.outages == [ServiceTrouble(20, 30, "signal")]
    assert (fast.cuts, fast.restarts) == ([ExpectedCut(30, "KZ", "")], [CollectorRestart(50, 52)])


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda p: p.stem)
def test_shipped_scenario_builds_a_script(path: Path) -> None:
    script = build_script(load_scenario(path), 1, 1_000)
    assert len([a for a in script.actors if not a.control]) == 1_000
    assert script.seconds <= 900, "they are script in real time"
