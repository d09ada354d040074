"""The rest of the world as an input: outages told from censorship, and controls stood in for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from heliograph.observation import Link
from heliograph_collector.control import Assessor, World, outcomes
from heliograph_collector.control.assessor import AGAIN
from heliograph_collector.judge import judge
from heliograph_collector.model.records import Contrast, Judged, Role, State, Taken, Vantage
from support.scenario import MINUTE_US, NOON_US, measurement, taken

Steps = list[dict[str, Any]]
WORKS: Steps = [
    {"system A": "5.6.7.8"},
    {"connect 5.6.7.8": "ok"},
    {"tls": "ok"},
    {"http": 200},
]
RESET: Steps = [*WORKS[:2], {"tls": "connection_reset"}]
PLACES = ("DE", "BR", "JP", "ZA", "CA")


def made(steps: Steps, minute: float = 0, *, country: str = "KZ", **more: Any) -> Taken:
    who = more.pop("nym", country)
    seen = replace(
        measurement(steps, started_us=NOON_US + int(minute * MINUTE_US)),
        link=more.pop("link", Link.ONLINE),
    )
    one = taken(seen, role=more.pop("role", Role.VOLUNTEER), nym=who)
    place = Vantage(country=country, asn=1, access="fixed")
    return replace(
        one,
        id=f"{who}-{minute}".ljust(32, "0"),
        prefix=more.pop("prefix", f"net-{who}"),
        vantage=place,
    )


def everywhere(steps: Steps, minute: float, places: Sequence[str] = PLACES) -> list[Taken]:
    return [made(steps, minute, country=place) for place in places]


def whole(judged: Judged) -> tuple[State, str]:
    (verdict,) = [v for v in judged[1] if v.endpoint == ""]
    return verdict.state, verdict.rule


def test_an_outage_is_down_even_when_the_control_gets_through() -> None:
    assess = Assessor(judge)
    assess([made(WORKS, 0, role=Role.CONTROL, nym="control"), *everywhere(WORKS, 0)])
    judged = assess([*everywhere(RESET, 5), made(RESET, 5)])
    assert {whole(j) for j in judged} == {(State.DOWN, "down.worldwide")}


def test_who_failed_first_is_judged_again_when_the_world_follows() -> None:
    assess = Assessor(judge)
    assess([made(WORKS, 0, role=Role.CONTROL, nym="control"), *everywhere(WORKS, 0)])
    assert [whole(j) for j in assess([made(RESET, 4)])] == [
        (State.BLOCKED, "tls.reset_after_hello")
    ]
    again = {j[0].nym: whole(j) for j in assess(everywhere(RESET, 6))}
    assert again["KZ"] == (State.DOWN, "down.worldwide")


def test_countries_that_block_it_since_long_are_no_outage() -> None:
    assess = Assessor(judge)
    assess([made(WORKS, 0, role=Role.CONTROL, nym="control"), *everywhere(RESET, 0)])
    judged = assess([*everywhere(RESET, 5), made(RESET, 5)])
    assert {whole(j) for j in judged} == {(State.BLOCKED, "tls.reset_after_hello")}


def test_one_country_that_begins_to_block_is_no_outage() -> None:
    assess = Assessor(judge)
    assess([made(WORKS, 0, role=Role.CONTROL, nym="control"), *everywhere(WORKS, 0)])
    many = [made(RESET, 5, nym=f"kz-{n}") for n in range(20)]
    judged = assess([*many, *everywhere(WORKS, 5)])
    assert {whole(j) for j in judged if j[0].vantage.country == "KZ"} == {
        (State.BLOCKED, "tls.reset_after_hello")
    }


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (PLACES, (State.BLOCKED, "tls.reset_after_hello")),
        (PLACES[:2], (State.UNKNOWN, "control.missing")),
        (("KZ", "KZ", "KZ"), (State.UNKNOWN, "control.missing")),
        (("ZZ", "ZZ", "ZZ"), (State.UNKNOWN, "control.missing")),
    ],
)
def test_enough_vantages_elsewhere_stand_in_for_a_control(
    places: Sequence[str], expected: tuple[State, str]
) -> None:
    others = [made(WORKS, 1, country=p, nym=f"{p}{n}") for n, p in enumerate(places)]
    judged = Assessor(judge)([made(RESET, 0), *others])
    assert whole(judged[0]) == expected


def test_what_stands_in_lends_less_than_a_control() -> None:
    (by_control, _) = Assessor(judge)([made(RESET), made(WORKS, role=Role.CONTROL, nym="c")])
    by_others = Assessor(judge)([made(RESET), *everywhere(WORKS, 0)])[0]
    assert 0 < by_others[1][0].confidence < by_control[1][0].confidence


def test_a_fresh_control_is_preferred_to_any_stand_in() -> None:
    control = made(RESET, 0, role=Role.CONTROL, nym="control")
    judged = Assessor(judge)([made(RESET), control, *everywhere(WORKS, 0)])
    assert whole(judged[0]) == (State.DOWN, "down.tls")


def test_one_network_has_one_vote() -> None:
    world = World()
    for n in range(9):
        world.update(made(WORKS, 0, country="DE", nym=f"n{n}", prefix="same"))
    assert world.contrast(made(RESET))[""].reached_vantages == 1
    world.update(made(RESET, 0, country="DE", nym="other", prefix="same"))
    assert world.contrast(made(RESET))[""] == Contrast()  # it is not of one mind


def test_who_is_offline_or_far_away_in_time_has_none() -> None:
    world = World()
    assert not world.update(made(RESET, 0, country="DE", link=Link.OFFLINE))
    world.update(made(WORKS, -16, country="DE"))
    assert world.contrast(made(RESET)) == {}


def test_past_moments_are_held_against_their_own_time() -> None:
    """A late upload finds what the world said then, though everybody has measured since."""
    world = World()
    for minute in (0, 60):
        for one in everywhere(WORKS if minute else RESET, minute):
            world.update(one)
    assert world.contrast(made(RESET, 1))[""].failed_countries == len(PLACES)
    assert world.contrast(made(RESET, 61))[""].reached_countries == len(PLACES)


def test_it_forgets_the_oldest_when_it_is_full() -> None:
    world = World(observations=20)
    for minute in range(200):
        world.update(made(WORKS, minute, country="DE"))
    assert world.contrast(made(RESET, 100)) == {}
    assert world.contrast(made(RESET, 199))[""].reached_vantages == 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (WORKS, {"": True}),
        (RESET, {"": False}),
        ([{"system A": "dns_nxdomain_error"}], {"": False}),
        ([*WORKS, {"connect 2a00:1::8": "generic_timeout_error"}], {"": True}),
        ([*WORKS[:2], {"tls": "interrupted"}], {}),
        ([{"connect 5.6.7.8": "network_unreachable"}], {}),
        ([{"system A": "5.6.7.8"}, {"system AAAA": "dns_no_answer"}], {}),
    ],
)
def test_what_counts_as_reached_and_failed(steps: Steps, expected: dict[str, bool]) -> None:
    assert outcomes(measurement(steps)) == expected


def test_a_site_that_is_closed_to_abroad_is_open_inside() -> None:
    def outside(steps: Any, **more: Any) -> Taken:
        one = made(steps, **more)
        seen = replace(one.measurement, experiment="outside_in", service="gov", target="gov")
        return replace(one, measurement=seen)

    closed: Any = {"site": [{"connect 5.6.7.8": "generic_timeout_error"}]}
    inside = made({"site": [{"connect 5.6.7.8": "ok"}]}, country="KZ")  # type: ignore[arg-type]
    inside = replace(inside, measurement=replace(inside.measurement, service="gov"))
    control = outside(closed, country="DE", role=Role.CONTROL, nym="control")
    (alone,) = Assessor(judge)([control])
    assert whole(alone) == (State.DOWN, "service.down")
    judged = {j[0].nym: whole(j) for j in Assessor(judge)([inside, control])}
    assert judged["control"] == (State.DOWN, "outside_in.closed_to_abroad")


def test_of_a_large_country_the_same_few_are_asked_in_any_order() -> None:
    """Ten thousand must not push each other out before anybody can say that it worked."""
    crowd = [
        made(WORKS, 0, country=place, nym=f"{place}{i}") for place in PLACES for i in range(200)
    ]
    one, other = World(), World()
    for each in crowd:
        one.update(each)
    for each in reversed(crowd):
        other.update(each)
    assert _reached(one) == _reached(other)
    assert _reached(one).reached_vantages == 24 * len(PLACES)


def test_an_outage_is_told_in_a_crowd() -> None:
    assess = Assessor(judge)
    crowd = [(place, f"{place}{i}") for place in PLACES for i in range(100)]
    control = made(WORKS, 0, role=Role.CONTROL, nym="control")
    assess([control, *(made(WORKS, 0, country=place, nym=nym) for place, nym in crowd)])
    judged = assess([*(made(RESET, 5, country=place, nym=nym) for place, nym in crowd)])
    assert {whole(j) for j in judged} == {(State.DOWN, "down.worldwide")}


def test_who_is_gone_leaves_the_sample_to_who_is_here() -> None:
    """Names change with the month; last month's must not hold the places."""
    world = World()
    for i in range(200):
        world.update(made(RESET, 0, country="DE", nym=f"old{i}"))
    for i in range(24):
        world.update(made(WORKS, 120, country="DE", nym=f"new{i}"))
    assert _reached(world, 120).reached_vantages == 24


def _reached(world: World, minute: float = 0) -> Contrast:
    return world.contrast(made(WORKS, minute))[""]


def test_who_waits_to_be_judged_again_is_not_forgotten() -> None:
    """So many with one block; the others with the next ones."""
    assess = Assessor(judge)
    crowd = [made(RESET, 1, nym=f"kz{i}") for i in range(3 * AGAIN)]
    assess(crowd)
    judged = list(assess([made(WORKS, 2, role=Role.CONTROL, nym="control")]))
    for minute in (3, 4):
        judged += assess([made(WORKS, minute, nym="another")])
    blocked = [whole(j)[0] for j in judged if j[0].nym.startswith("kz")]
    assert blocked == [State.BLOCKED] * len(crowd)
