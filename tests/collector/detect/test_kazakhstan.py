"""January 2022 replayed: every dated step is found within its bracket and a stated delay."""

from dataclasses import dataclass
from random import Random

import pytest

from heliograph_collector.detect import Incident, watch
from heliograph_collector.detect.blocking.detector import reach
from heliograph_collector.incidents.diff import Change, revise
from heliograph_collector.incidents.incident import Bracket, Kind, Turn
from heliograph_collector.incidents.scope import Scope
from heliograph_collector.model.signals import SECOND_US
from support.dark_world import T0, at, live, world
from support.detect_scenario import Event, load, opinions, presence

# Together: each worker would play the ten days anew.
pytestmark = [pytest.mark.replay, pytest.mark.xdist_group("kazakhstan")]

FILE = "kazakhstan_2022.yml"
SLACK_US = 20 * SECOND_US  # heartbeats and the spread of a cut's own onset

FIXED, ALMATY = Scope("KZ", access="fixed"), Scope("KZ", "ALA")
CAPITAL, EAST = Scope("KZ", "AST", 0, "fixed"), Scope("KZ", "VOS", 9198, "fixed")
# Whose turn it is in the national incident, and the cells it must be named by.
OPENINGS = {
    "K08": FIXED,
    "K10": CAPITAL,
    "K13": CAPITAL,
    "K15": CAPITAL,
    "K17": CAPITAL,
    "K19": CAPITAL,
    "K20": FIXED,
}
CUTS = {
    "K09": FIXED,
    "K11": CAPITAL,
    "K14a": EAST,
    "K14b": CAPITAL,
    "K16": CAPITAL,
    "K18": CAPITAL,
}


@dataclass(frozen=True)
class Story:
    event: Event
    almaty: Incident
    national: Incident
    every: tuple[Incident, ...]

    def at(self, step: str) -> int:
        return at(self.event.steps[step].at_s)


@pytest.fixture(scope="module", params=[1, 2, 3])
def story(request: pytest.FixtureRequest) -> Story:
    rng = Random(request.param)
    event = load(FILE, rng)
    hours = event.until_s / 3_600
    signals = presence(event, rng) + live(world(), rng, hours)
    found = tuple(i for i in watch(signals, at(event.until_s)).incidents if i.confirmed_us)
    almaty, national = found
    return Story(event, almaty, national, found)


def holds(bracket: Bracket, moment_us: int) -> bool:
    return bracket.earliest_us - SLACK_US <= moment_us <= bracket.latest_us + SLACK_US


def turn_at(turns: tuple[Turn, ...], moment_us: int, scope: Scope) -> Turn:
    fits = [t for t in turns if holds(t.when, moment_us)]
    named = [t for t in fits if any(p.scope == scope for p in t.parts)]
    assert named, [(t.parts, (t.when.earliest_us - T0) / 1e6) for t in fits or turns]
    return named[0]


def test_almaty_is_cut_first_and_named(story: Story) -> None:
    almaty, onset = story.almaty, story.at("K05")
    assert (almaty.label, almaty.scope) == ("one-city", ALMATY)
    assert holds(almaty.started, onset)
    assert (almaty.confirmed_us or 0) - onset <= 120 * SECOND_US


def test_then_the_country(story: Story) -> None:
    national, onset = story.national, story.at("K07")
    assert (national.label, national.scope) == ("national", Scope("KZ"))
    assert holds(national.started, onset)
    assert national.suspected_us - onset <= 60 * SECOND_US
    assert (national.confirmed_us or 0) - onset <= 75 * SECOND_US


@pytest.mark.parametrize("step", OPENINGS)
def test_a_short_restoration_is_seen_within_three_minutes(story: Story, step: str) -> None:
    turn = turn_at(story.national.openings, story.at(step), OPENINGS[step])
    assert turn.seen_us - story.at(step) <= 180 * SECOND_US


@pytest.mark.parametrize("step", CUTS)
def test_and_so_is_its_end(story: Story, step: str) -> None:
    turn = turn_at(story.national.cuts, story.at(step), CUTS[step])
    assert turn.seen_us - story.at(step) <= 120 * SECOND_US


def test_almaty_has_the_eighth_and_no_other(story: Story) -> None:
    people = [t for t in story.almaty.openings if t.parts[0].scope.access != "hosting"]
    (eighth,) = people
    assert holds(eighth.when, story.at("K21"))
    turn_at(story.almaty.cuts, story.at("K22"), ALMATY)
    until = story.at("K21") - 60 * SECOND_US
    for turn in story.national.openings:
        named = any(p.scope.region == "ALA" and p.scope.access != "hosting" for p in turn.parts)
        assert not named or turn.when.latest_us >= until


def test_data_centres_are_no_recovery(story: Story) -> None:
    for incident in story.every:
        back = [t for t in incident.openings if holds(t.when, story.at("K12"))]
        assert all(p.scope.access == "hosting" for t in back for p in t.parts)
    assert (story.national.closed_us or 0) > story.at("K20m")


def test_it_is_over_when_it_is_over(story: Story) -> None:
    for incident in story.every:
        assert incident.ended is not None
        assert holds(incident.ended, story.at("K23"))
        assert (incident.closed_us or 0) - story.at("K23") <= 180 * SECOND_US


def test_at_most_two_alerts_for_each() -> None:
    """Told once a day; a collector tells more often."""
    rng = Random(4)
    event = load(FILE, rng)
    signals = presence(event, rng) + live(world(1), rng, event.until_s / 3_600)
    before: list[Incident] = []
    alerted: list[tuple[str, Change]] = []
    for hour in range(60, int(event.until_s / 3_600), 24):
        before, found = revise(before, watch(signals, at(hour * 3_600)).incidents, alerted)
        alerted += [(r.incident.id, r.change) for r in found if r.alert]
    told = [i for i in before if any(i.id == name for name, _ in alerted)]
    assert len(told) == 2
    assert len(alerted) <= 4


def test_the_days_before_messengers_and_slow_mobiles(story: Story) -> None:
    steps = story.event.steps
    since_s, until_s = steps["K02"].at_s - 3_600, steps["K03"].at_s + 1_200
    said = opinions(story.event, Random(5), since_s, until_s)
    found = {i.service: i for i in reach(said, at(since_s), at(until_s)) if i.confirmed_us}
    assert found.keys() == {"telegram", "network"}
    messengers, mobile = found["telegram"], found["network"]
    assert messengers.kind is Kind.BLOCKING
    assert (messengers.scope, messengers.layer) == (Scope("KZ", "ALA", 0, "mobile"), "tls")
    assert holds(messengers.started, story.at("K02"))
    assert (messengers.confirmed_us or 0) - story.at("K02") <= 300 * SECOND_US
    assert mobile.kind is Kind.THROTTLING
    assert mobile.label == "mobile-only"
    assert holds(mobile.started, story.at("K03"))
    assert (mobile.confirmed_us or 0) - story.at("K03") <= 300 * SECOND_US
