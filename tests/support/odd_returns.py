"""Cuts that are alike each day, and cuts that begin while our own collectors fail.

Written from physics, apart from the detectors.
"""

from support.foreign_world import AT, DAY, HOUR, Down, Land
from support.odd_cuts import NOONS
from support.reported_events import people_of
from support.rough_fleets import join_silences
from support.strange_truths import COUNTRY, StrangeScene, Truth, may


def cut_five_minutes_daily(land: Land) -> None:
    """All is cut for five minutes at noon of eight days, and agents report it."""
    land.settle()
    for at in NOONS:
        land.cut(people_of(land), at, at + 300, 5)


def pause_daily(land: Land) -> None:
    """Seven of ten are off for minutes each noon, and report nothing about it."""
    land.settle(phones=(14, 12))
    for at in NOONS:
        for person in people_of(land):
            if land.rng.random() < 0.7:
                since = at + land.rng.uniform(0, 60)
                person.downs.append(Down(since, since + land.rng.uniform(240, 420)))
    join_silences(land)


def hand_over(land: Land) -> None:
    """One of two collectors dies and the other takes over, while a cut begins.

    Half of all agents everywhere were connected to the dead one; nothing declares it.
    """
    land.settle()
    names = {p.name for p in people_of(land)}
    for person in land.people:
        at = AT + land.rng.uniform(0, 5)
        if person.name in names:
            cut = AT + 40 + land.rng.uniform(0, 10)
            is_first = land.rng.random() < 0.5
            person.downs.append(Down(at if is_first else cut, AT + 3 * HOUR, told=False))
        elif land.rng.random() < 0.5:
            person.downs.append(Down(at, at + 30 + land.rng.expovariate(1 / 20)))
    join_silences(land)


def cut_while_we_are_gone(land: Land) -> None:
    """Our collector is gone for 8 undeclared minutes, in which a cut begins."""
    land.settle()
    names = {p.name for p in people_of(land)}
    for person in land.people:
        at = AT + land.rng.uniform(0, 3)
        if person.name in names:
            person.downs.append(Down(at, AT + 4 * HOUR + land.rng.uniform(0, 60), told=False))
        else:
            person.downs.append(Down(at, AT + 480 + land.rng.expovariate(1 / 40)))
    join_silences(land)


def return_by_turns(land: Land) -> None:
    """Our collector is gone for 8 minutes; two countries return much later."""
    land.settle()
    for person in land.people:
        late = 900 if person.country in ("KZ", "TR") else 0
        back = AT + 480 + late + land.rng.expovariate(1 / 40)
        person.downs.append(Down(AT + land.rng.uniform(0, 3), back))
    join_silences(land)


def return_one_by_one(land: Land, lines: tuple[int, ...] = (14, 10)) -> None:
    """Our collector is gone for 8 minutes; one country returns in 15 min on average."""
    land.settle(lines=lines)
    for person in land.people:
        mean_s = 900 if person.country == "KZ" else 40
        back = AT + 480 + land.rng.expovariate(1 / mean_s)
        person.downs.append(Down(AT + land.rng.uniform(0, 3), back))
    join_silences(land)


def return_of_few(land: Land) -> None:
    """One country of few returns one by one, after our collector was gone."""
    return_one_by_one(land, (3, 2))


SCENES = {
    "five minutes daily": StrangeScene(
        cut_five_minutes_daily,
        tuple(Truth(COUNTRY, at, at + 360, is_suspicion_enough=True) for at in NOONS),
        9 * 24,
    ),
    # On the first two days it may be taken for a cut, as no agent reports a cause.
    "a pause daily": StrangeScene(
        pause_daily, tuple(may(COUNTRY, "", at, at + DAY / 24) for at in NOONS[:2]), 9 * 24
    ),
    "one collector of two dies": StrangeScene(
        hand_over, (Truth(COUNTRY, AT, AT + 3 * HOUR, "", 600),), 6
    ),
    "cut while we are gone": StrangeScene(
        cut_while_we_are_gone, (Truth(until=AT + 4 * HOUR, within_s=900),), 7
    ),
    "two countries back later": StrangeScene(return_by_turns, (), 6),
    "one country back slowly": StrangeScene(return_one_by_one, (), 6),
    "few back slowly": StrangeScene(return_of_few, (), 6),
}
