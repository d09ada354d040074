"""Scenes of a foreign world through `replay`: what is no cut is not reported."""

from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import IncidentKind, IncidentState
from heliograph_collector.sources.signal_file import read_signals
from support.foreign_world import (
    AT,
    DAY,
    HOUR,
    SEEDS,
    Down,
    Land,
    clock,
    create_land,
    play,
    seconds_after,
    stop_again_and_again,
)

CUT_OFF = (IncidentState.CONFIRMED, IncidentState.CLOSED)


def sever_cable(land: Land) -> None:
    """Cut three of five countries; the others have failures of their own meanwhile."""
    land.settle()
    for country in ("KZ", "TR", "BR"):
        land.cut(land.select(country), AT, AT + 2 * HOUR, 60)
    for country in ("ID", "PL"):
        for person in land.select(country)[:2]:
            person.downs.append(Down(AT + 100, AT + 3_000))


def cut_country(land: Land) -> None:
    land.settle()
    land.cut([p for p in land.select() if p.access != "hosting"], AT, AT + 2 * HOUR)


def cut_operator(land: Land) -> None:
    land.settle()
    land.cut(land.select(asn=10), AT, AT + 2 * HOUR)


def cut_only_network(land: Land) -> None:
    land.settle(lines=(20,), phones=())
    land.cut(land.select(), AT, AT + 2 * HOUR, 30)


def cut_six(land: Land) -> None:
    land.settle(lines=(3,), phones=(3,))
    for person in land.select(access="mobile"):
        person.prefix = person.name
    land.cut([p for p in land.select() if p.access != "hosting"], AT, AT + HOUR)


def cut_during_restart(land: Land) -> None:
    land.settle()
    for person in land.people:
        person.downs.append(Down(AT, AT + 200 + land.rng.expovariate(1 / 60)))
    for person in land.select():
        person.downs[-1].until = AT + HOUR + land.rng.uniform(0, 60)
    land.faults.append(
        {"kind": "fault", "at": clock(AT), "until": clock(AT + 200), "reason": "restart"}
    )


def cut_slowly(land: Land) -> None:
    """Withdraw routes of operator after operator within two minutes (onset curves)."""
    land.settle()
    land.cut([p for p in land.select() if p.access != "hosting"], AT, AT + 2 * HOUR, 100)


def cut_all_but_a_satellite(land: Land) -> None:
    """Cut a country; one of its lines comes back by satellite, at another entrance."""
    land.settle()
    people = [p for p in land.select() if p.access != "hosting"]
    land.cut(people[1:], AT, AT + 2 * HOUR)
    people[0].downs.append(Down(AT + 2, AT + 46, entrance="second"))


def cut_between_restarts(land: Land) -> None:
    """A new release of the collector begins, fails and is replaced by the old one."""
    land.settle()
    for at in (AT - 120, AT + 100):
        for person in land.people:
            person.downs.append(Down(at, at + 40 + land.rng.expovariate(1 / 20)))
        land.faults.append(
            {"kind": "fault", "at": clock(at), "until": clock(at + 40), "reason": "restart"}
        )
    land.cut(land.select(), AT, AT + HOUR)


CUTS: dict[str, tuple[Callable[[Land], None], int, float]] = {
    "a cable takes three of five countries": (sever_cable, 3, 600),
    "the whole country": (cut_country, 1, 75),
    "one operator": (cut_operator, 1, 120),
    "within two minutes": (cut_slowly, 1, 160),
    "all but a satellite": (cut_all_but_a_satellite, 1, 180),
    "the only network of a country": (cut_only_network, 1, 120),
    "a country of six": (cut_six, 1, 240),
    "while the collector restarts": (cut_during_restart, 1, 500),
    "between two restarts": (cut_between_restarts, 1, 300),
}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("scene", CUTS)
def test_cut_is_told(scene: str, seed: int, tmp_path: Path) -> None:
    build, count, within_s = CUTS[scene]
    land = create_land(seed)
    build(land)
    incidents = play(land, tmp_path)
    assert len(incidents) == count
    assert {(i.kind, i.state in CUT_OFF) for i in incidents} == {(IncidentKind.SILENCE, True)}
    assert max(seconds_after(AT, i.confirmed_us) for i in incidents) <= within_s


def block_entrance(land: Land) -> None:
    """Block our entrance; four of five return by another, without a report."""
    land.settle()
    for person in land.select():
        since = AT + land.rng.uniform(0, 20)
        lasts = 20 + land.rng.expovariate(1 / 200)
        is_stuck = land.rng.random() < 0.2
        entrance = "" if is_stuck else "second"
        until = AT + 2 * HOUR if is_stuck else since + lasts
        person.downs.append(Down(since, until, entrance=entrance))


def leak_route(land: Land) -> None:
    """Leak one operator's route to us for 25 min; all else works."""
    land.settle()
    for person in land.select(asn=10):
        since = AT + land.rng.uniform(0, 40)
        person.downs.append(Down(since, AT + 1_500 + land.rng.uniform(0, 60), told=True))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(("build", "within_s"), [(block_entrance, 300), (leak_route, 1_600)])
