"""Countries that go dark line by line over hours, or seem to, in uniform fleets.

Written apart from the detectors. How fast: Iran 2019 took hours from operator to operator, and 2026
three hours. Fleets are often uniform: a campaign reaches the customers of an operator, one
building, or people with a spare computer and no phone for it.
"""

import math

from heliograph_collector.incidents.incident import IncidentKind
from heliograph_collector.model.scope import Scope
from support.foreign_world import AT, HOUR, Down, Land, Person
from support.reported_events import MINUTE
from support.strange_truths import COUNTRY, StrangeScene, Truth

_AT = AT + 48 * HOUR  # after two days and nights
_ONLY = Scope("KZ", asn=10)


def fade_lines(land: Land) -> None:
    """Lines alone, of three operators; two data centers stay, which no order concerns."""
    land.settle(lines=(60, 30, 20), phones=())
    _fade(land, [p for p in land.people if p.access == "fixed" and p.country == "KZ"], 100)


def fade_few_lines(land: Land) -> None:
    """Fade 31 lines at four operators."""
    land.settle(lines=(13, 8, 6, 4), phones=())
    _fade(land, [p for p in land.people if p.access == "fixed" and p.country == "KZ"], 55)


def fade_one_operator(land: Land) -> None:
    """Fade six vantages, all that measure, with the country's only operator."""
    land.settle(lines=(), phones=())
    people = land.add("KZ", 4, 10, "fixed") + land.add("KZ", 2, 10, "mobile")
    for person in people:
        break_by_chance(land, person)
    _fade(land, people, 20)


def fade_city(land: Land) -> None:
    """Fade a fleet of which two thirds share one address, and its phones three."""
    _fade_city(land, 82, 38)


def cut_city(land: Land) -> None:
    """Cut fewer of that city's people off, within 20 s."""
    land.settle(lines=(), phones=())
    people = land.add("KZ", 30, 10, "fixed", nat=1) + land.add("KZ", 20, 21, "mobile", nat=3)
    land.cut(people, _AT, _AT + 3 * HOUR, 20)


def fade_large_city(land: Land) -> None:
    """Fade 300 of that city, some of whom break by chance meanwhile."""
    _fade_city(land, 205, 95)


def _fade_city(land: Land, lines: int, phones: int) -> None:
    land.settle(lines=(), phones=())
    land.add("KZ", lines, 10, "fixed", nat=1)
    land.add("KZ", phones, 21, "mobile", nat=3)
    for person in land.people:
        break_by_chance(land, person)
    _fade(land, [p for p in land.people if p.access != "hosting" and p.country == "KZ"], 14)


def block_address_of_few(land: Land) -> None:
    """Our address is blocked; half of 15 vantages find another entrance.

    Most of those are behind one address. Phones and three lines find none. Operators follow within
    six minutes.
    """
    land.settle(lines=(), phones=())
    lines = land.add("KZ", 8, 10, "fixed", nat=1) + land.add("KZ", 2, 12, "fixed")
    phones = land.add("KZ", 4, 21, "mobile", nat=3)
    for index, person in enumerate([*lines, *phones]):
        since = _AT + {10: 60, 12: 0, 21: 310}[person.asn] + land.rng.uniform(0, 5)
        if person in phones or index % 3 == 2:
            person.downs.append(Down(since, _AT + 3 * HOUR + land.rng.uniform(0, 600)))
            continue
        back = since + land.rng.uniform(15, 60)
        person.downs.append(Down(since, back, told=True, entrance="second"))


def break_by_chance(land: Land, person: Person) -> None:
    """Add brief silences, of which some people have one a day and others twenty."""
    rate = land.rng.gammavariate(2, 5 / (24 * HOUR))
    second = land.start + land.rng.expovariate(rate)
    while second < land.end:
        lasts = land.rng.lognormvariate(math.log(150), 1.4)
        person.downs.append(Down(second, second + lasts))
        second += lasts + land.rng.expovariate(rate)


def _fade(land: Land, people: list[Person], half_min: float) -> None:
    """Let half fall silent in `half_min` minutes, nine tenths in twice that; for 6 h."""
    for person in people:
        share = land.rng.uniform(0.001, 0.999)
        after = half_min * (1 + math.log(share / (1 - share)) / math.log(9))
        if share < 0.94:
            back = _AT + 6 * HOUR + land.rng.uniform(0, 600)
            person.downs.append(Down(_AT + max(0.0, after * MINUTE), back, told=False))


def _truth(half_min: float) -> tuple[Truth, ...]:
    return (Truth(COUNTRY, _AT, _AT + 6 * HOUR, "", 2 * half_min * MINUTE, 1_800),)


SCENES = {
    "lines fade, data centers stay": StrangeScene(fade_lines, _truth(100), 63, most=1),
    "our address blocked for few": StrangeScene(
        block_address_of_few, (), 60, (IncidentKind.COLLECTOR_BLOCKED,)
    ),
    "few lines fade": StrangeScene(fade_few_lines, _truth(60), 63, most=1),
    "a country of one operator fades": StrangeScene(
        fade_one_operator, (Truth(_ONLY, _AT, _AT + 6 * HOUR, "", 3_600, 1_800),), 63
    ),
    "a city behind one address is cut": StrangeScene(
        cut_city, (Truth(COUNTRY, _AT, _AT + 3 * HOUR),), 60, most=1
    ),
    "a large city fades": StrangeScene(fade_large_city, _truth(20), 63, most=1),
    "a city behind one address fades": StrangeScene(fade_city, _truth(20), 63, most=1),
}
