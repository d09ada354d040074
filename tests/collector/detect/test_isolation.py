"""Isolation: nothing abroad answers while sessions last, and look-alikes.

As on Iran's phones in 2022 and 2026 and Russia's in 2025, where listed hosts alone passed
(Filterwatch, Roskomsvoboda). Vantages test anchors every 300 s, as in the default plan.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from heliograph_collector.sources.signal_file import read_signals
from heliograph_collector.sources.tested_links import report_tested_links
from support.foreign_world import (
    AT,
    HOUR,
    Down,
    Land,
    Person,
    clock,
    create_land,
    play,
    seconds_after,
)
from support.reported_events import COUNTRY, people_of

LASTS = 2 * HOUR
MOBILE = Scope("KZ", access="mobile")


def use_anchors(
    land: Land, is_isolated: Callable[[Person, float], bool], rests: float = 15
) -> None:
    """Let all test anchors while connected, and `rests` s after; 1 % fail by chance."""
    for person in land.people:
        at = land.start + land.rng.uniform(60, 360)
        while at < land.end:
            is_dark = any(down.since - 20 <= at < down.until + rests for down in person.downs)
            is_bad = is_isolated(person, at) or land.rng.random() < 0.01
            if not is_dark:
                vote(land, person, at, is_bad=is_bad)
            at += land.rng.uniform(270, 330)


def vote(land: Land, person: Person, at: float, *, is_bad: bool) -> None:
    value = "isolated" if is_bad else "reachable"
    line = {"kind": "vote", "at": clock(at), "vantage": person.name, "service": "anchors"}
    land.faults.append(line | {"value": value} | ({"method": "isolated"} if is_bad else {}))


def is_during(at: float) -> bool:
    return AT <= at < AT + LASTS


def pick(incidents: list[Incident]) -> list[Incident]:
    return [i for i in incidents if i.kind is IncidentKind.ISOLATION]


@pytest.mark.parametrize("seed", range(3))
def test_country_that_reaches_listed_hosts_alone_is_told_as_isolated(
    seed: int, tmp_path: Path
) -> None:
    land = create_land(seed)
    land.settle()
    use_anchors(land, lambda person, at: person.country == "KZ" and is_during(at))

    (incident,) = play(land, tmp_path)

    assert (incident.kind, [p.scope for p in incident.parts]) == (IncidentKind.ISOLATION, [COUNTRY])
    assert 0 < seconds_after(AT, incident.confirmed_us) <= 420
    assert incident.state is IncidentState.CLOSED
    assert 0 < seconds_after(AT + LASTS, incident.closed_us) <= 600


def test_phones_that_reach_listed_hosts_alone_are_told_as_isolated(tmp_path: Path) -> None:
    land = create_land(0)
    land.settle(phones=(10, 9))
    phones = {p.name for p in land.select(access="mobile")}
    use_anchors(land, lambda person, at: person.name in phones and is_during(at))

    (incident,) = play(land, tmp_path)

    assert (incident.kind, [p.scope for p in incident.parts]) == (IncidentKind.ISOLATION, [MOBILE])


@pytest.mark.parametrize("share", [0.25, 0.6, 1.0])
def test_end_of_a_cut_is_no_isolation_though_its_last_tests_arrive_at_once(
    share: float, tmp_path: Path
) -> None:
    land = create_land(1)
    land.settle()
    land.cut(people_of(land), AT, AT + HOUR)
    use_anchors(land, lambda _person, _at: False, rests=300)
    for person in people_of(land):
        back = next(down.until for down in person.downs if down.since >= AT)
        if land.rng.random() < share:
            vote(land, person, back + 1, is_bad=True)

    incidents = play(land, tmp_path)

    assert [i.kind for i in incidents] == [IncidentKind.SILENCE]


def test_tests_of_a_dead_line_that_come_after_its_return_isolate_nobody(tmp_path: Path) -> None:
    """Results of a dead line that come after its return isolate no network.

    One operator is cut: its agents bring what they tested meanwhile, the others lost nothing.
    """
    land = create_land(6)
    land.settle(lines=(18, 14), phones=(14, 12))
    (largest,) = {p.asn for p in people_of(land)[:1]}
    land.cut(land.select(asn=largest), AT, AT + HOUR)
    for person in land.select(asn=largest):
        back = next(down.until for down in person.downs if down.since >= AT)
        for at in range(int(AT) + 60, int(AT + HOUR), 480):
            line = {"kind": "vote", "at": clock(at), "received": clock(back + 20)}
            of_hosts_abroad = {"service": "anchors", "value": "isolated"}
            land.faults.append(line | of_hosts_abroad | {"vantage": person.name})

    incidents = play(land, tmp_path)

    assert [i.kind for i in incidents] == [IncidentKind.SILENCE]


def test_country_of_which_a_quarter_comes_by_an_entrance_at_home_is_told_as_isolated(
    tmp_path: Path,
) -> None:
    """A country with a quarter at a domestic entrance is shown as isolated.

    Listed hosts alone pass, and the others are cut off: no lost way of ours explains that.
    """
    land = create_land(5)
    land.settle(lines=(18, 14), phones=(14, 12))
    at_home = {person.name for person in people_of(land)[::4]}
    for person in land.select():
        person.entrance = "home" if person.name in at_home else "main"
    land.cut([p for p in land.select() if p.name not in at_home], AT, AT + 5 * HOUR)
    use_anchors(land, lambda person, at: person.country == "KZ" and at >= AT)

    told = {incident.kind: incident for incident in play(land, tmp_path)}

    assert [part.scope for part in told[IncidentKind.ISOLATION].parts] == [COUNTRY]
    assert 0 < seconds_after(AT, told[IncidentKind.ISOLATION].confirmed_us) <= 600
    assert IncidentKind.COLLECTOR_BLOCKED not in told


def leave_listed_hosts(land: Land, share: float = 0.6, lasts: float = 5 * HOUR) -> None:
    """Cut all hosts but listed ones: a share is back within two minutes, by an entrance at home."""
    for person in land.select():
        since = AT + land.rng.uniform(0, 20)
        if land.rng.random() < share:
            back = AT + land.rng.uniform(60, 110)
            person.downs.append(Down(since, back, told=False, entrance="home"))
        else:
            person.downs.append(Down(since, AT + lasts + land.rng.uniform(0, 60), told=False))


def play_links(land: Land, tmp_path: Path, until: float = 0) -> dict[IncidentKind, Incident]:
    """Play a land with tests of hosts abroad; return the confirmed incident of each kind."""
    content = read_signals(land.write(tmp_path / "signals.jsonl"))
    links = report_tested_links(content.signals, content.votes)
    end_us = int(clock(until) * SECOND_US) if until else 1 << 62
    signals = [s for s in (*content.signals, *links) if s.at_us <= end_us]
    votes = [timed for timed in content.votes if timed[0] <= end_us]
    incidents = replay_signals(signals, votes, end_us=end_us if until else 0).incidents
    confirmed = [i for i in incidents if i.confirmed_us is not None and i.scope.country == "KZ"]
    assert len({i.kind for i in confirmed}) == len(confirmed), "one of each kind"
    return {i.kind: i for i in confirmed}


@pytest.mark.parametrize("seed", range(10, 12))
def test_cut_that_leaves_listed_hosts_is_not_over_until_hosts_abroad_answer(
    seed: int, tmp_path: Path
) -> None:
    land = create_land(seed, hours=8)
    land.settle(lines=(18, 14), phones=(14, 12))
    leave_listed_hosts(land)
    use_anchors(land, lambda p, at: p.country == "KZ" and AT <= at < AT + 5 * HOUR)

    told = play_links(land, tmp_path)

    cut, isolation = told[IncidentKind.SILENCE], told[IncidentKind.ISOLATION]
    assert seconds_after(AT, isolation.confirmed_us) <= 900
    assert all(seconds_after(AT + 5 * HOUR, turn.seen_us) > 0 for turn in cut.turns), "no opening"
    assert 0 < seconds_after(AT + 5 * HOUR, cut.closed_us) <= 600
    assert IncidentKind.COLLECTOR_BLOCKED not in told


@pytest.mark.parametrize("minutes", [4, 8, 20, 60, 200])
def test_cut_that_leaves_listed_hosts_stays_open(minutes: float, tmp_path: Path) -> None:
    land = create_land(12, hours=8)
    land.settle(lines=(18, 14), phones=(14, 12))
    leave_listed_hosts(land)
    use_anchors(land, lambda p, at: p.country == "KZ" and AT <= at < AT + 5 * HOUR)

    told = play_links(land, tmp_path, AT + minutes * 60)

    assert told[IncidentKind.SILENCE].state is IncidentState.CONFIRMED


@pytest.mark.parametrize("is_tested", [True, False])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_cut_whose_people_come_back_another_way_is_over_in_minutes(
    share: float, is_tested: bool, tmp_path: Path
) -> None:
    """Hosts abroad answer after it, though the first words are of the cut itself."""
    land = create_land(13)
    land.settle(lines=(18, 14), phones=(14, 12))
    for person in people_of(land):
        back = AT + HOUR + land.rng.uniform(0, 60)
        person.downs.append(Down(AT, back, told=False, entrance="other"))
        if land.rng.random() < share:
            vote(land, person, back + 11, is_bad=True)
    if is_tested:
        use_anchors(land, lambda _person, _at: False)

    told = play_links(land, tmp_path)

    assert [*told] == [IncidentKind.SILENCE]
    assert 0 < seconds_after(AT + HOUR, told[IncidentKind.SILENCE].closed_us) <= 600


def return_by_post(land: Land, people: Sequence[Person], until: float) -> None:
    """Cut people off; their agents come back by post, and by their own entrance in a minute."""
    for person in people:
        back = until + land.rng.uniform(0, 30)
        person.downs.append(Down(AT, back + land.rng.uniform(5, 40), told=False))
        where = {"country": person.country, "region": person.region, "asn": person.asn}
        line = {"access": person.access, "prefix": person.prefix}
        way = {"enrolled": clock(person.enrolled), "transport": "post"}
        post = {"kind": "arrival", "at": clock(back), "vantage": person.name}
        land.faults.append({**post, **where, **line, **way})


def test_part_whose_agents_come_by_post_at_first_is_open_in_minutes(tmp_path: Path) -> None:
    """As the lab's agents do when lines are restored in one of two cities."""
    land = create_land(14)
    land.settle(lines=(18, 14), phones=(14, 12))
    restored = [p for p in people_of(land) if p.access == "fixed" and p.region == "A"]
    return_by_post(land, restored, AT + HOUR)
    return_by_post(land, [p for p in people_of(land) if p not in restored], AT + 2 * HOUR)

    told = play_links(land, tmp_path)

    cut = told[IncidentKind.SILENCE]
    assert 0 < seconds_after(AT + HOUR, cut.turns[0].seen_us) <= 240
    assert 0 < seconds_after(AT + 2 * HOUR, cut.closed_us) <= 240


def test_isolation_that_ends_in_a_cut_is_told_as_both(tmp_path: Path) -> None:
    land = create_land(2)
    land.settle()
    land.cut(people_of(land), AT + HOUR, AT + 2 * HOUR)
    use_anchors(land, lambda person, at: person.country == "KZ" and is_during(at))

    incidents = play(land, tmp_path)

    kinds = {i.kind for i in incidents}
    assert kinds == {IncidentKind.ISOLATION, IncidentKind.SILENCE}
    assert all(i.state is not IncidentState.WITHDRAWN for i in incidents)


def test_lines_that_lose_abroad_by_turns_isolate_nobody(tmp_path: Path) -> None:
    land = create_land(3, hours=12)
    land.settle()
    turns = {p.name: land.rng.uniform(0, 40_000) for p in people_of(land)}
    use_anchors(
        land,
        lambda person, at: 0 <= at - land.start - turns.get(person.name, 1e9) < 2_400,
    )

    assert pick(play(land, tmp_path)) == []


def use_anchors_that_fail_in_all_countries_isolate_nobody(tmp_path: Path) -> None:
    land = create_land(4)
    land.settle()
    use_anchors(land, lambda _person, at: is_during(at))

    assert pick(play(land, tmp_path)) == []