def test_trouble_on_the_way_to_us_is_no_cut(
    build: Callable[[Land], None], within_s: float, seed: int, tmp_path: Path
) -> None:
    land = create_land(seed)
    build(land)
    (incident,) = play(land, tmp_path)
    assert incident.kind is IncidentKind.COLLECTOR_BLOCKED
    told_us = [change.at_us for change in incident.kinds if change.kind is incident.kind]
    assert seconds_after(AT, max(told_us, default=incident.confirmed_us)) <= within_s


def block_with_few_ways_out(land: Land) -> None:
    """Block our entrance; three of five find another in minutes (the lab's figures)."""
    land.settle()
    for person in land.select():
        since = AT + land.rng.uniform(0, 30)
        has_way = land.rng.random() < 0.6
        until = since + 5 + land.rng.expovariate(1 / 120) if has_way else AT + 2 * HOUR
        person.downs.append(Down(since, until, entrance="second" if has_way else ""))


@pytest.mark.parametrize(
    ("build", "seed"),
    [(block_entrance, seed) for seed in (0, 4, 11, 12, 15, 16)]
    + [(block_with_few_ways_out, seed) for seed in (0, 2, 3, 5)],
)
def test_block_that_nobody_tells_of_is_no_cut_first(
    build: Callable[[Land], None], seed: int, tmp_path: Path
) -> None:
    land = create_land(seed)
    build(land)
    for incident in play(land, tmp_path):
        assert incident.kind is IncidentKind.COLLECTOR_BLOCKED
        assert incident.confirmed_us == incident.kinds[-1].at_us, "confirmed as what it is"


@pytest.mark.parametrize("seed", [5, 10, 13, 16])
def test_block_that_nobody_tells_of_is_told_soon(seed: int, tmp_path: Path) -> None:
    """A block without reports is found soon.

    Vantages that return by another way later than others make it certain; in play 5 few do.
    """
    land = create_land(seed)
    block_entrance(land)
    (incident,) = play(land, tmp_path)
    assert incident.kind is IncidentKind.COLLECTOR_BLOCKED
    assert seconds_after(AT, incident.confirmed_us) <= (340 if seed == 5 else 300)


def fail_power_of_country(land: Land) -> None:
    """Most lines at once, others with their batteries, phones with their masts."""
    land.settle()
    for person in land.select():
        if person.access == "hosting":
            continue
        is_line = person.access == "fixed"
        later = land.rng.expovariate(1 / (900 if is_line else 5_400))
        since = AT + (land.rng.uniform(0, 15) if is_line and land.rng.random() < 0.7 else later)
        back = AT + 1.5 * HOUR + land.rng.expovariate(1 / 2_500)
        person.downs.append(Down(since, max(since + 60, back), rebooted=is_line))


def fail_power_of_region(land: Land) -> None:
    """Cut the power of a region without phones of ours."""
    land.settle(lines=(16, 12), phones=())
    for person in land.select(region="A", access="fixed"):
        since = AT + land.rng.uniform(0, 10)
        back = AT + HOUR + land.rng.expovariate(1 / 1_500)
        person.downs.append(Down(since, back, rebooted=True))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("build", [fail_power_of_country, fail_power_of_region])
def test_power_failure_is_never_called_a_cut(
    build: Callable[[Land], None], seed: int, tmp_path: Path
) -> None:
    land = create_land(seed, 6)
    build(land)
    for incident in play(land, tmp_path):
        assert incident.kind is IncidentKind.POWER
        called = [c for c in incident.kinds if c.kind is IncidentKind.POWER]
        assert not called or seconds_after(AT, incident.confirmed_us) >= HOUR, "only once told"


def burn_data_center(land: Land) -> None:
    land.settle()
    burning = land.add("KZ", 20, 30, "hosting")
    land.cut(burning, AT, AT + HOUR)


def flood_with_newcomers(land: Land) -> None:
    land.settle()
    newcomers = land.add("KZ", 200, 40, "fixed")
    for person in newcomers:
        person.enrolled = land.start - 2 * DAY
    land.cut(newcomers, AT, AT + HOUR)


def cut_campus(land: Land) -> None:
    """Forty prefixes of one university."""
    land.settle()
    land.cut(land.add("KZ", 40, 50, "fixed", regions="A"), AT, AT + HOUR)


def sleep_after_dawn_prayer(land: Land) -> None:
    """Let four of five switch off from 3:40 to 5:20 in Ramadan's first night."""
    land.settle(lines=(16, 10), phones=())
    for person in land.select(access="fixed"):
        if land.rng.random() < 0.8:
            since = 19 * HOUR + land.rng.uniform(3.67, 5.3) * HOUR
            person.downs.append(Down(since, since + land.rng.uniform(5, 8) * HOUR))


def restart_everywhere(land: Land) -> None:
    land.settle()
    for person in land.people:
        since = AT + land.rng.uniform(0, 20)
        person.downs.append(Down(since, since + land.rng.uniform(40, 180)))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize(
    ("build", "hours"),
    [
        (burn_data_center, 4),
        (flood_with_newcomers, 4),
        (cut_campus, 4),
        (restart_everywhere, 4),
        (sleep_after_dawn_prayer, 24),
    ],
)
def test_local_trouble_is_no_cut_of_the_country(
    build: Callable[[Land], None], hours: float, seed: int, tmp_path: Path
) -> None:
    land = create_land(seed, hours)
    build(land)
    assert not [i for i in play(land, tmp_path) if any(p.scope.is_national for p in i.parts)]


