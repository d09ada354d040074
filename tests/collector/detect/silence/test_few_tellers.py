"""One or two of a small fleet with working links leave a reported cut in doubt.

Truths: our address is blocked, and a few are back by another entrance of their own network, where
foreign anchors answer, or tell so by post while their sessions stay dead; or all links abroad are
cut, and a few are back over a satellite, over a line that was spared, or lie.
"""

import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from heliograph.units import SECOND_US
from heliograph_collector.detect.replay import replay_signals
from heliograph_collector.incidents.incident import Incident, IncidentKind, IncidentState
from heliograph_collector.sources.signal_file import read_signals
from support.foreign_world import AT, HOUR, WITNESSES, Down, Land, clock, create_land

SEEDS = int(os.environ.get("HELIOGRAPH_FOREIGN_SEEDS", "1"))
LASTS = 1.5 * HOUR
AWAY = 20 * HOUR  # until after the end of the file


@dataclass(frozen=True)
class Teller:
    """The way back of the agents that report."""

    entrance: str = ""
    asn: int = 0  # another network
    by_post: bool = False  # while its session stays dead


RETURNS = {
    "liar": Teller("relay"),
    "post": Teller(by_post=True),
    "satellite": Teller(asn=900),
    "satellite, another entrance": Teller("relay", 900),
    "spared line": Teller(),
}


def build_land(people: int, tellers: int, teller: Teller, seed: int, *, ends: bool) -> Land:
    """Build a fleet of two operators, dark from AT on except those who report."""
    land = create_land(seed, 4)
    land.add("KZ", people - people // 3, 10, "fixed")
    land.add("KZ", people // 3, 20, "mobile", nat=3)
    for country in WITNESSES:
        land.add(country, 8, 101, "fixed")
    here = land.select(access="mobile") + land.select(access="fixed")
    for index, person in enumerate(reversed(here)):
        since = AT + land.rng.uniform(0, 10)
        if index < tellers and teller.by_post:
            posted = AT + land.rng.uniform(180, 900)
            until = AT + (LASTS if ends else AWAY)
            person.downs.append(Down(since, until, told=False if ends else None, posted=posted))
        elif index < tellers:
            back = AT + land.rng.uniform(180, 900)
            person.downs.append(
                Down(since, back, told=True, entrance=teller.entrance, asn=teller.asn)
            )
        else:
            until = AT + (LASTS if ends else AWAY) + land.rng.uniform(0, 60)
            person.downs.append(Down(since, until, told=False))
    return land


def detect(land: Land, tmp_path: Path) -> Incident:
    content = read_signals(land.write(tmp_path / "signals.jsonl"))
    end_us = round(clock(land.end) * SECOND_US)
    incidents = replay_signals(content.signals, content.votes, content.levels, end_us).incidents
    (incident,) = (i for i in incidents if i.scope.country == "KZ")
    return incident


@pytest.mark.parametrize(
    ("name", "people", "tellers", "seed"),
    [
        *product(("liar",), (6, 9), (1, 2), range(SEEDS)),
        ("liar", 14, 2, 0),
        *product(("post",), (9,), (1, 2), range(SEEDS)),
    ],
)
def test_told_cut_is_in_doubt_while_few_of_a_small_fleet_tell(
    name: str, people: int, tellers: int, seed: int, tmp_path: Path
) -> None:
    """Up to version 78 it stood as a cut for as long as our address was blocked.

    Up to version 150 it did where they told by post alone.
    """
    land = build_land(people, tellers, RETURNS[name], seed, ends=False)
    incident = detect(land, tmp_path)
    assert incident.kind is IncidentKind.SILENCE
    assert (incident.state, incident.held) == (IncidentState.SUSPECTED, ("carrier",))


@pytest.mark.parametrize(("people", "tellers"), [(12, 1), (30, 2)])
def test_less_than_a_tenth_doubts_nothing(people: int, tellers: int, tmp_path: Path) -> None:
    land = build_land(people, tellers, RETURNS["liar"], 0, ends=False)
    assert detect(land, tmp_path).state is IncidentState.CONFIRMED


@pytest.mark.parametrize(
    ("name", "tellers", "seed"),
    [*product(("satellite", "satellite, another entrance", "spared line"), (1, 2), range(SEEDS))],
)
def test_true_cut_stands_beside_satellites_and_spared_lines(
    name: str, tellers: int, seed: int, tmp_path: Path
) -> None:
    land = build_land(9, tellers, RETURNS[name], seed, ends=False)
    incident = detect(land, tmp_path)
    assert (incident.kind, incident.state) == (IncidentKind.SILENCE, IncidentState.CONFIRMED)


def test_word_from_before_most_were_dark_doubts_no_cut(tmp_path: Path) -> None:
    """Its session had broken by itself a minute earlier, while its network still worked."""
    land = build_land(9, 0, RETURNS["liar"], 0, ends=False)
    land.people[0].downs = [Down(AT - 60, AT + AWAY, posted=AT - 20)]
    incident = detect(land, tmp_path)
    assert (incident.kind, incident.state) == (IncidentKind.SILENCE, IncidentState.CONFIRMED)


@pytest.mark.parametrize("name", RETURNS)
def test_true_cut_is_told_at_its_end_whoever_lied(name: str, tmp_path: Path) -> None:
    incident = detect(build_land(9, 1, RETURNS[name], 0, ends=True), tmp_path)
    assert (incident.kind, incident.state) == (IncidentKind.SILENCE, IncidentState.CLOSED)
    assert incident.confirmed_us is not None
