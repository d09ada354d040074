"""Stories: scaled to a number of agents, hastened, made from a scenario file."""

from pathlib import Path

import pytest

from heliograph_lab.evaluate.scenario_file import load
from heliograph_lab.simulate import SHIPPED, Actor, Silence, Story, Trouble, shares
from heliograph_lab.simulate.from_scenario import CONTROLS, story
from heliograph_lab.simulate.script import Cut, Restart, faster

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
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yml"
    path.write_text(TEXT)
    return path


def test_shares_add_up_and_keep_the_proportions() -> None:
    assert shares([6, 2, 4], 24) == [12, 4, 8]
    assert shares([1, 1, 1], 10) == [4, 3, 3]
    assert sum(shares([7, 11, 13], 1_000)) == 1_000


def test_what_a_scenario_says_befalls_its_actors(file: Path) -> None:
    played = story(load(file), 0)
    by_access = {a.access: a for a in played.actors if not a.control}
    assert by_access["mobile"].silences == [Silence(120.0, 240.0, "cut")]
    assert by_access["fixed"].silences == [Silence(300.0, 360.0, "away")]
    assert by_access["fixed"].known_days == pytest.approx(3.0)
    assert by_access["mobile"].troubles == [Trouble(60.0, 120.0, "telegram", 1.0)]
    assert played.cuts == [Cut(120.0, "KZ", "mobile-only")]
    assert played.restarts == [Restart(480.0, 485.0)]
    assert (played.seconds, played.services, played.measure_every_s) == (600.0, ["telegram"], 30.0)
    assert sum(a.control for a in played.actors) == CONTROLS
    assert len({a.number for a in played.actors}) == len(played.actors)


def test_more_agents_keep_places_and_shared_networks(file: Path) -> None:
    played = story(load(file), 0, 120)
    people = [a for a in played.actors if not a.control]
    assert len(people) == 120
    assert [sum(a.access == word for a in people) for word in ("mobile", "fixed")] == [60, 20]
    assert {a.network for a in people if a.access == "unknown"} == {"one-office"}
    assert len({a.network for a in people if a.access == "mobile"}) == 60
    assert all(len(a.silences) == 1 for a in people if a.access == "mobile")


def test_a_hastened_story_is_the_same_in_less_time() -> None:
    actor = Actor(1, "KZ", silences=[Silence(60, 90)], troubles=[Trouble(10, 20, "signal")])
    slow = Story("s", 120, [actor], [Cut(60, "KZ", "")], [Restart(100, 104)], ["signal"], 30)
    fast = faster(slow, 2)
    assert (fast.seconds, fast.measure_every_s) == (60, 15)
    assert fast.actors[0].silences == [Silence(30, 45)]
    assert fast.actors[0].troubles == [Trouble(5, 10, "signal")]
    assert (fast.cuts, fast.restarts) == ([Cut(30, "KZ", "")], [Restart(50, 52)])


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yml")), ids=lambda p: p.stem)
def test_shipped_scenarios_can_be_played(path: Path) -> None:
    played = story(load(path), 1, 1_000)
    assert len([a for a in played.actors if not a.control]) == 1_000
    assert played.seconds <= 900, "they are played in real time"