def expire_certificate(land: Land) -> None:
    """Let an entrance of three of five countries take no new sessions for 3 h."""
    land.settle()
    for person in land.people:
        if person.country in ("ID", "PL"):
            person.entrance = "second"
            continue
        since = AT + land.rng.uniform(0, 24 * 60)  # a session lives for 24 minutes at most
        person.downs.append(Down(since, AT + 3 * HOUR + land.rng.uniform(0, 90)))


def quarantine_agents(land: Land) -> None:
    """An antivirus takes two of five agents everywhere within 20 minutes, for good."""
    land.settle()
    for person in land.people:
        if land.rng.random() < 0.4:
            person.downs.append(Down(AT + land.rng.uniform(0, 1_200), AT + 60 * HOUR))


@pytest.mark.parametrize(
    ("build", "seed"),
    [(expire_certificate, 0), (quarantine_agents, 1)],
)
def test_trouble_of_many_countries_is_no_cut_of_one(
    build: Callable[[Land], None], seed: int, tmp_path: Path
) -> None:
    """Trouble of many countries is no cut of one.

    Countries that stay by another entrance, or have lost a little less, prove nothing.
    """
    land = create_land(seed, 6)
    build(land)
    assert not play(land, tmp_path)


def fail_after_update(land: Land) -> None:
    """Agents of a country restart with an edition that ends within two minutes."""
    land.settle()
    for person in land.select():
        since = AT + land.rng.uniform(0, 120)
        person.downs.append(Down(since, since + land.rng.uniform(20, 60), goodbye=True))
        ends = person.downs[-1].until + land.rng.uniform(40, 120)
        person.downs.append(Down(ends, AT + land.rng.uniform(20, 40) * 60))


def fail_some_routes(land: Land) -> None:
    """Cut three countries' routes for 25 min; three quarters return and report work."""
    land.settle()
    for country in ("KZ", "TR", "BR"):
        for person in land.select(country):
            if land.rng.random() < 0.75:
                until = AT + 1_500 + land.rng.uniform(0, 60)
                is_told = True if land.rng.random() < 0.7 else None
                person.downs.append(Down(AT + land.rng.uniform(0, 30), until, told=is_told))


def lose_packets(land: Land) -> None:
    """All sessions break in a minute; each is back after minutes, and breaks again."""
    land.settle()
    for person in land.select():
        second = AT + land.rng.uniform(0, 60)
        while second < AT + 2 * HOUR:
            lasts = 40 + land.rng.expovariate(1 / 120)
            person.downs.append(Down(second, second + lasts))
            second += lasts + 30 + land.rng.expovariate(1 / 600)


def break_fast(land: Land) -> None:
    """At sunset of a first day seven of ten are switched off for an hour."""
    land.settle()
    for person in land.select():
        if person.access != "hosting" and land.rng.random() < 0.7:
            since = 13 * HOUR + land.rng.gauss(0, 500)
            person.downs.append(Down(since, since + HOUR + land.rng.gauss(0, 600)))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("build", [fail_after_update, fail_some_routes, break_fast, lose_packets])
def test_what_is_no_cut_is_never_confirmed_as_one(
    build: Callable[[Land], None], seed: int, tmp_path: Path
) -> None:
    land = create_land(seed, 10)
    build(land)
    assert {i.kind for i in play(land, tmp_path)} <= {IncidentKind.COLLECTOR_BLOCKED}


def stop_agents(land: Land) -> None:
    """Stop all agents at once, but not the machines; restart each after some time."""
    land.settle()
    for person in land.select():
        since = AT + land.rng.uniform(0, 60)
        person.downs.append(Down(since, AT + 180 + land.rng.uniform(0, 600), ran_on=True))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("build", [stop_agents, stop_again_and_again])
def test_what_turns_out_to_be_no_cut_is_withdrawn(
    build: Callable[[Land], None], seed: int, tmp_path: Path
) -> None:
    """An outage that turns out to be no cut is withdrawn, though it began like one."""
    land = create_land(seed)
    build(land)
    assert {incident.state for incident in play(land, tmp_path)} <= {IncidentState.WITHDRAWN}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nearly_half_of_nine_that_stay_away_are_suspected(seed: int, tmp_path: Path) -> None:
    land = create_land(seed, 8)
    land.settle(lines=(3, 2), phones=(2, 2))
    for person in land.select(access="hosting"):
        land.people.remove(person)
    for number, person in enumerate(land.select()[:4]):
        person.downs = [Down(AT + number * 900, AT + 4 * HOUR, told=False)]
    content = read_signals(land.write(tmp_path / "signals.jsonl"))
    incidents = replay_signals(content.signals, content.votes, content.levels).incidents
    assert [i for i in incidents if i.scope.country == "KZ" and i.suspected_us]
