"""Isolation: nothing abroad answers while sessions last, and look-alikes.

As on Iran's phones in 2022 and 2026 and Russia's in 2025, where listed hosts alone passed
(Filterwatch, Roskomsvoboda). Vantages test anchors every 300 s, as in the default plan.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Land, Person, clock, create_land, play, seconds_after
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
