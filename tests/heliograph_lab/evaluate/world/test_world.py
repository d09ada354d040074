"""The honest world follows its tables, in sourced ranges, equal for equal seeds."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from heliograph.experiments import REGISTRY
from heliograph.units import DAY_US, HOUR_US, SECOND_US
from heliograph_collector.model.signals import OfflineReport, VantageArrival, VantageLoss, VoteValue
from heliograph_collector.sources.replay import Replay
from heliograph_lab.evaluate.detectors import order_by_arrival
from heliograph_lab.evaluate.world import figures
from heliograph_lab.evaluate.world.events import GapReport, ServiceTested, SessionBegan
from heliograph_lab.evaluate.world.families import FAMILIES, WorldDraw, draw_world, list_draws
from heliograph_lab.evaluate.world.render import render_events, render_replay
from support.examples import choose, draw_seeds, keep_part

WORLD = Path(figures.__file__).parent
README = (WORLD.parent / "README.md").read_text()
LONG = ("tested", "block", "partial")  # many votes: seconds each
SHORT = choose([d for d in list_draws(1, "tuning") if d.family not in LONG])
NAMED = [f"{d.family}-{d.kind}-{d.seed}" for d in SHORT]


def play(family: str, kind: str = "", seed: int = 1) -> Replay:
    return render_replay(draw_world(WorldDraw(family, seed, kind)))


def test_every_number_is_used_and_stands_with_its_source_in_the_manual() -> None:
    sources = [p.read_text() for p in WORLD.glob("*.py") if p.name != "figures.py"]
    for name, figure in figures.FIGURES.items():
        assert any(f'"{name}"' in text for text in sources), name
        assert figure.source
    assert figures.format_table() in README
    assert all(f"`{family}`" in README for family in FAMILIES)


@pytest.mark.parametrize("draw", keep_part(SHORT[::6]), ids=keep_part(NAMED[::6]))
def test_a_world_is_the_same_twice(draw: WorldDraw) -> None:
    assert render_replay(draw_world(draw)) == render_replay(draw_world(draw))


@pytest.mark.parametrize("draw", SHORT, ids=NAMED)
def test_a_world_is_in_order_of_time(draw: WorldDraw) -> None:
    replay = render_replay(draw_world(draw))
    assert all(a.at_us <= b.at_us for a, b in pairwise(replay.signals))
    assert replay.truths or draw.family == "quiet"
    pseudonyms = {v.nym for v in replay.vantages}
    for truth in replay.truths:
        assert set(truth.members) <= pseudonyms
        assert all(since < until for since, until in truth.members.values())
    countries = {v.place.country for v in replay.vantages}
    assert {country for country, _ in replay.risky_days or ()} <= countries


def test_the_halves_share_no_seed() -> None:
    tuning, reporting = (list(list_draws(3, half)) for half in ("tuning", "reporting"))
    assert max(d.seed for d in tuning) < min(d.seed for d in reporting)
    assert {d.family for d in reporting} == set(FAMILIES)


@pytest.mark.parametrize(("kind", "least_h", "most_h"), [("1h", 0.7, 1.7), ("3h", 2, 4.4)])
def test_a_fade_takes_its_time(kind: str, least_h: float, most_h: float) -> None:
    for seed in draw_seeds(5):
        (truth,) = play("fade", kind, seed).truths
        onsets = sorted((since - truth.since_us) / HOUR_US for since, _ in truth.members.values())
        assert least_h / 3 < onsets[len(onsets) // 2] < most_h
        assert least_h / 2 < onsets[round(0.9 * len(onsets)) - 1] < most_h + 1


def test_agents_whose_address_is_blocked_return_by_another_with_tests_that_succeeded() -> None:
    world = draw_world(WorldDraw("own_block", 1))
    (truth,) = world.truths
    events = [e for e in render_events(world) if e.at_us > truth.since_us]
    until_us = max(until for _, until in truth.members.values())
    returns = [e for e in events if isinstance(e, SessionBegan) and e.at_us < until_us]
    back = [e for e in returns if e.vantage.nym in truth.members]
    other = {e.vantage.nym for e in back if e.entrance != "session"}
    able = {v.ref.nym for v in world.vantages if v.has_other_way} & set(truth.members)
    assert len(other & able) >= len(able) / 2 > 5  # some are away by themselves
    assert not other - able
    early_us = truth.since_us + 80 * SECOND_US
    words = [e for e in events if isinstance(e, GapReport) and e.at_us < early_us]
    assert {e.pseudonym for e in words if e.foreign_good and not e.foreign_bad} & able


def test_a_power_cut_leaves_machines_that_have_just_started() -> None:
    replay = play("power")
    (truth,) = replay.truths
    reports = [s for s in replay.signals if isinstance(s, OfflineReport)]
    of_power = [s.alive for s in reports if s.nym in truth.members and s.at_us > truth.since_us]
    assert Counter(of_power)[False] > 0


def test_a_killed_agent_closes_its_session_and_a_cut_one_does_not() -> None:
    for family, closes in (("crash", True), ("step", False)):
        replay = play(family)
        (truth,) = (t for t in replay.truths if t.members)
        since_us = {nym: since for nym, (since, _) in truth.members.items()}
        losses = [s for s in replay.signals if isinstance(s, VantageLoss) and s.nym in since_us]
        hit = [s for s in losses if abs(s.heard_us - since_us[s.nym]) <= 16 * SECOND_US]
        assert len(hit) > 5
        closed = [s.closed_us > 0 for s in hit]
        assert sum(closed) > 0.9 * len(hit) if closes else not any(closed)


def test_short_faults_are_short_and_shared_networks_are_shared() -> None:
    (transit,) = play("transit").truths
    assert all(until - since <= 180 * SECOND_US for since, until in transit.members.values())
    nat = play("nat")
    phones = [v for v in nat.vantages if v.nym in nat.truths[0].members]
    assert (len(phones), len({v.prefix for v in phones})) == (28, 1)
    campus = play("campus")
    members = [v for v in campus.vantages if v.nym in campus.truths[0].members]
    assert len({v.prefix for v in members}) == 40
    assert sum(campus.weights[v.nym] for v in members) == pytest.approx(5)
    young = play("young")
    liars = [v for v in young.vantages if v.nym in young.truths[0].members]
    assert {young.since_us - v.first_us for v in liars} == {2 * HOUR_US}
    assert len({v.prefix for v in liars}) == len(liars)


def test_a_country_drains_to_its_last_vantage() -> None:
    for seed in draw_seeds(3):
        replay = play("drain", seed=seed)
        (truth,) = replay.truths
        home = [v for v in replay.vantages if v.place.country == "KZ"]
        assert len(home) - len(truth.members) == 1
        assert 7 * 3_600 < truth.spread_s < 15 * 3_600


@pytest.mark.long
def test_tests_come_as_often_as_the_default_plan_asks_and_fail_in_part() -> None:
    world = draw_world(WorldDraw("partial", 1))
    tests = [e for e in render_events(world) if isinstance(e, ServiceTested)]
    first = tests[0].vantage.nym
    whole = [e for e in tests if e.vantage.nym == first and not e.is_light]
    planned = [e.at_us for e in whole if not e.trigger]
    interval_us = REGISTRY["telegram"].interval_s * SECOND_US
    assert min(b - a for a, b in pairwise(planned)) >= 0.9 * interval_us - 1
    again = [e.at_us for e in tests if e.trigger]
    assert again
    replay = render_replay(world)
    (truth,) = replay.truths
    hit = [o for o in replay.opinions if o.witness.nym in truth.members]
    during = [o for o in hit if truth.since_us < o.at_us < (truth.until_us or 0)]
    failed = sum(o.standing is VoteValue.BLOCKED for o in during) / len(during)
    assert 0.3 < failed < 0.55


def test_vantages_check_lightly_and_are_asked_after_failures_of_two_networks() -> None:
    world = draw_world(WorldDraw("block", 1, "viber"))
    (truth,) = world.truths
    tests = [e for e in render_events(world) if isinstance(e, ServiceTested)]
    first = tests[0].vantage.nym
    checks = [e.at_us for e in tests if e.vantage.nym == first and e.is_light and not e.trigger]
    light_us = REGISTRY["viber"].light_interval_s * SECOND_US
    assert min(b - a for a, b in pairwise(checks)) >= 0.9 * light_us - 1
    soon_us = truth.since_us + 900 * SECOND_US
    home = [e for e in tests if e.vantage.place.country == "KZ"]
    asked = [e for e in home if e.trigger == "early_run" and truth.since_us < e.at_us < soon_us]
    assert asked
    runs_by_hour = Counter(e.at_us // HOUR_US for e in home if e.trigger == "early_run")
    assert max(runs_by_hour.values()) <= 5 * 5  # five vantages, four times an hour


@pytest.mark.long
def test_votes_of_a_backlog_are_read_at_its_end() -> None:
    replay = play("backlog")
    ((since_us, until_us),) = replay.backlogs
    arrivals = [at_us for at_us, _ in order_by_arrival(replay.opinions, replay.backlogs)]
    assert arrivals == sorted(arrivals)
    assert not any(since_us <= at_us < until_us for at_us in arrivals)
    assert arrivals.count(until_us) > 10


def test_churn_is_no_poisson_process_around_one_rate() -> None:
    """Vantages differ, hours differ, and neighbors fall together."""
    replay = play("quiet")
    counts = Counter(s.witness.nym for s in replay.signals if isinstance(s, VantageArrival))
    times = list(counts.values())
    mean = sum(times) / len(times)
    assert sum((n - mean) ** 2 for n in times) / len(times) > 3 * mean
    hours = Counter(
        (s.at_us % DAY_US) // (6 * HOUR_US)
        for s in replay.signals
        if isinstance(s, VantageArrival) and s.at_us > replay.since_us
    )
    assert max(hours.values()) > 1.3 * min(hours.values())
